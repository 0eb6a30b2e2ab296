"""Files of a session: as many and as large as is promised, in the memory of nobody; and what the record says of them."""
import base64
import hashlib
import subprocess
import json

import mcp
import processes
import pytest
from test_sessions import Session

MIB = 1 << 20
ROLES = ("front", "keeper", "ledger")


def pss_kib(server):
    """role -> PSS, of the roles that a file's bytes could pass through."""
    found = {}
    for pid in [server.proc.pid] + processes.offspring(server.proc.pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode()
        role = next((r for r in ROLES if r in words), "fumehood" if pid == server.proc.pid else None)
        if not role:
            continue
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            found[role] = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return found


def grown(server, before):
    """By how much the largest growth is, in MiB, when the call before is over and done with."""
    server.call("session_list")
    return max(now - before.get(role, 0) for role, now in pss_kib(server).items()) / 1024


def most_ever_mib(server):
    """The largest that any of them has ever been."""
    found = 0
    for pid in [server.proc.pid] + processes.offspring(server.proc.pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if not any(r in file.read().decode(errors="replace") for r in ROLES):
                continue
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            found = max(found, next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")))
    return found / 1024


@pytest.fixture
def session(server):
    return Session(server)


def test_100_mib_up_and_down(server, session):
    part = bytes(range(256)) * (4 * MIB // 256)
    total, whole = 100 * MIB, hashlib.sha256()
    # what a part of that size needs is allotted by the first
    session.tool("artifact_upload", path="warm", content=base64.b64encode(part).decode(), encoding="base64")
    session.tool("artifact_download", path="warm", length=2 * MIB)
    session.tool("artifact_delete", path="warm")
    before, most = pss_kib(server), 0
    for offset in range(0, total, len(part)):
        this = offset.to_bytes(8, "little") + part[8:]
        whole.update(this)
        done = session.tool("artifact_upload", path="big", offset=offset, encoding="base64",
                            content=base64.b64encode(this).decode())
        assert done["size"] == offset + len(this)
        most = max(most, grown(server, before))
    assert done["sha256"] == whole.hexdigest()
    got, at = hashlib.sha256(), 0
    while at < total:
        page = session.tool("artifact_download", path="big", offset=at, length=2 * MIB, encoding="base64")
        got.update(base64.b64decode(page["content"]))
        if not at:
            assert page["sha256"] == whole.hexdigest() and page["size"] == total
        at = page.get("next_offset", total)
        most = max(most, grown(server, before))
    assert got.hexdigest() == whole.hexdigest()
    print(f"PSS before: {before} KiB; grew by {most:.1f} MiB; RSS at most {most_ever_mib(server):.1f} MiB")
    assert mcp.sanitized() or most < 4, f"{most:.1f} MiB stay"
    assert mcp.sanitized() or most_ever_mib(server) < 50, "more than a few parts of it were there at once"
    with pytest.raises(mcp.ToolError) as e:
        session.tool("artifact_upload", path="big", offset=total, content="x")
    assert e.value.code == "limit" and "100 MiB" in e.value.cause
    (told,) = session.run("open('big','ab').close(); open('small','w').close()")["changed_files"]
    assert told["path"] == "small"
    assert session.value("import hashlib; hashlib.sha256(open('big','rb').read()).hexdigest()") == (
        f"'{whole.hexdigest()}'")


def test_2000_files(session):
    session.run("import os\nfor i in range(2000): open(f'{i:04}', 'w').write(str(i))", timeout_ms=60000)
    listed = session.tool("artifact_list")
    assert len(listed["entries"]) == 2000 and listed["more"] is False
    assert {e["path"] for e in listed["entries"]} == {f"{i:04}" for i in range(2000)}
    session.tool("artifact_upload", path="more", content="1")
    listed = session.tool("artifact_list")
    assert len(listed["entries"]) == 2000 and listed["more"] is True
    rest = session.tool("artifact_list", offset=listed["next_offset"])
    assert len(rest["entries"]) == 1 and rest["more"] is False


@pytest.mark.parametrize("name, arguments, words", [
    ("artifact_download", {"path": "none"}, "no such file"), ("artifact_download", {"path": "d"}, "folder"),
    ("artifact_download", {"path": "l"}, "symbolic link"), ("artifact_delete", {"path": "d"}, "not empty"),
    ("artifact_upload", {"path": "f", "content": "x", "overwrite": False}, "exists already"),
    ("artifact_upload", {"path": "f/x", "content": "x"}, "no folder")])
def test_each_error_says_what_to_do(session, name, arguments, words):
    session.run("import os\nos.mkdir('d')\nopen('d/x','w').close()\nos.symlink('d/x', 'l')\nopen('f','w').close()")
    with pytest.raises(mcp.ToolError) as e:
        session.tool(name, **arguments)
    assert words in e.value.cause and e.value.remediation


def test_it_is_one_of_the_two(session):
    for more, words in (({}, "neither session_id nor run_id"),
                        ({"session_id": session.id, "run_id": "run_" + "0" * 32}, "both session_id and run_id")):
        with pytest.raises(mcp.ToolError, match=words):
            session.server.call("artifact_list", more)


def test_the_record_of_files(tmp_path):
    state = str(tmp_path / "state")
    with mcp.Server(state=state) as server:
        server.initialize()
        session = Session(server)
        session.tool("artifact_upload", path="a\x1b[31m.txt", content="secret")
        session.run("open('b','w').write('12345')")
        for offset in range(0, 5):
            session.tool("artifact_download", path="b", offset=offset, length=1)
        session.tool("artifact_delete", path="b")
    done = subprocess.run([mcp.BINARY, "audit", "show", session.id, "--json", "--state", state], capture_output=True, text=True,
                          timeout=60, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    files = [row for row in rows if row["kind"] == "file"]
    assert [row["run_id"] for row in files] == [session.id] * 3, files
    said = json.dumps(files)
    assert hashlib.sha256(b"secret").hexdigest() in said and '"secret' not in said and "\x1b" not in said
    assert [w for w in ("written 6 bytes", "read 5 bytes", "deleted") if w in said] == [
        "written 6 bytes", "read 5 bytes", "deleted"]
    subprocess.run([mcp.BINARY, "audit", "verify", "--state", state], capture_output=True, timeout=60, check=True)
