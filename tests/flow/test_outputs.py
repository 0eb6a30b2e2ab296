"""What runs do to files: those a call of a session has changed, those a run without a session was to leave."""
import hashlib
import json
import os

import mcp
import mcp_http
import processes
import pytest
from test_sessions import Session


def sha(data):
    return hashlib.sha256(data).hexdigest()


def changes(answer):
    """change and path of each, in their order."""
    assert "changed_files_truncated" not in answer, answer
    return [(f["change"], f["path"]) for f in answer["changed_files"]]


def refused(server, **arguments):
    with pytest.raises(mcp.ToolError) as e:
        server.call("run_code", dict({"language": "python", "code": "1"}, **arguments))
    assert e.value.cause and e.value.remediation
    return e.value


@pytest.fixture
def session(server):
    return Session(server)


# --- what a call has changed ----------------------------------------------------------------------

def test_each_change_is_told_once(session):
    assert changes(session.run("1")) == []
    made = session.run("open('a','w').write('one')\nimport os\nos.mkdir('d')\nopen('d/b.html','w').write('<html>')")
    assert changes(made) == [("created", "a"), ("created", "d/b.html")]
    assert [(f["size"], f["sha256"], f["mime_type"]) for f in made["changed_files"]] == [
        (3, sha(b"one"), "text/plain"), (6, sha(b"<html>"), "text/html")]
    assert changes(session.run("1")) == []
    assert changes(session.run("open('a','w').write('two')")) == [("changed", "a")]
    gone = session.run("os.remove('a'); os.symlink('d/b.html', 'l')")
    assert changes(gone) == [("deleted", "a"), ("created", "l")]
    assert [f.get("type") for f in gone["changed_files"]] == [None, "link"] and "size" not in gone["changed_files"][0]
    assert changes(session.run("os.remove('l'); os.remove('d/b.html'); os.mkdir('d/b.html')")) == [
        ("deleted", "d/b.html"), ("deleted", "l")]


def test_all_kinds_of_calls_tell_it(session):
    assert changes(session.run("echo 1 > sh", "bash")) == [("created", "sh")]
    assert changes(session.run("require('fs').writeFileSync('js','1')", "javascript")) == [("created", "js")]
    assert changes(session.command("echo 2 > sh")) == [("changed", "sh")]
    argv = session.tool("run_command", argv=["touch", "argv"])
    assert changes(argv) == [("created", "argv")]


def test_what_the_caller_has_put_there_is_no_change(session):
    session.tool("artifact_upload", path="up", content="1")
    assert changes(session.run("open('in','w').write('z')", files=[
        {"path": "in", "content": "y"}, {"path": "other", "content": "y"}])) == [("changed", "in")]
    session.tool("artifact_delete", path="up")
    assert changes(session.run("1")) == []


def test_a_call_that_fails_tells_it_too(session):
    assert changes(session.run("open('a','w').write('1'); 1/0")) == [("created", "a")]
    assert changes(session.run("open('b','w').write('1'); import os; os.abort()")) == [("created", "b")]
    late = session.run("open('c','w').write('1')\nwhile True: pass", timeout_ms=500)
    assert late["status"] == "timeout" and changes(late) == [("created", "c")]


def test_the_background_is_told_with_the_next_call(session):
    session.run("import threading, os\ndef write():\n    event.wait()\n    open('late','w').write('1')\n    done.set()\n"
                "event, done = threading.Event(), threading.Event()\nthreading.Thread(target=write).start()")
    assert changes(session.run("event.set(); done.wait()\n1")) == [("created", "late")]


def test_names_that_are_no_utf8(session):
    (told,) = session.run("open(b'\\xff','w').write('1')")["changed_files"]
    assert told["path"] == "\ufffd" and told["path_not_utf8"] is True


def test_more_than_can_be_told(session):
    made = session.run("import os\nfor i in range(300): open(f'f{i:04}','w').close()")
    assert made["changed_files_truncated"] is True and made["changed_files_found"] == 300
    assert len(made["changed_files"]) == 200
    assert changes(session.run("1")) == []


def test_more_than_is_looked_at(session):
    made = session.run("import os\nfor i in range(12000): open(f'f{i}','w').close()", timeout_ms=60000)
    assert made["changed_files_truncated"] is True and len(made["changed_files"]) == 200
    again = session.run("open('g','w').close()")
    assert again["changed_files_truncated"] is True


