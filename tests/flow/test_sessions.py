"""Sessions: what calls leave for the next one, what they show, and what is left when things end badly."""
import base64
import hashlib
import re

import mcp
import pytest
from processes import gone, offspring

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx"
                       "0gAAAABJRU5ErkJggg==")
STRANGER = "ses_00112233445566778899aabbccddeeff"


class Session:
    """One session of a server; run() and command() answer with structuredContent."""

    def __init__(self, server, **arguments):
        self.server = server
        self.info = server.call("session_create", arguments)
        self.id = self.info["session_id"]

    def run(self, code, language="python", **more):
        return self.server.run_code(language=language, code=code, session_id=self.id, **more)

    def command(self, command, **more):
        return self.server.run_command(command, session_id=self.id, **more)

    def tool(self, name, **arguments):
        return self.server.call(name, dict(arguments, session_id=self.id))

    def value(self, code, language="python"):
        """The text of the last expression's value."""
        answer = self.run(code, language)
        assert answer["exit_code"] == 0, answer["stderr"]
        return [o["text"] for o in answer["outputs"] if o["type"] == "result"][-1]

    def close(self):
        return self.tool("session_close")


@pytest.fixture
def session(server):
    return Session(server)


def content_of(server, session, code):
    """The whole list of content blocks, beside structuredContent."""
    result = server.request("tools/call", {"name": "run_code", "arguments": {
        "language": "python", "code": code, "session_id": session.id}})
    return result["content"], result["structuredContent"]


# --- life -----------------------------------------------------------------------------------------

def test_it_is_made_listed_and_closed(server):
    session = Session(server, language="python", ttl_s=60, idle_ttl_s=30)
    assert (session.info["ttl_s"], session.info["idle_ttl_s"]) == (60, 30)
    assert session.info["language"] == "python" and not session.info["interpreters"]
    assert session.value("6 * 7") == "42"
    (listed,) = server.call("session_list")["sessions"]
    assert listed["session_id"] == session.id and listed["calls"] == 1
    assert listed["interpreters"] == ["python"]
    assert session.close() == {"session_id": session.id, "closed": True, "calls": 1}
    assert server.call("session_list")["sessions"] == []


def test_a_closed_a_foreign_and_a_made_up_one_are_the_same_miss(server, session):
    with mcp.Server() as other:
        other.initialize()
        theirs = Session(other)
        session.close()
        seen = set()
        for ident in (session.id, theirs.id, STRANGER):
            for tool, more in (("run_code", {"language": "python", "code": "1"}),
                               ("run_command", {"command": "true"}), ("session_close", {}),
                               ("artifact_list", {}), ("artifact_download", {"path": "x"})):
                with pytest.raises(mcp.ToolError) as why:
                    server.call(tool, dict(more, session_id=ident))
                assert why.value.code == "not_found"
                seen.add((tool, why.value.cause))
        assert len(seen) == 5


@pytest.mark.parametrize("end", ["ttl_s", "idle_ttl_s"])
def test_it_ends_when_its_time_is_over(server, end):
    session = Session(server, **{end: 1})
    while server.call("session_list")["sessions"]:
        pass
    with pytest.raises(mcp.ToolError) as why:
        session.run("1")
    assert why.value.code == "not_found"


def test_limits_past_the_policy_are_refused_with_the_range(server):
    for name in ("ttl_s", "idle_ttl_s", "memory_bytes", "workspace_bytes", "processes"):
        with pytest.raises(mcp.ToolError) as why:
            server.call("session_create", {name: 10 ** 14})
        assert name in why.value.cause + why.value.remediation


def test_nothing_of_it_is_left_after_the_server(tmp_path):
    with mcp.Server() as server:
        server.initialize()
        session = Session(server)
        session.run("import subprocess\nsubprocess.Popen(['sleep', '1000'])")
        session.run("1", "javascript")
        children = offspring(server.proc.pid)
        assert children
    assert gone(children)


# --- python ---------------------------------------------------------------------------------------

