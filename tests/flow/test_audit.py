"""The record: what a server did can be listed, shown and verified, beside it and after it."""
import json
import os
import signal
import sqlite3
import subprocess

import mcp
import processes
import pytest


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


def audit(state, *words, code=0):
    """One `fumehood audit`; its stdout."""
    done = subprocess.run([mcp.BINARY, "audit", *words, "--state", state], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stderr if code else done.stdout


def lines(state, *words):
    return [json.loads(line) for line in audit(state, *words, "--json").splitlines()]


def role(server, name):
    """The pid of one of the server's roles, by the title it runs under."""
    for pid in processes.offspring(server.proc.pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if name.encode() in file.read().replace(b"\0", b" "):
                return pid
    raise AssertionError(f"no {name} below {server.proc.pid}")


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass    # followed the one before it already


def test_every_run_is_listed_with_its_end(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        first = server.run_code(code="import sys; sys.exit(3)")
        second = server.run_command("sleep 30", timeout_ms=300)
        table = audit(state, "list")
        listed = {row["run_id"]: row for row in lines(state, "list")}
    assert list(listed) == [first["run_id"], second["run_id"]]
    row = listed[first["run_id"]]
    assert (row["tool"], row["language"], row["status"]) == ("run_code", "python", "exited")
    assert row["exit_code"] == 3 and row["signal"] is None and row["duration_us"] > 0
    row = listed[second["run_id"]]
    assert (row["tool"], row["status"]) == ("run_command", "timeout")
    title, *rows = table.splitlines()
    assert title.split() == ["TIME", "RUN", "PRINCIPAL", "TOOL", "LANGUAGE", "STATUS", "DURATION", "EXIT"]
    assert [line.split()[1] for line in rows] == list(listed)
    assert len({line.index("run_") for line in rows} | {title.index("RUN")}) == 1


def test_only_the_newest_are_listed(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        runs = [server.run_code(code="pass")["run_id"] for _ in range(3)]
    assert [row["run_id"] for row in lines(state, "list", "--limit", "2")] == runs[1:]


def test_a_run_under_way_is_listed_as_running(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        call = server.start("run_code", {"language": "python", "timeout_ms": 30000, "code":
                            "import time\nprint('on', flush=True)\ntime.sleep(30)"}, token="t")
        server.notification("notifications/progress")
        assert [row["status"] for row in lines(state, "list")] == ["running"]
        assert "warning" not in audit(state, "verify")
        assert server.cancel(call)
    assert [row["status"] for row in lines(state, "list")] == ["cancelled"]


def test_a_run_is_shown_by_the_beginning_of_its_id(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        run = server.run_code(code="print('secret words')")["run_id"]
    intent, outcome = lines(state, "show", run[:12])
    assert (intent["kind"], outcome["kind"]) == ("intent", "outcome")
    assert intent["run_id"] == outcome["run_id"] == run
    assert outcome["prev"] and intent["body"]["runtime"] == "python"
    assert intent["body"]["code_bytes"] == len("print('secret words')")
    text = audit(state, "show", run)
    assert "code_sha256" in text and "secret words" not in text
    assert "no run of the record begins with" in audit(state, "show", "run_zzz", code=1)


def test_a_refusal_is_recorded(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        with pytest.raises(mcp.ToolError):
            server.run_code(language="befunge", code="@")
    row, = lines(state, "list")
    assert row["status"] == "refused" and "befunge" in row["detail"]


def test_verify_says_how_many_rows_and_the_head(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        server.run_code(code="pass")
        # beside the server: start, intent, outcome
        assert audit(state, "verify").startswith("intact: 3 rows, head ")
    report = json.loads(audit(state, "verify", "--json"))
    assert report["intact"] and report["rows"] == 4 and len(report["head"]) == 64
    assert not report["warnings"]


def test_verify_names_the_row_that_was_changed(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        server.run_code(code="pass")
    database = sqlite3.connect(os.path.join(state, "audit.db"))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute("UPDATE audit SET body = '{}' WHERE seq = 2")
    database.executescript("DROP TRIGGER audit_no_update;"
                           "UPDATE audit SET body = replace(body, 'python', 'pythoN')"
                           " WHERE seq = 2;")
    database.close()
    assert "row 2 was changed" in audit(state, "verify", code=1)


def test_a_record_is_continued_by_the_next_server(state):
    for rows in (4, 8):
        with mcp.Server(state=state) as server:
            server.initialize()
            server.run_code(code="pass")
        assert audit(state, "verify").startswith(f"intact: {rows} rows")


@pytest.mark.parametrize("victims", [["ledger"], ["keeper"], ["keeper", "ledger"]])
def test_a_killed_servers_run_is_closed_as_unknown(state, victims):
    server = mcp.Server(state=state)
    server.initialize()
    server.start("run_code", {"language": "python", "timeout_ms": 30000, "code":
                 "import time\nprint('on', flush=True)\ntime.sleep(30)"}, token="t")
    server.notification("notifications/progress")
    ledger, pids = role(server, "ledger"), [role(server, name) for name in victims]
    for pid in reversed(pids):
        kill(pid)
    server.discard()
    assert processes.gone([ledger, *pids])
    with mcp.Server(state=state) as server:
        server.initialize()
    row, = lines(state, "list")
    assert row["status"] in ("unknown", "lost", "cancelled") and row["exit_code"] is None
    if "ledger" in victims:
        assert row["status"] == "unknown"
    assert "warning" not in audit(state, "verify")


def test_nothing_runs_when_the_record_cannot_be_written(state, tmp_path):
    """The record is moved away under the server: the next call is refused, not run."""
    with mcp.Server(state=state) as server:
        server.initialize()
        server.run_code(code="pass")
        os.rename(os.path.join(state, "audit.db"), tmp_path / "gone.db")
        with pytest.raises(mcp.ToolError) as error:
            server.run_code(code="print('ran')")
        assert "record" in error.value.cause
        os.rename(tmp_path / "gone.db", os.path.join(state, "audit.db"))
        assert server.run_code(code="print('ran')")["stdout"] == "ran\n"


def test_a_folder_open_to_others_is_refused(state):
    os.mkdir(state)
    os.chmod(state, 0o755)
    server = mcp.Server(state=state)
    assert server.wait(10) != 0
    assert "open to others" in server.stderr()
    server.discard()


def test_two_servers_share_one_record(state):
    with mcp.Server(state=state) as one, mcp.Server(state=state) as two:
        for server in (one, two):
            server.initialize()
        runs = {server.run_code(code="pass")["run_id"] for server in (one, two, one, two)}
        assert {row["run_id"] for row in lines(state, "list")} == runs
    assert audit(state, "verify").startswith("intact: 12 rows")


def test_no_record_is_an_error_that_says_what_to_do(state):
    assert "no state folder" in audit(state, "list", code=1)
    assert "--state" in audit(state, "verify", code=1)
