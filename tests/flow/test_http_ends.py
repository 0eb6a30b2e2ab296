"""However a call, a session or the server ends: the processes are gone and the record is complete."""
import signal

import cells
import mcp_http
import processes
import pytest
from cells import named, until
from mcp_http import HttpServer, Session, call, modern, notification, refused, request

FOREVER = call(named("while True: pass"))


@pytest.fixture(params=["sandboxes", "cells"])
def how(request):
    """Words of a server's command line, and whether the runs are in copies of an interpreter."""
    return ([], True) if request.param == "cells" else (cells.NONE, False)


@pytest.fixture
def server(wire, how):
    with HttpServer(*how[0], wire=wire) as made:
        made.observe(how[1])
        yield made


def ended(server, pids, status="cancelled"):
    assert processes.gone(pids, 5), "the program still runs"
    assert server.outcomes() == [status]


@pytest.mark.parametrize("token", [None, "t"])
def test_a_modern_client_that_closes_cancels(server, token):
    """Before there is an answer, and on a stream that is open."""
    x = server.start(modern("tools/call", FOREVER, token=token))
    pids = server.begun()
    x.close()
    ended(server, pids)
    assert server.post(modern("tools/list")).status == 200


def test_a_modern_client_that_is_killed_cancels(server):
    """Many calls at once, all given up."""
    calls = [server.start(modern("tools/call", FOREVER)) for _ in range(5)]
    pids = server.begun(5)
    for x in calls:
        x.close()
    assert processes.gone(pids, 5)
    assert server.outcomes() == ["cancelled"] * 5


def test_a_legacy_client_that_leaves_does_not_cancel(server):
    s = Session(server)
    x = s.start(request("tools/call", call(named("import time; time.sleep(1.5)")), 5))
    server.begun()
    x.close()
    assert server.outcomes() == ["exited"]


def test_a_legacy_cancel_ends_the_run_and_the_stream(server):
    s = Session(server)
    x = s.start(request("tools/call", FOREVER, 5))
    pids = server.begun()
    assert s.post(notification("notifications/cancelled", {"requestId": 5})).status == 202
    assert all("id" not in m for m in x.messages()), "a cancelled call was answered"
    ended(server, pids)


def test_delete_ends_the_runs_of_the_session(server):
    s, other = Session(server), Session(server)
    x = s.start(request("tools/call", FOREVER, 5))
    pids = server.begun()
    assert s.delete().status in (200, 204)
    messages = x.messages()
    assert messages[-1]["id"] == 5 and messages[-1]["error"]["code"] == -32001
    ended(server, pids)
    assert other.request("ping")["result"] == {}
    assert s.post(request("ping")).status == 404


def test_a_client_that_never_reads_holds_up_nobody(wire):
    """It asks for much and takes nothing; others are served meanwhile."""
    with HttpServer(wire=wire) as server:
        idle = [server.start(modern("tools/list", ident=n)) for n in range(20)]
        for n in range(20):
            assert server.post(modern("tools/list", ident=n)).status == 200
        for x in idle:
            x.close()


# --- the server ends -------------------------------------------------------------------------------

@pytest.fixture
def stoppable(wire, how):
    made = HttpServer("--drain-ms", "20000", *how[0], wire=wire)
    try:
        made.observe(how[1])
        yield made
    finally:
        made.discard()


def test_sigterm_lets_a_call_end(stoppable):
    s = Session(stoppable)
    slow = call(named("import time; time.sleep(2); print('done')"))
    calls = [s.start(request("tools/call", slow, 5)), stoppable.start(modern("tools/call", slow))]
    stoppable.begun(2)
    stoppable.terminate()
    for x in calls:
        assert x.messages()[-1]["result"]["structuredContent"]["stdout"] == "done\n"
        x.close()
    assert stoppable.wait() == 0
    stoppable.end()


def test_sigterm_cuts_what_takes_too_long(wire, how):
    server = HttpServer("--drain-ms", "300", *how[0], wire=wire)
    try:
        server.observe(how[1])
        s = Session(server)
        calls = [s.start(request("tools/call", FOREVER, 5)),
                 server.start(modern("tools/call", FOREVER, 5))]
        server.begun(2)
        pids = server.family()
        server.terminate()
        for x in calls:
            answer = x.messages()[-1]
            assert answer["id"] == 5 and answer["error"]["code"] == -32000
            x.close()
        assert server.wait() == 0 and processes.gone(pids, 5)
        assert server.outcomes() == ["cancelled", "cancelled"]
        server.end()
    finally:
        server.discard()


def test_sigterm_ends_listeners_in_order(stoppable):
    s = Session(stoppable)
    standalone = s.listen()
    standalone.head()
    listener = stoppable.start(modern("subscriptions/listen",
                                      {"notifications": {"toolsListChanged": True}}, "l"))
    listener.event()
    stoppable.terminate()
    assert standalone.event() is None
    last = listener.messages()[-1]
    assert last["id"] == "l" and last["result"]["resultType"] == "complete"
    listener.close()
    standalone.close()
    assert stoppable.wait() == 0
    stoppable.end()


def test_a_second_sigterm_is_at_once(stoppable):
    x = stoppable.start(modern("tools/call", FOREVER))
    stoppable.begun()
    pids = stoppable.family()
    stoppable.terminate()
    until("it goes on accepting", lambda: refused(stoppable))
    stoppable.terminate()
    assert stoppable.wait(10) == 0 and processes.gone(pids, 5)
    stoppable.end()


def test_sigkill_leaves_nothing_running(stoppable):
    x = stoppable.start(modern("tools/call", FOREVER))
    stoppable.begun()
    pids = stoppable.family()
    stoppable.proc.kill()
    stoppable.wait()
    assert processes.gone(pids, 5)


@pytest.mark.parametrize("role", ["keeper", "ledger", "front"])
def test_a_role_that_dies_takes_the_others_along(stoppable, role):
    """A call in flight is answered with an error, or its connection ends; exit code not 0."""
    s = Session(stoppable)
    x = s.start(request("tools/call", FOREVER, 5))
    stoppable.begun()
    pids = stoppable.family()
    for pid in pids[1:]:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if f"fumehood-{role}".encode() in file.read():
                victim = pid
    mcp_http.os.kill(victim, signal.SIGKILL)
    assert stoppable.wait(10) != 0 and processes.gone(pids, 5)
    try:
        last = x.messages()[-1]
    except (AssertionError, OSError, mcp_http.http.client.HTTPException):
        last = None
    assert last is None or last.get("error") or last["result"]["isError"], last