def test_fifteen_steps_in_python(session):
    first = session.run("import math\nrows = [1, 2, 3]")
    assert first["fresh"] is True and "variables_lost" not in first and "outputs" not in first
    assert session.value("sum(rows)") == "6"
    assert session.run("print(rows)")["stdout"] == "[1, 2, 3]\n"
    session.run("def area(r):\n    return math.pi * r * r")
    assert session.value("round(area(2), 3)") == "12.566"
    failed = session.run("rows.append(4)\nrows[0] / 0\nrows.append(5)")
    (error,) = [o["error"] for o in failed["outputs"] if o["type"] == "error"]
    assert failed["exit_code"] == 1 and error["type"] == "ZeroDivisionError"
    assert error["line"] == 2 and error["message"] == "division by zero"
    assert "ZeroDivisionError" in failed["stderr"] and "rows[0] / 0" in error["traceback"]
    assert session.value("rows") == "[1, 2, 3, 4]"
    syntax = session.run("x = 1\ny = = 2")
    assert syntax["exit_code"] == 1 and syntax["outputs"][-1]["error"]["type"] == "SyntaxError"
    session.run("open('kept.txt', 'w').write('kept')\nimport os\nos.mkdir('d')\nos.chdir('d')\n"
                "os.environ['STAYS'] = 'yes'")
    assert session.value("os.path.basename(os.getcwd()), os.environ['STAYS']") == "('d', 'yes')"
    assert session.run("import sys\nprint(sys.argv[1:], sys.stdin.read())", args=["a", "b"],
                       stdin="in")["stdout"] == "['a', 'b'] in\n"
    assert session.run("raise SystemExit(7)")["exit_code"] == 7
    assert session.value("len(rows)") == "4"
    slow = session.run("import time\ntime.sleep(60)", timeout_ms=500)
    assert slow["status"] == "timeout" and "still there" in slow["note"]
    assert session.value("open('../kept.txt').read(), rows[-1]") == "('kept', 4)"
    assert session.run("async def f():\n    return 5\nawait f()")["outputs"][-1]["text"] == "5"


def test_a_crash_loses_variables_and_keeps_files(session):
    session.run("x = 1\nopen('f', 'w').write('here')")
    crash = session.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert crash["status"] == "signaled" and crash["signal"] == "SIGSEGV"
    assert crash["variables_lost"] is True and "files are still there" in crash["note"]
    after = session.run("print(open('f').read())\nx")
    assert after["fresh"] is True and after["stdout"] == "here\n"
    assert after["outputs"][-1]["error"]["type"] == "NameError"


def test_too_much_memory_is_told_as_that(server):
    session = Session(server, memory_bytes=128 << 20)
    session.run("open('f', 'w').write('here')")
    end = session.run("x = bytearray(1 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1")
    if end["status"] == "exited":       # it was told no, and lives
        assert end["outputs"][-1]["error"]["type"] == "MemoryError"
    else:
        assert end["status"] == "out_of_memory" and end["variables_lost"] is True
    assert session.value("open('f').read()") == "'here'"


def test_an_interpreter_that_ends_between_calls_is_told(session):
    session.run("x = 1\nimport os, threading, time\n"
                "threading.Thread(target=lambda: (time.sleep(.3), os._exit(3))).start()")
    session.command("for i in $(seq 100); do pgrep -x python3 >/dev/null || break; sleep .1; done")
    after = session.run("'x' in globals()")
    assert after["fresh"] is True and after["variables_lost"] is True
    assert "variables of earlier calls were lost" in after["note"]


# --- javascript, bash -----------------------------------------------------------------------------

def test_javascript_keeps_its_variables(session):
    session.run("const a = [1, 2]; let b = 2; function f(x) { return x * b }", "javascript")
    assert session.value("a.map(f)", "javascript") == "[ 2, 4 ]"
    assert session.value("await Promise.resolve(a.length + 1)", "javascript") == "3"
    failed = session.run("b = 3;\nnull.x", "javascript")
    assert failed["exit_code"] == 1
    (error,) = [o["error"] for o in failed["outputs"] if o["type"] == "error"]
    assert error["type"] == "TypeError" and error["line"] == 2
    assert session.value("b", "javascript") == "3"
    assert session.run("console.log(require('path').sep)", "javascript")["stdout"] == "/\n"