def test_folders_too_deep_to_be_named(session):
    made = session.run("import os\nfor i in range(3000):\n    os.mkdir('d'); os.chdir('d')\nos.chdir('/workspace')\n"
                       "open('x','w').close()", timeout_ms=60000)
    assert made["changed_files_truncated"] is True
    assert [f["path"] for f in made["changed_files"]] == ["x"]


def test_a_file_too_large_to_be_hashed(session):
    (told,) = session.run("open('big','wb').truncate(101 << 20)")["changed_files"]
    assert told["size"] == 101 << 20 and "sha256" not in told
    (told,) = session.run("open('more','wb').truncate(3 << 20)")["changed_files"]
    assert told["sha256"] == sha(bytes(3 << 20))


def test_a_file_that_grows_while_it_is_read(session):
    grown = session.run("import threading, os\nstop = False\ndef grow():\n    with open('log','ab') as f:\n"
                        "        while not stop and f.tell() < 60 << 20: f.write(b'x' * 65536); f.flush()\n"
                        "t = threading.Thread(target=grow); t.start()")
    assert grown["status"] == "exited"
    last = session.run("stop = True; t.join()\nimport hashlib\nhashlib.sha256(open('log','rb').read()).hexdigest()")
    told = [f for f in last["changed_files"] if f["path"] == "log"]
    assert not told or told[0]["sha256"] in last["outputs"][-1]["text"]


def test_the_child_that_looks_is_killed(session):
    """Any program of the room may: then it is not known, and known again after the next call."""
    session.run("open('a','w').close()")
    session.run("import os, signal, subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', '''\n"
                "import os, signal\nopen(\"killer\", \"w\").close()\nwhile True:\n    for p in os.listdir(\"/proc\"):\n"
                "        try:\n            if open(f\"/proc/{p}/comm\").read() == \"porter\\\\n\": os.kill(int(p), signal.SIGKILL)\n"
                "        except OSError: pass\n'''])\nwhile not os.path.exists('killer'): time.sleep(0.01)")
    for i in range(20):
        told = session.run(f"open('f{i}','w').close()")
        assert told["status"] == "exited" and isinstance(told["changed_files"], list)
    session.run("1")
    assert session.value("1 + 1") == "2"


# --- what a run leaves ------------------------------------------------------------------------------

def test_declared_files_are_listed_and_fetched(server):
    answer = server.run_code(language="python", outputs=["a.txt", "out/*.bin", "no.csv"], code=(
        "import os\nos.mkdir('out')\nopen('a.txt','w').write('text')\nopen('out/1.bin','wb').write(bytes(9))\n"
        "open('out/x.txt','w').write('no')\nopen('undeclared','w').close()\n6 * 7"))
    assert [(a["path"], a["size"], a["sha256"]) for a in answer["artifacts"]] == [
        ("a.txt", 4, sha(b"text")), ("out/1.bin", 9, sha(bytes(9)))]
    assert answer["missing_outputs"] == ["no.csv"] and "session_id" not in answer
    assert [o["text"] for o in answer["outputs"]] == ["42"]
    assert ("created", "undeclared") in changes(answer)
    run = {"run_id": answer["run_id"]}
    listed = {e["path"] for e in server.call("artifact_list", run)["entries"]}
    assert listed == {"a.txt", "out", "out/1.bin", "out/x.txt", "undeclared"}
    got = server.call("artifact_download", dict(run, path="a.txt"))
    assert (got["content"], got["sha256"]) == ("text", sha(b"text")) and got["run_id"] == answer["run_id"]
    server.call("artifact_delete", dict(run, path="a.txt"))
    with pytest.raises(mcp.ToolError, match="no such file"):
        server.call("artifact_download", dict(run, path="a.txt"))
    assert not server.call("session_list")["sessions"]


@pytest.mark.parametrize("pattern, found", [
    ("*", ["a", "b.txt"]), ("**", ["a", "b.txt", "d/e/f.txt", "d/g.txt"]), ("**/*.txt", ["b.txt", "d/e/f.txt", "d/g.txt"]),
    ("d", ["d/e/f.txt", "d/g.txt"]), ("d/", ["d/e/f.txt", "d/g.txt"]), ("d/*", ["d/g.txt"]), ("?", ["a"]),
    ("/workspace/a", ["a"]), ("./a", ["a"]), ("d/**/f.txt", ["d/e/f.txt"]), ("*.tx", []), ("D/g.txt", [])])
def test_patterns(shared, pattern, found):
    answer = shared.run_code(language="bash", outputs=[pattern], code=(
        "mkdir -p d/e; touch a b.txt d/g.txt d/e/f.txt"))
    assert [a["path"] for a in answer["artifacts"]] == found
    assert bool(answer["missing_outputs"]) == (not found)


