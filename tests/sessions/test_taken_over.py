"""Code that takes its own interpreter, driver or session over: it can spoil what is its own, and no more; what is
told of it is no worse than what it could have had by simpler means."""
import callers
import pytest
from callers import Session
from processes import gone
from weight import Weight

# What hostile code writes on the guest's line; the guest takes lines of the contract only.
LINES = ["b'end 1 0\\n'", "b'end %d 0\\n' % (call + 1)", "b'end %d 99999999999999999999\\n' % call", "b'up\\n'",
         "b'x' * 100000", "b'\\n'", "b'end %d 0\\0\\n' % call", "b'end -1 0\\n'", "b'run 1\\n'", "b'\\xff' * 63 + b'\\n'"]


@pytest.mark.parametrize("line", LINES)
def test_wrong_words_on_the_guests_line_end_the_interpreter_alone(stdio, line):
    session = Session(stdio)
    session.tool("artifact_upload", path="f", content="here")
    session.good("x = 1")
    session.good("let_be = 5", language="javascript")
    other = Session(stdio)
    other.good("y = 2")
    end = session.run("import os\ncall = display.__globals__['call']\n"
                      f"os.write(3, {line})\nimport time\ntime.sleep(30)\nprint('never')")
    assert end["status"] == "signaled" and end["signal"] == "SIGKILL", end
    assert end["variables_lost"] is True and end["stdout"] == ""
    after = session.good("print('x' in globals(), open('f').read())")
    assert (after["fresh"], after["stdout"]) == (True, "False here\n")
    assert session.value("let_be", language="javascript") == "5"
    assert other.value("y") == "2"


def test_a_forged_end_is_the_end_of_its_own_call_and_of_no_other(stdio):
    """It says what it could have said by exiting; but then it is not at rest, which the guest sees."""
    session = Session(stdio)
    end = session.run("import os\ncall = display.__globals__['call']\nprint('so far', flush=True)\n"
                      "os.write(3, b'end %d 7\\n' % call)\nprint('after')")
    assert (end["status"], end["exit_code"]) == ("exited", 7)
    assert end["stdout"].startswith("so far\n")
    # its real `end` is now a word too many: the interpreter goes, sooner or later, and that is told
    for _ in range(3):
        last = session.run("print('call')")
    assert last["status"] == "exited" and last["stdout"].endswith("call\n")
    assert stdio.call("session_list")["sessions"][0]["session_id"] == session.id


@pytest.mark.parametrize("language, code", [
    ("python", "import os\nos.closerange(0, 1024)"),
    ("python", "import os\nos.close(3)"),
    ("python", "import os\nos.dup2(os.open('/dev/null', os.O_RDWR), 3)"),
    ("python", "import os\nfor fd in map(int, os.listdir('/proc/self/fd')):\n    try: os.close(fd)\n"
               "    except OSError: pass"),
    ("javascript", "require('fs').closeSync(3)"),
    ("bash", "for fd in /proc/$$/fd/*; do fd=${fd##*/}; eval \"exec $fd>&-\"; done; :"),
])
def test_one_that_closes_its_lines_is_ended_and_the_session_goes_on(stdio, language, code):
    session = Session(stdio, language=language)
    session.tool("artifact_upload", path="f", content="here")
    session.run(code, timeout_ms=5000)
    for _ in range(2):
        after = session.shell("cat f") if language != "bash" else session.run("cat f", language="bash")
    assert after["stdout"] == "here"
    assert Session(stdio).value("1 + 1") == "2"
    last = session.run({"python": "print(1)", "javascript": "console.log(1)", "bash": "echo 1"}[language])
    assert (last["status"], last["exit_code"]) == ("exited", 0) and last["stdout"] == "1\n", last