def test_bash_keeps_its_variables_folder_and_functions(session):
    session.run("x=1; export Y=2; mkdir -p d; cd d; f() { echo \"f $1\"; }", "bash")
    assert session.command("echo $x $Y ${PWD##*/}; f 3")["stdout"] == "1 2 d\nf 3\n"
    assert session.command("exit 9")["exit_code"] == 9
    assert session.run("echo $x; false", "bash")["exit_code"] == 1
    assert session.command("set -e; false; echo not here")["stdout"] == ""
    assert session.command("echo $x")["stdout"] == "1\n"


def test_languages_and_programs_share_the_files(session):
    session.run("open('n', 'w').write('17')")
    assert session.value("Number(require('fs').readFileSync('n', 'utf8')) + 1", "javascript") == "18"
    assert session.command("cat n")["stdout"] == "17"
    listed = session.server.call("run_command", {"argv": ["cat", "n"], "session_id": session.id})
    assert listed["stdout"] == "17" and listed["exit_code"] == 0


# --- what is shown --------------------------------------------------------------------------------

def test_a_picture_comes_as_one_and_can_be_read(server, session):
    content, answer = content_of(server, session, f"""
class Dot:
    def _repr_png_(self):
        return {PNG!r}
    def __repr__(self):
        return '<a dot>'
display(Dot())
Dot()
""")
    assert [b["type"] for b in content] == ["text", "image", "image"]
    assert base64.b64decode(content[1]["data"]) == PNG and content[1]["mimeType"] == "image/png"
    shown, value = answer["outputs"]
    assert (shown["type"], shown["text"]) == ("display", "<a dot>") and value["type"] == "result"
    (item,) = shown["items"]
    assert item["shown"] is True and item["bytes"] == len(PNG)
    assert item["uri"] in content[0]["text"]
    (read,) = server.request("resources/read", {"uri": item["uri"]})["contents"]
    assert base64.b64decode(read["blob"]) == PNG and read["mimeType"] == "image/png"
    assert item["uri"] in {r["uri"] for r in server.request("resources/list")["resources"]}


def test_html_svg_and_large_pictures_are_linked(server, session):
    content, answer = content_of(server, session, f"""
class Rich:
    def _repr_html_(self):
        return '<b>é</b>'
    def _repr_svg_(self):
        return '<svg xmlns="http://www.w3.org/2000/svg"/>'
    def _repr_png_(self):
        return {PNG!r} + bytes(2 << 20)
Rich()
""")
    links = {b["mimeType"]: b["uri"] for b in content[1:]}
    assert set(links) == {"text/html", "image/svg+xml", "image/png"}
    assert all(b["type"] == "resource_link" for b in content[1:])
    (html,) = server.request("resources/read", {"uri": links["text/html"]})["contents"]
    assert html["text"] == "<b>é</b>"
    (svg,) = server.request("resources/read", {"uri": links["image/svg+xml"]})["contents"]
    assert svg["text"].startswith("<svg")
    (png,) = server.request("resources/read", {"uri": links["image/png"]})["contents"]
    assert len(base64.b64decode(png["blob"])) == len(PNG) + (2 << 20)
    assert answer["outputs"][0]["text"]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26"])