def test_a_costly_pattern_is_given_up(shared):
    """Names and patterns that together would take for ever."""
    answer = shared.run_code(language="python", outputs=["*a" * 120 + "b"] * 90, code=(
        "for i in range(1500): open('a' * 250 + str(i), 'w').close()"), timeout_ms=60000)
    assert answer["artifacts"] == [] and answer["artifacts_truncated"] is True


@pytest.mark.parametrize("end, status", [
    ("1/0", "exited"), ("import os; os.kill(os.getpid(), 9)", "signaled"), ("while True: pass", "timeout"),
    ("import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass", "timeout")])
def test_files_of_a_run_that_fails(server, end, status):
    answer = server.run_code(language="python", outputs=["kept"], timeout_ms=1000,
                             code=f"open('kept','w').write('1')\n{end}")
    assert answer["status"] == status and [a["path"] for a in answer["artifacts"]] == ["kept"]
    got = server.call("artifact_download", {"run_id": answer["run_id"], "path": "kept"})
    assert got["content"] == "1"


def test_files_of_a_run_that_is_cancelled(server):
    started = server.run_code(language="python", outputs=["kept"], background=True,
                              code="open('kept','w').write('1')\nprint('up', flush=True)\nimport time\ntime.sleep(300)")
    while not server.call("run_status", {"run_id": started["run_id"], "wait_ms": 1000})["stdout"]:
        pass
    ended = server.call("run_cancel", {"run_id": started["run_id"]})
    assert ended["status"] == "cancelled" and [a["path"] for a in ended["artifacts"]] == ["kept"]


def test_nothing_runs_on(server):
    """Children that left, in a session of their own, are gone before the answer; the files stay."""
    before = set(processes.offspring(server.proc.pid))
    answer = server.run_code(language="python", outputs=["kept"], code=(
        "import os, time\nopen('kept','w').write('1')\nfor i in range(5):\n    if not os.fork():\n        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n        time.sleep(300)\n        os._exit(0)\n"))
    assert answer["artifacts"]
    commands = []
    for pid in set(processes.offspring(server.proc.pid)) - before:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            commands.append(file.read().strip())
    assert not [c for c in commands if "python" in c], commands


def test_a_run_without_files_is_closed_at_once(server):
    empty = server.run_code(language="python", outputs=[], code="[1, 2]")
    assert [o["text"] for o in empty["outputs"]] == ["[1, 2]"] and "changed_files" not in empty
    none = server.run_code(language="python", outputs=["x"], code="1")
    assert none["missing_outputs"] == ["x"] and none["artifacts"] == []
    plain = server.run_code(language="python", code="1")
    for answer in (empty, none, plain):
        with pytest.raises(mcp.ToolError, match="has left no files"):
            server.call("artifact_list", {"run_id": answer["run_id"]})


def test_the_oldest_makes_room(server):
    ids = [server.run_code(language="bash", code="echo 1 > f", outputs=["f"])["run_id"] for _ in range(10)]
    for ident in ids[-8:]:
        assert server.call("artifact_list", {"run_id": ident})["entries"]
    with pytest.raises(mcp.ToolError, match="no longer kept"):
        server.call("artifact_list", {"run_id": ids[0]})


def test_one_that_began_first_and_ends_last_is_not_the_oldest(server):
    first = server.run_code(language="bash", outputs=["**"], background=True, open_stdin=True, timeout_ms=60000, code=(
        "for i in {1..4000}; do head -c 8000 /dev/zero > f$i; done; echo up; read"))["run_id"]
    while "up" not in server.call("run_status", {"run_id": first, "wait_ms": 5000})["stdout"]:
        pass
    ids = [server.run_code(language="bash", code="echo 1 > f", outputs=["f"])["run_id"] for _ in range(8)]
    server.call("run_input", {"run_id": first, "eof": True})
    while (ended := server.call("run_status", {"run_id": first, "wait_ms": 5000}))["status"] == "running":
        pass
    assert ended["artifacts"] and server.call("artifact_list", {"run_id": first})["entries"]
    assert server.call("artifact_list", {"run_id": ids[1]})["entries"]
    with pytest.raises(mcp.ToolError, match="no longer kept"):
        server.call("artifact_list", {"run_id": ids[0]})


def test_a_run_of_a_session_has_its_files_there(session):
    ident = session.run("open('a','w').close()")["run_id"]
    with pytest.raises(mcp.ToolError, match="ran in a session"):
        session.server.call("artifact_list", {"run_id": ident})


