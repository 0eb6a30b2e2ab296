"""Life and death of sessions: whatever ends one, nothing of it is left, and who comes next is told the truth."""
import os
import signal
import subprocess
import time

import callers
import mcp
import mcp_http
import pytest
from callers import Session
from canary import Canary
from processes import alive, gone, offspring

LANGUAGES = ["python", "javascript", "bash"]


def wait_for(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def sessions(caller):
    return caller.call("session_list")["sessions"]


def verify(state):
    """The record of a server that has ended is whole: its verdict."""
    done = subprocess.run([mcp.BINARY, "audit", "verify", "--json", "--state", state],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"intact":true' in done.stdout.replace(" ", ""), done
    return done.stdout


def refused(caller, ident):
    """What a call in a session that is no more is told."""
    with pytest.raises(mcp.ToolError) as why:
        caller.call("run_code", {"language": "python", "code": "1", "session_id": ident})
    assert why.value.code == "not_found" and "ended" in why.value.remediation, why.value
    return str(why.value)


# --- after the end nothing is found ---------------------------------------------------------------

def planted(caller, state, **limits):
    """A session with a canary in every corner, and the canary; the control is made here."""
    canary = Canary(caller.pid, [state])
    session = Session(caller, **limits)
    for language in LANGUAGES:
        session.good(canary.plant(language), language=language)
    places = canary.places()
    for place in ("mount workspace/kept", "mount tmp/kept", "mount dev/shm/kept", "memory of python3",
                  "memory of node", "memory of bash", "mount workspace/kept.sh"):
        assert place in places, f"the search does not see {place}: {places}"
    assert any(place.startswith("mount tmp/d/") for place in places)
    return session, canary


def by_close(caller, session):
    session.close()


def by_time(caller, session):
    wait_for("the end of its time", lambda: not sessions(caller), 60)


def by_death_of_its_guest(caller, session):
    (guest,) = [pid for pid, name in callers.inside(caller.pid).items() if name == "guest"]
    os.kill(guest, signal.SIGKILL)
    wait_for("the end of the session", lambda: not sessions(caller))


def by_close_while_it_runs(caller, session):
    run_id = session.begin("import time\nprint('on', flush=True)\ntime.sleep(600)")
    session.until(run_id, "on")
    session.close()
    end = session.end_of(run_id)
    assert (end["status"], end["session_ended"]) == ("cancelled", "closed")


ENDINGS = [(by_close, {}), (by_time, {"ttl_s": 20}), (by_time, {"idle_ttl_s": 15}),
           (by_death_of_its_guest, {}), (by_close_while_it_runs, {})]


@pytest.mark.parametrize("end, limits", ENDINGS, ids=[f"{e.__name__}{'-'.join(k)}" for e, k in ENDINGS])
def test_nothing_is_found_after_a_session(needs_root, stdio, end, limits):
    session, canary = planted(stdio, stdio.state, **limits)
    inside = list(callers.inside(stdio.pid))
    end(stdio, session)
    assert gone(inside, 10), "processes of it are left"
    # the keeper lets go of it when the ledger has written its end
    wait_for("the last of it to go", lambda: not canary.in_processes({
        pid: name for name, pid in callers.roles(stdio.pid).items()}))
    assert canary.places() == []
    refused(stdio, session.id)
    assert Session(stdio).value("6 * 7") == "42"


def test_the_search_sees_what_was_printed_and_what_lies_on_disk(needs_root, stdio, tmp_path):
    """The control of the tests above, for the places where nothing may ever be."""
    canary = Canary(stdio.pid, [stdio.state])
    session = Session(stdio)
    session.good(canary.plant("python") + "print(canary.hex())")
    session.close()
    assert canary.places() == ["memory of front"]
    for path in (tmp_path / "file", os.path.join(stdio.state, "other")):
        with open(path, "wb") as file:
            file.write(b"x" * 1000 + canary.raw)
        assert str(path) in canary.places()
        os.unlink(path)


def by_sigterm(caller):
    os.kill(caller.pid, signal.SIGTERM)


def by_eof(caller):
    caller.close_stdin()


def by_kill_of(role):
    def kill(caller):
        os.kill(callers.roles(caller.pid)[role], signal.SIGKILL)
    kill.__name__ = f"kill_of_{role}"
    return kill


DEATHS = [by_sigterm, by_eof] + [by_kill_of(role) for role in ("launcher", "ledger", "keeper", "front")]


@pytest.mark.parametrize("name", ["stdio", "http"])
@pytest.mark.parametrize("death", DEATHS, ids=[d.__name__ for d in DEATHS])
def test_nothing_is_found_after_the_server(needs_root, name, death, tmp_path):
    if name == "http" and death is by_eof:
        return          # it does not read its stdin
    state = str(tmp_path / "state")
    first = start(name, state)
    try:
        session, canary = planted(first, state)
        run_id = session.begin("import time\nprint('on', flush=True)\ntime.sleep(600)")
        session.until(run_id, "on")
        family = [first.pid, *offspring(first.pid)]
        assert len(family) > 8
        death(first)
        assert gone(family, 10), [pid for pid in family if alive(pid)]
        assert canary.places() == []
    finally:
        discard(first)
    second = start(name, state)
    try:
        assert sessions(second) == []
        refused(second, session.id)
        assert Session(second).value("6 * 7") == "42"
        assert canary.places(second.pid) == []
    finally:
        second.close()
        discard(second)
    verify(state)


def start(name, state):
    if name == "stdio":
        return callers.Stdio(state=state)
    return callers.Http(mcp_http.HttpServer(state=state))


def discard(caller):
    if caller.name == "stdio":
        caller.discard()
    else:
        caller.server.discard()


# --- a connection is not a session ----------------------------------------------------------------

def test_a_client_over_stdio_takes_its_server_with_it(stdio_state):
    caller, state = stdio_state
    session = Session(caller)
    session.good("x = 1")
    caller.start("run_code", session.arguments("import time\ntime.sleep(600)", timeout_ms=120000))
    wait_for("the call", lambda: sessions(caller)[0]["running"] == 1)
    family = [caller.pid, *offspring(caller.pid)]
    caller.close_stdin()
    assert caller.wait() == 0
    assert gone(family)
    verify(state)


@pytest.fixture
def stdio_state(tmp_path):
    caller = callers.Stdio(state=str(tmp_path / "state"))
    yield caller, caller.state
    caller.discard()


@pytest.fixture
def keyed():
    with mcp_http.HttpServer(auth=True) as made:
        yield made


def test_over_http_a_session_outlives_its_connection_for_its_owner_alone(keyed):
    ada, eve = keyed.key("ada"), keyed.key("eve")
    caller = callers.Http(keyed, authorization=ada)
    session = Session(caller)
    session.good("x = 5\nopen('f', 'w').write('here')")
    waiting = caller.start("run_code", session.arguments(
        "import time, os\nprint('begun', flush=True)\nopen('begun', 'w').close()\n"
        "while not os.path.exists('go'):\n    time.sleep(.02)\ny = 6"))
    wait_for("the call", lambda: sessions(caller)[0]["running"] == 1)
    caller.drop(waiting)
    caller.session.delete()
    again = callers.Http(keyed, authorization=ada)
    (listed,) = sessions(again)
    assert listed["session_id"] == session.id
    session.caller = again
    assert session.shell("touch go; cat f")["stdout"] == "here"
    assert session.value("x") == "5"
    stranger = callers.Http(keyed, authorization=eve)
    assert sessions(stranger) == []
    nobody = "ses_" + "0" * 32
    assert refused(stranger, session.id) == refused(stranger, nobody).replace(nobody, session.id)
    for tool in ("session_close", "artifact_list"):
        with pytest.raises(mcp.ToolError) as why:
            stranger.call(tool, {"session_id": session.id})
        assert why.value.code == "not_found"
    assert session.value("x + 1") == "6"        # and it is still there
    session.close()
    refused(again, session.id)


def test_hanging_up_is_no_end_of_a_call_of_a_legacy_client(keyed):
    """Its revision says so: a disconnection is no cancellation. The call ends as it would have."""
    ada = keyed.key("ada")
    caller = callers.Http(keyed, authorization=ada)
    session = Session(caller)
    waiting = caller.start("run_code", session.arguments(
        "import time, os\nwhile not os.path.exists('go'):\n    time.sleep(.02)\ny = 6"))
    wait_for("the call", lambda: sessions(caller)[0]["running"] == 1)
    caller.drop(waiting)
    session.caller = callers.Http(keyed, authorization=ada)
    session.tool("artifact_upload", path="go", content="")
    assert session.value("y") == "6"


def test_a_modern_client_that_hangs_up_stops_its_call_and_keeps_its_session(keyed):
    ada = keyed.key("ada")
    caller = callers.Http(keyed, authorization=ada)
    session = Session(caller)
    session.good("x = 5")
    message = mcp_http.modern("tools/call", {"name": "run_code", "arguments": session.arguments(
        "import time\ntime.sleep(600)", timeout_ms=120000)})
    exchange = keyed.start(message, authorization=ada)
    wait_for("the call", lambda: sessions(caller)[0]["running"] == 1)
    exchange.close()
    wait_for("its end", lambda: sessions(caller)[0]["running"] == 0)
    assert session.value("x") == "5"


# --- crashes --------------------------------------------------------------------------------------

CRASHES = [
    ("python", "import os\nos._exit(7)", ("exited", 7, None)),
    ("python", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", ("signaled", None, "SIGSEGV")),
    ("python", "import ctypes\nctypes.string_at(0)", ("signaled", None, "SIGSEGV")),
    ("python", "import os\nos.kill(os.getpid(), 9)", ("signaled", None, "SIGKILL")),
    ("python", "import os\nos.abort()", ("signaled", None, "SIGABRT")),
    ("python", "import os\nos.execv('/bin/sh', ['sh', '-c', 'exit 4'])", ("exited", 4, None)),
    ("javascript", "process.kill(process.pid, 'SIGKILL')", ("signaled", None, "SIGKILL")),
    ("javascript", "process.abort()", ("signaled", None, "SIGABRT")),
    ("javascript", "process.reallyExit(6)", ("exited", 6, None)),
    ("bash", "kill -9 $$", ("signaled", None, "SIGKILL")),
    ("bash", "kill -TERM $$", ("signaled", None, "SIGTERM")),
    ("bash", "exec sh -c 'exit 5'", ("exited", 5, None)),
]
SET = {"python": "x = 1", "javascript": "var x = 1", "bash": "x=1"}
LOOK = {"python": "print('x' in globals(), open('f').read())",
        "javascript": "console.log('x' in globalThis, fs.readFileSync('f', 'utf8'))",
        "bash": "echo ${x-False} $(cat f)"}


@pytest.mark.parametrize("language, code, how", CRASHES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CRASHES)])
def test_a_crash_is_told_and_files_stay(stdio, language, code, how):
    session = Session(stdio, language=language)
    session.tool("artifact_upload", path="f", content="here")
    session.good(SET[language])
    crash = session.run(code)
    assert (crash["status"], crash.get("exit_code"), crash.get("signal")) == how, crash
    assert crash["variables_lost"] is True and "files are still there" in crash["note"], crash
    after = session.good(LOOK[language])
    assert after["fresh"] is True
    assert after["stdout"].lower() == "false here\n"
    again = session.good(LOOK[language])
    assert again["fresh"] is False and "variables_lost" not in again


@pytest.mark.parametrize("language, code, look", [
    ("python", "import os, threading, time\nx = 1\nthreading.Timer(.1, os._exit, [3]).start()",
     "print('x' in globals())"),
    ("javascript", "var x = 1; setTimeout(() => process.reallyExit(3), 100); 0", "console.log('x' in globalThis)"),
    ("bash", "x=1; (sleep .1; kill -9 $$) &", "echo ${x-False}")])
def test_one_that_ends_between_calls_is_told_by_the_next(stdio, language, code, look):
    session = Session(stdio, language=language)
    session.good(code)
    wait_for("its end", lambda: not sessions(stdio)[0]["interpreters"])
    after = session.good(look)
    assert after["fresh"] is True and after["variables_lost"] is True
    assert "variables of earlier calls were lost" in after["note"]
    assert after["stdout"].lower() == "false\n"


@pytest.mark.parametrize("language, code", [
    ("python", "x = []\nwhile True:\n    x.append(bytearray(1 << 20))\n    x[-1][::4096] = b'1' * 256"),
    ("python", "import os\nfor i in range(8):\n    if os.fork() == 0:\n"
               "        x = []\n        while True:\n            x.append(b'1' * (1 << 20))\nos.wait()\n"
               "x = []\nwhile True:\n    x.append(b'1' * (1 << 20))"),
    ("javascript", "const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))"),
    ("bash", "x=1; while :; do x=$x$x$x; done")])
def test_out_of_memory_loses_variables_and_keeps_files(stdio, language, code):
    session = Session(stdio, language=language, memory_bytes=160 << 20)
    session.tool("artifact_upload", path="f", content="here")
    session.good(SET[language])
    end = session.run(code, timeout_ms=60000)
    if end["status"] == "exited":               # it was told no; it says so
        assert end["exit_code"] != 0, end
        assert "emory" in end["stderr"] or "cannot allocate" in end["stderr"], end
    elif end["limits"] == "degraded":           # it was told no, which some cannot bear
        assert end["status"] in ("signaled", "out_of_memory"), end
    else:
        assert end["status"] == "out_of_memory" and "memory" in end["limits_hit"], end
    lost = end.get("variables_lost", False)
    if lost:
        assert "files are still there" in end["note"], end
    after = session.run(LOOK[language])
    if lost:
        assert after["fresh"] is True
    if not lost and after["exit_code"] != 0:    # what took all the memory is still there; it is not told as lost
        assert "emory" in after["stderr"] and "variables_lost" not in after, after
    else:
        assert after["stdout"].split()[-1] == "here"
    assert session.download("f")[0] == b"here"


# --- interrupts -----------------------------------------------------------------------------------

DEAF = [
    ("python", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on', flush=True)\n"
               "while True: pass"),
    ("python", "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
               "print('on', flush=True)\nimport time\ntime.sleep(600)"),
    ("python", "import signal\nsignal.signal(signal.SIGINT, lambda *what: None)\nprint('on', flush=True)\n"
               "while True: sum(range(99))"),
    ("bash", "trap '' INT; echo on; while :; do sleep 100; done"),
    ("bash", "exec bash -c \"trap '' INT; echo on; while :; do sleep 100; done\""),
]


@pytest.mark.parametrize("language, code", DEAF, ids=[f"{d[0]}-{i}" for i, d in enumerate(DEAF)])
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_code_that_does_not_hear_is_killed(stdio, language, code, how):
    session = Session(stdio, language=language)
    session.tool("artifact_upload", path="f", content="here")
    session.good(SET[language])
    inside = set(callers.inside(stdio.pid))
    if how == "timeout":
        end = session.run(code, timeout_ms=700)
        assert end["status"] == "timeout"
    else:
        run_id = session.begin(code)
        session.until(run_id, "on")
        end = stdio.call("run_cancel", {"run_id": run_id})
        end = session.end_of(run_id)
        assert end["status"] == "cancelled"
    assert end["variables_lost"] is True and "files are still there" in end["note"], end
    assert not {name for pid, name in callers.inside(stdio.pid).items() if pid not in inside}
    assert session.good(LOOK[language])["stdout"].lower() == "false here\n"


@pytest.mark.parametrize("language, code", [
    ("python", "while True: pass"), ("python", "import time\ntime.sleep(600)"),
    ("python", "class Loop:\n    def __repr__(self):\n        while True: pass\nLoop()"),
    ("python", "import subprocess\nsubprocess.run(['sleep', '600'])"),
    ("python", "import threading\nthreading.Event().wait()"),
    ("javascript", "for (;;);"), ("javascript", "await new Promise(() => {})"),
    ("javascript", "require('child_process').execSync('sleep 600')"),
    ("javascript", "({ [require('util').inspect.custom]() { for (;;); } })"),
    ("bash", "while :; do :; done"), ("bash", "sleep 600"), ("bash", "sleep 600 | cat"), ("bash", "read x <> <(:)"),
])
def test_code_that_hears_is_stopped_and_variables_stay(stdio, language, code):
    session = Session(stdio, language=language)
    session.good(SET[language])
    end = session.run(code, timeout_ms=300)
    assert end["status"] == "timeout" and "variables_lost" not in end, end
    assert "still there" in end["note"]
    after = session.good({"python": "x", "javascript": "x", "bash": "echo $x"}[language])
    assert after["fresh"] is False
    assert "1" in (after["stdout"] or after["outputs"][-1]["text"])