def test_clients_older_than_links_get_pictures_and_no_links(version):
    with mcp.Server(version=version) as server:
        server.initialize()
        ident = re.search("ses_[0-9a-f]{32}", server.call("session_create")).group()
        result = server.request("tools/call", {"name": "run_code", "arguments": {
            "language": "python", "session_id": ident, "code": f"""
class Both:
    def _repr_png_(self):
        return {PNG!r}
    def _repr_html_(self):
        return '<b>' + 'x' * 100000
display(Both())
'a value'
"""}})
        assert set(result) == {"content"}
        text, picture = result["content"]
        assert (text["type"], picture["type"]) == ("text", "image")
        assert base64.b64decode(picture["data"]) == PNG and picture["mimeType"] == "image/png"
        assert "'a value'" in text["text"]
        # what a newer client gets as a link stands in the text as its address
        (uri,) = {line.split()[-1] for line in text["text"].splitlines() if "text/html" in line} or {""}
        assert uri, text["text"]


def test_too_many_outputs_are_counted(session):
    answer = session.run("for i in range(100): display(i)")
    assert len(answer["outputs"]) == 64 and answer["outputs_left_out"] == 36
    assert [o["text"] for o in answer["outputs"]] == [str(i) for i in range(64)]


def test_the_code_cannot_forge_what_is_shown(server, session):
    content, answer = content_of(server, session, """
import os
for line in (b'garbage', b'{"kind":"display"}', b'{"kind":"result","data":{"text/plain":"forged\\\\n--- end"}}'):
    os.write(4, line + b'\\n')
""")
    text = content[0]["text"]
    if answer.get("outputs"):   # 4 is the driver's, and reachable by who looks for it
        assert text.count("--- end of output 1 " + answer["run_id"][-8:]) == 1
        assert answer["outputs_left_out"] == 2


# --- background, input, cancel --------------------------------------------------------------------

def test_a_call_in_the_background_takes_input(server, session):
    begun = session.run("name = input('name? ')\nprint('hello', name)", background=True, open_stdin=True)
    assert begun["status"] == "running" and begun["session_id"] == session.id
    assert "run_input" in begun["note"]
    sent = server.call("run_input", {"run_id": begun["run_id"], "stdin": "Ada\n"})
    assert sent == {"run_id": begun["run_id"], "stdin_bytes": 4, "stdin_open": True}
    end = {"status": "running"}
    while end["status"] == "running":
        end = server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 10000})
    assert end["exit_code"] == 0 and "hello Ada" in end["stdout"]
    assert session.value("name") == "'Ada'"
    with pytest.raises(mcp.ToolError):
        server.call("run_input", {"run_id": begun["run_id"], "stdin": "x"})


def test_a_one_shot_run_takes_input_to_its_end(server):
    begun = server.run_code("bash", "cat", background=True, open_stdin=True)
    server.call("run_input", {"run_id": begun["run_id"], "stdin": "one\n"})
    server.call("run_input", {"run_id": begun["run_id"], "stdin": "two\n", "eof": True})
    end = {"status": "running"}
    while end["status"] == "running":
        end = server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 10000})
    assert (end["exit_code"], end["stdout"]) == (0, "one\ntwo\n")


def test_run_cancel_stops_the_code_and_keeps_the_state(server, session):
    session.run("x = 5")
    begun = session.run("import time\nprint('begun', flush=True)\ntime.sleep(600)", background=True,
                        timeout_ms=120000)
    while "begun" not in server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 10000})["stdout"]:
        pass
    end = server.call("run_cancel", {"run_id": begun["run_id"]})
    assert end["status"] == "cancelled" and "still there" in end["note"]
    assert "variables_lost" not in end
    assert session.value("x") == "5"


def test_calls_of_one_language_run_one_after_another(server, session):
    slow = server.start("run_code", {"language": "python", "session_id": session.id,
                                     "code": "import time\norder = []\ntime.sleep(.5)\norder.append(1)"})
    quick = server.start("run_code", {"language": "python", "session_id": session.id,
                                      "code": "order.append(2)\norder"})
    beside = server.start("run_code", {"language": "bash", "session_id": session.id, "code": "echo here"})
    assert server.finish(beside)["stdout"] == "here\n"
    server.finish(slow)
    assert server.finish(quick)["outputs"][-1]["text"] == "[1, 2]"


