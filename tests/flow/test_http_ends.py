"""However a call, a session or the server ends: the processes are gone and the record is complete."""
import signal
import time

import mcp_http
import processes
import pytest
from mcp_http import HttpServer, Session, call, modern, notification, request

FOREVER = call("while True: pass")
NOISY = call("while True: print('x' * 4096)")


@pytest.fixture
def server(wire):
    with HttpServer(wire=wire) as made:
        made.idle = set(made.family())
        yield made


def until(what, condition):
    end = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def begin(server, x, runs=1):
    """Waits until the program runs; its processes."""
    until("the run does not start",
          lambda: len(set(server.family()) - server.idle) >= 3 * runs)
    return set(server.family()) - server.idle


def ended(server, pids, status="cancelled"):
    assert processes.gone(pids, 5), "the program still runs"
    assert outcomes(server) == [status]


def outcomes(server):
    """How the runs ended, once all have."""
    def all_ended():
        found = list(server.runs().values())
        return found if "running" not in found else None
    return until("no outcome", all_ended)


@pytest.mark.parametrize("token", [None, "t"])
def test_a_modern_client_that_closes_cancels(server, token):
    """Before there is an answer, and on a stream that is open."""
    x = server.start(modern("tools/call", FOREVER, token=token))
    pids = begin(server, x)
    x.close()
    ended(server, pids)
    assert server.post(modern("tools/list")).status == 200


def test_a_modern_client_that_is_killed_cancels(server):
    """Many calls at once, all given up."""
    calls = [server.start(modern("tools/call", FOREVER)) for _ in range(5)]
    pids = begin(server, calls[0], 5)
    for x in calls:
        x.close()
    assert processes.gone(pids, 5)
    assert outcomes(server) == ["cancelled"] * 5


def test_a_legacy_client_that_leaves_does_not_cancel(server):
    s = Session(server)
    x = s.start(request("tools/call", call("import time; time.sleep(1.5)"), 5))
    begin(server, x)
    x.close()
    assert outcomes(server) == ["exited"]


def test_a_legacy_cancel_ends_the_run_and_the_stream(server):
    s = Session(server)
    x = s.start(request("tools/call", FOREVER, 5))
    pids = begin(server, x)
    assert s.post(notification("notifications/cancelled", {"requestId": 5})).status == 202
    assert all("id" not in m for m in x.messages()), "a cancelled call was answered"
    ended(server, pids)


def test_delete_ends_the_runs_of_the_session(server):
    s, other = Session(server), Session(server)
    x = s.start(request("tools/call", FOREVER, 5))
    pids = begin(server, x)
    assert s.delete().status in (200, 204)
    messages = x.messages()
    assert messages[-1]["id"] == 5 and messages[-1]["error"]["code"] == -32001
    ended(server, pids)
    assert other.request("ping")["result"] == {}
    assert s.post(request("ping")).status == 404


def test_a_client_that_never_reads_holds_up_nobody(server):
    """It asks for much and takes nothing; others are served meanwhile."""
    idle = [server.start(modern("tools/list", ident=n)) for n in range(20)]
    for n in range(20):
        assert server.post(modern("tools/list", ident=n)).status == 200
    for x in idle:
        x.close()


# --- the server ends -------------------------------------------------------------------------------

@pytest.fixture
def stoppable(wire):
    made = HttpServer("--drain-ms", "20000", wire=wire)
    made.idle = set(made.family())
    yield made
    made.discard()


def test_sigterm_lets_a_call_end(stoppable):
    s = Session(stoppable)
    calls = [s.start(request("tools/call", call("import time; time.sleep(2); print('done')"), 5)),
             stoppable.start(modern("tools/call", call("import time; time.sleep(2); print('done')")))]
    begin(stoppable, calls[0], 2)
    stoppable.terminate()
    for x in calls:
        assert x.messages()[-1]["result"]["structuredContent"]["stdout"] == "done\n"
        x.close()
    assert stoppable.wait() == 0
    stoppable.end()


def test_sigterm_cuts_what_takes_too_long(wire):
    server = HttpServer("--drain-ms", "300", wire=wire)
    try:
        server.idle = set(server.family())
        s = Session(server)
        calls = [s.start(request("tools/call", FOREVER, 5)),
                 server.start(modern("tools/call", FOREVER, 5))]
        begin(server, calls[0], 2)
        pids = server.family()
        server.terminate()
        for x in calls:
            answer = x.messages()[-1]
            assert answer["id"] == 5 and answer["error"]["code"] == -32000
            x.close()
        assert server.wait() == 0 and processes.gone(pids, 5)
        assert list(server.runs().values()) == ["cancelled", "cancelled"]
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
    begin(stoppable, x)
    pids = stoppable.family()
    stoppable.terminate()
    until("it goes on accepting", lambda: refused(stoppable))
    stoppable.terminate()
    assert stoppable.wait(10) == 0 and processes.gone(pids, 5)
    stoppable.end()


def refused(server):
    try:
        server.connect().close()
    except OSError:
        return True
    return False


def test_sigkill_leaves_nothing_running(stoppable):
    x = stoppable.start(modern("tools/call", FOREVER))
    begin(stoppable, x)
    pids = stoppable.family()
    stoppable.proc.kill()
    stoppable.wait()
    assert processes.gone(pids, 5)


@pytest.mark.parametrize("role", ["keeper", "ledger", "front"])
def test_a_role_that_dies_takes_the_others_along(stoppable, role):
    """A call in flight is answered with an error, or its connection ends; exit code not 0."""
    s = Session(stoppable)
    x = s.start(request("tools/call", FOREVER, 5))
    begin(stoppable, x)
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