@pytest.mark.parametrize("language, code", [
    ("python", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
    ("javascript", "process.kill(process.pid, 'SIGSTOP')"), ("bash", "kill -STOP $$"),
    ("python", "import os, signal\nfor p in filter(str.isdigit, os.listdir('/proc')):\n"
               "    try: os.kill(int(p), signal.SIGSTOP)\n    except OSError: pass")])
def test_one_that_stops_itself_is_killed_at_the_deadline(stdio, language, code):
    session = Session(stdio, language=language)
    session.tool("artifact_upload", path="f", content="here")
    end = session.run(code, timeout_ms=500)
    assert end["status"] == "timeout" and end["variables_lost"] is True, end
    assert session.download("f")[0] == b"here"
    assert session.run({"python": "print(1)", "javascript": "console.log(1)", "bash": "echo 1"}[language]
                       )["stdout"] == "1\n"


@pytest.mark.parametrize("language, code", [
    ("python", "import subprocess\nsubprocess.Popen(['sh', '-c', 'sleep .2; kill -9 '"
               " + str(__import__('os').getpid())], start_new_session=True)\nx = 1"),
    ("javascript", "require('child_process').spawn('sh', ['-c', 'sleep .2; kill -9 ' + process.pid], "
                   "{ detached: true }); var x = 1; undefined"),
    ("bash", "x=1; setsid sh -c \"sleep .2; kill -9 $$\" &")])
def test_a_process_in_the_background_kills_the_driver(stdio, language, code):
    session = Session(stdio, language=language)
    session.good(code)
    while stdio.call("session_list")["sessions"][0]["interpreters"]:
        pass
    after = session.run({"python": "print(1)", "javascript": "console.log(1)", "bash": "echo 1"}[language])
    assert after["variables_lost"] is True and after["fresh"] is True and after["stdout"] == "1\n"


def test_everything_in_its_sandbox_is_killed_again_and_again(stdio):
    session = Session(stdio, language="bash")
    session.tool("artifact_upload", path="f", content="here")
    for _ in range(5):
        session.run("kill -9 -1; sleep 5", timeout_ms=20000)
        session.run("import os, signal\nos.kill(-1, signal.SIGKILL)", language="python", timeout_ms=20000)
    assert session.download("f")[0] == b"here"
    assert session.run("echo 1")["stdout"] == "1\n"


BOMBS = {
    "forks that stay": "import os, time\ntry:\n    while True:\n        if os.fork() == 0:\n            time.sleep(1000)\n"
                       "            os._exit(0)\nexcept OSError as e:\n    print(type(e).__name__)",
    "forks that fork": "import os, time\nfor i in range(30):\n    try:\n        os.fork()\n    except OSError:\n"
                       "        pass\ntime.sleep(1000) if os.getpid() != pid else None",
    "zombies": "import os\ntry:\n    while True:\n        if os.fork() == 0: os._exit(0)\nexcept OSError as e:\n"
               "    print(type(e).__name__)",
    "orphans": "import os\ntry:\n    for i in range(3000):\n        if os.fork() == 0:\n"
               "            try: os.fork()\n            finally: os._exit(0)\n        os.wait()\n"
               "except OSError as e:\n    print(type(e).__name__)",
    "threads": "import threading, time\ntry:\n    while True:\n        threading.Thread(target=time.sleep, args=(1000,), "
               "daemon=True).start()\nexcept RuntimeError as e:\n    print(type(e).__name__)",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_floods_of_processes_between_calls(stdio, bomb):
    session, other = Session(stdio, processes=64), Session(stdio)
    session.tool("artifact_upload", path="f", content="here")
    session.good("import os\npid = os.getpid()")
    other.good("y = 2")
    with Weight(stdio.pid) as weight:
        end = session.run(BOMBS[bomb], timeout_ms=20000)
        assert end["status"] in ("exited", "timeout", "too_many_processes", "output_limit"), end
        assert other.value("y") == "2"
        assert Session(stdio).value("6 * 7") == "42"
        try:                    # there may be no room for another process of this session, and that is said
            session.run("import os\nos.getpid()", timeout_ms=5000)
        except callers.mcp.ToolError as why:
            assert why.code in ("unavailable", "busy", "limit"), why
        inside = list(callers.inside(stdio.pid))
        session.close()
    weight.check()
    kept = set(callers.inside(stdio.pid))
    assert gone([pid for pid in inside if pid not in kept], 10)
    assert other.value("y") == "2"


def test_calls_that_wait_for_each_other_get_each_its_own_output(caller):
    """The next one may begin as soon as the one before has ended; what it prints is not taken for that one's."""
    session = Session(caller)
    session.good("seen = []")
    for _ in range(8):
        idents = [caller.start("run_code", session.arguments(f"seen.append({i}); print({i}); {i}"))
                  for i in range(12)]
        for i, ident in enumerate(idents):
            answer = caller.finish(ident)
            assert answer["stdout"] == f"{i}\n"
            assert answer["outputs"] == [{"type": "result", "text": str(i)}]
    order = session.value("seen")
    if caller.name == "stdio":      # over HTTP each comes by a connection of its own
        assert order == str(list(range(12)) * 8)


def test_closing_in_the_middle_of_everything(stdio):
    session = Session(stdio)
    session.good("open('big', 'wb').write(bytes(50 << 20))")
    idents = [stdio.start("run_code", session.arguments("import time\ntime.sleep(600)"))]
    idents += [stdio.start("run_code", session.arguments("1")) for _ in range(3)]
    idents += [stdio.start("artifact_download", {"session_id": session.id, "path": "big", "length": 2 << 20})
               for _ in range(3)]
    idents += [stdio.start("artifact_list", {"session_id": session.id}) for _ in range(3)]
    inside = list(callers.inside(stdio.pid))
    session.close()
    ends = []
    for ident in idents:
        try:
            answer = stdio.finish(ident)
            ends.append(answer.get("status", "an answer"))
        except callers.mcp.ToolError as why:
            assert why.code in ("not_found", "busy", "unavailable", "lost"), why
            ends.append(why.code)
    assert ends[0] == "cancelled" and len(ends) == len(idents)
    assert gone(inside, 10)