# --- files from elsewhere -----------------------------------------------------------------------------

def test_files_go_from_call_to_call(server):
    one = Session(server)
    one.run("open('d.bin','wb').write(bytes(range(256)) * 4000)")
    made = server.run_code(language="python", outputs=["half"], code=(
        "data = open('in/d','rb').read()\nopen('half','wb').write(data[::2])\nlen(data)"), files=[
            {"path": "in/d", "artifact": {"session_id": one.id, "path": "d.bin"}}, {"path": "note", "content": "x"}])
    assert made["outputs"][0]["text"] == "1024000" and made["artifacts"][0]["size"] == 512000
    two = Session(server)
    answer = two.run("import hashlib\nhashlib.sha256(open('h','rb').read()).hexdigest()", files=[
        {"path": "h", "artifact": {"run_id": made["run_id"], "path": "half"}}])
    assert made["artifacts"][0]["sha256"] in answer["outputs"][0]["text"] and changes(answer) == []


@pytest.mark.parametrize("files, words", [
    ([{"path": "a"}], "neither content nor artifact"),
    ([{"path": "a", "content": "", "artifact": {"path": "b", "session_id": "ses_" + "0" * 32}}], "both"),
    ([{"path": "a", "artifact": {"path": "b"}}], "neither session_id nor run_id"),
    ([{"path": "a", "artifact": {"path": "../b", "run_id": "run_" + "0" * 32}}], r"artifact.path has a part"),
    ([{"path": "a", "artifact": {"path": "b", "run_id": "run_" + "0" * 32}}], "no run with that run_id"),
    ([{"path": "a", "artifact": {"path": "b", "session_id": "ses_" + "0" * 32}}], "no such session"),
    ([{"path": "a", "content": ""}, {"path": "a", "artifact": {"path": "b", "run_id": "run_" + "0" * 32}}], "twice")])
def test_what_cannot_be_copied(shared, files, words):
    told = refused(shared, files=files)
    assert words in told.cause and "files" in told.cause


def test_a_link_is_not_followed(server):
    session = Session(server)
    session.run("import os\nos.symlink('/etc/passwd', 'l')")
    assert "symbolic link" in refused(
        server, files=[{"path": "a", "artifact": {"session_id": session.id, "path": "l"}}]).cause


def test_outputs_that_are_none(shared):
    assert "outputs[0]" in refused(shared, outputs=["../x"]).cause
    assert "outputs[1]" in refused(shared, outputs=["a", "x" * 2000]).cause
    assert "session_id" in refused(shared, outputs=["a"], session_id="ses_" + "0" * 32).cause


# --- over HTTP ----------------------------------------------------------------------------------------

def test_what_a_run_has_left_is_its_callers_alone():
    """Another gets what he gets for a run that never was; the owner gets it by another connection."""
    with mcp_http.HttpServer(auth=True) as server:
        mine, yours = server.key("mine"), server.key("yours")

        def tool(who, name, **arguments):
            return server.post(mcp_http.modern("tools/call", {"name": name, "arguments": arguments}),
                               authorization=who).json["result"]
        answer = tool(mine, "run_code", language="python", outputs=["a"], code="open('a','w').write('mine')")
        ident, unknown = answer["structuredContent"]["run_id"], "run_" + "0" * 32
        assert answer["structuredContent"]["artifacts"]
        for name in ("artifact_list", "artifact_download", "artifact_delete"):
            theirs, nobodys = (json.dumps(tool(yours, name, run_id=which, path="a")) for which in (ident, unknown))
            assert theirs == nobodys and '"isError": true' in theirs and "mine" not in theirs
        theirs, nobodys = (json.dumps(tool(yours, "run_code", language="python", code="1", files=[
            {"path": "x", "artifact": {"run_id": which, "path": "a"}}])) for which in (ident, unknown))
        assert theirs == nobodys and "isError" in theirs
        got = tool(mine, "artifact_download", run_id=ident, path="a")["structuredContent"]
        assert got["content"] == "mine"


def test_a_session_outlives_its_connection():
    with mcp_http.HttpServer(auth=True) as server:
        mine = server.key("mine")

        def tool(name, **arguments):
            """Each by a connection of its own."""
            return server.post(mcp_http.modern("tools/call", {"name": name, "arguments": arguments}),
                               authorization=mine).json["result"]["structuredContent"]
        ident = tool("session_create")["session_id"]
        tool("run_code", language="python", code="x = 41", session_id=ident)
        answer = tool("run_code", language="python", code="x + 1", session_id=ident)
        assert answer["outputs"][0]["text"] == "42"