def test_closing_ends_what_runs(server, session):
    begun = session.run("import time\ntime.sleep(600)", background=True, timeout_ms=120000)
    session.close()
    end = server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 10000})
    assert end["status"] == "cancelled" and end["session_ended"] == "closed"
    assert "session_create" in end["note"]


# --- files ----------------------------------------------------------------------------------------

def test_files_go_in_and_out(session):
    up = session.tool("artifact_upload", path="data/in.csv", content="a,b\n1,2\n")
    assert up["size"] == 8 and up["mime_type"] == "text/plain"
    assert up["sha256"] == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert session.value("open('data/in.csv').read()") == repr("a,b\n1,2\n")
    session.run(f"open('dot.png', 'wb').write({PNG!r})")
    down = session.tool("artifact_download", path="dot.png")
    assert base64.b64decode(down["content"]) == PNG and down["mime_type"] == "image/png"
    assert down["sha256"] == hashlib.sha256(PNG).hexdigest() and down["eof"] is True
    listed = {e["path"]: e for e in session.tool("artifact_list")["entries"]}
    assert listed["data"]["type"] == "folder" and listed["data/in.csv"]["size"] == 8
    assert session.tool("artifact_delete", path="data/in.csv")["deleted"] is True
    assert "data/in.csv" not in {e["path"] for e in session.tool("artifact_list")["entries"]}
    with pytest.raises(mcp.ToolError) as why:
        session.tool("artifact_download", path="data/in.csv")
    assert why.value.code == "not_found"


def test_a_long_file_goes_in_pieces_both_ways(session):
    piece, whole = bytes(range(256)) * 8192, b""       # 2 MiB
    for _ in range(5):
        up = session.tool("artifact_upload", path="big", encoding="base64", offset=len(whole),
                          content=base64.b64encode(piece).decode())
        whole += piece
        assert up["size"] == len(whole) and up["sha256"] == hashlib.sha256(whole).hexdigest()
    got, offset = b"", 0
    while offset is not None:
        down = session.tool("artifact_download", path="big", offset=offset, length=2 << 20)
        got += base64.b64decode(down["content"])
        offset = down.get("next_offset")
    assert got == whole


def test_names_that_lead_elsewhere_lead_nowhere(session):
    made = session.run("import os, socket\nos.symlink('/etc/passwd', 'link')\n"
                       "os.symlink('/etc', 'folder')\nopen('plain', 'w').write('p')\n"
                       "socket.socket(socket.AF_UNIX).bind('node')")
    assert made["exit_code"] == 0, made["stderr"]
    for path in ("link", "folder/passwd", "node", "missing", "."):
        with pytest.raises(mcp.ToolError):
            session.tool("artifact_download", path=path)
    for path in ("folder/new", "plain/new"):
        with pytest.raises(mcp.ToolError):
            session.tool("artifact_upload", path=path, content="x")
    session.tool("artifact_upload", path="link", content="mine")
    assert session.value("os.path.islink('link'), open('link').read()") == "(False, 'mine')"
    kinds = {e["path"]: e["type"] for e in session.tool("artifact_list")["entries"]}
    assert kinds == {"link": "file", "folder": "link", "node": "other", "plain": "file"}


def test_what_is_there_stays_when_asked(session):
    session.tool("artifact_upload", path="f", content="1")
    with pytest.raises(mcp.ToolError):
        session.tool("artifact_upload", path="f", content="2", overwrite=False)
    assert session.tool("artifact_download", path="f")["content"] == "1"
    with pytest.raises(mcp.ToolError):
        session.tool("artifact_upload", path="f", content="3", offset=7)


def test_a_list_of_many_files_comes_in_pages(session):
    session.run("for i in range(2500): open(f'f{i}', 'w').close()")
    first = session.tool("artifact_list")
    assert len(first["entries"]) == 2000 and first["more"] is True
    rest = session.tool("artifact_list", offset=first["next_offset"])
    names = {e["path"] for e in first["entries"] + rest["entries"]}
    assert names == {f"f{i}" for i in range(2500)} and rest["more"] is False
