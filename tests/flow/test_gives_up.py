"""A client that gives up, in every way it can: the processes of the run are gone, the record is complete."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

import cells
import mcp
import mcp_http
import processes
import pytest
from cells import named, until
from httpd import Authority
from mcp_http import HttpServer, Session, call, modern, notification, refused, request

INITIALIZE = request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                                    "clientInfo": {"name": "t", "version": "1"}})
FOREVER = call(named("print('begun', flush=True)\nwhile True: pass"))
END = call(named("import time; time.sleep(1); print('end')"))


@pytest.fixture(scope="module", name="ca")
def certificate_authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.sign("server")
    return made


@pytest.fixture(params=["clear", "tls", "cells"])
def server(request, wire, ca):
    """Over HTTP/1.1 and 2, in the clear and over TLS; and where the runs are in copies of an interpreter."""
    if request.param == "tls":
        made = HttpServer("--tls-cert", ca.path("server.pem"), "--tls-key", ca.path("server.key"),
                          *cells.NONE, wire=wire, tls=ca.path("ca.pem"))
    else:
        made = HttpServer(*(cells.NONE if request.param == "clear" else ()), wire=wire)
    with made:
        made.observe(warm=request.param == "cells")
        yield made


@pytest.fixture(params=["sandboxes", "cells"])
def plain(request, wire):
    """The same in the clear alone."""
    with HttpServer(*(cells.NONE if request.param == "sandboxes" else ()), wire=wire) as made:
        made.observe(warm=request.param == "cells")
        yield made


def ended(server, pids, status="cancelled"):
    assert processes.gone(pids, 5), "the program still runs"
    assert server.outcomes() == [status]


def sock_of(x):
    return x.sock if hasattr(x, "sock") else x.conn.sock


def reset(x):
    """Ends the connection with a RST, as a host does whose process was killed with data unread."""
    sock = sock_of(x)
    raw = socket.socket(fileno=os.dup(sock.fileno()))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.detach() if hasattr(sock, "unwrap") else sock.close()
    os.close(raw.detach())


# --- modern: closing is cancelling --------------------------------------------------------------------

@pytest.mark.parametrize("token", [None, "t"])
def test_modern_closes(server, token):
    x = server.start(modern("tools/call", FOREVER, token=token))
    pids = server.begun()
    x.close()
    ended(server, pids)


def test_modern_times_out_on_an_open_stream(server):
    """As an SDK does after its 60 s: progress has come, no answer has, it closes the stream."""
    x = server.start(modern("tools/call", FOREVER, token="t"))
    assert x.event().json["method"] == "notifications/progress"
    pids = server.begun()
    x.close()
    ended(server, pids)


def test_a_modern_notification_cancels_nothing_over_http(server):
    """It is of no session, so it could only be somebody else's request: taken and ignored."""
    x = server.start(modern("tools/call", END, 5))
    server.begun()
    cancel = modern("notifications/cancelled", {"requestId": 5})
    del cancel["id"]
    assert server.post(cancel).status == 202
    assert x.messages()[-1]["result"]["structuredContent"]["stdout"] == "end\n"


# --- legacy: cancelling is a message --------------------------------------------------------------------

def start(s, params=FOREVER, ident=5, token=None):
    params = dict(params, _meta={"progressToken": token}) if token else params
    return s.start(request("tools/call", params, ident))


@pytest.mark.parametrize("closes", ["before", "after", "never"])
def test_legacy_times_out(server, closes):
    """notifications/cancelled, with the stream closed before it, after it or not at all."""
    s = Session(server)
    x = start(s)
    pids = server.begun()
    if closes == "before":
        x.close()
    cancel = notification("notifications/cancelled", {"requestId": 5, "reason": "timeout"})
    assert s.post(cancel).status == 202
    if closes == "after":
        x.close()
    ended(server, pids)
    if closes == "never":
        assert all("id" not in m for m in x.messages()), "a cancelled call was answered"
    assert s.request("ping")["result"] == {}


def test_legacy_leaves_and_does_not_come_back(server):
    """Leaving is not cancelling: the run goes on to its end, and DELETE is what ends it sooner."""
    s = Session(server)
    x = start(s)
    pids = server.begun()
    x.close()
    assert s.request("ping")["result"] == {}
    assert not processes.gone(pids, 0.3), "leaving has cancelled"
    assert s.delete().status in (200, 204)
    ended(server, pids)


def test_legacy_somebody_elses_request_is_not_cancelled(server):
    s, other = Session(server), Session(server)
    x = start(s, END)
    server.begun()
    for ident in (5, "5", 5.0, None):
        assert other.post(notification("notifications/cancelled", {"requestId": ident})).status == 202
    assert x.messages()[-1]["result"]["structuredContent"]["stdout"] == "end\n"


def test_legacy_comes_back_and_cancels(server):
    """The stream broke, the client resumed it with Last-Event-ID, and gives up then."""
    s = Session(server)
    x = start(s)
    primed = x.event()
    pids = server.begun()
    x.close()
    with s.listen(primed.id) as resumed:
        resumed.head()
        assert s.post(notification("notifications/cancelled", {"requestId": 5})).status == 202
        assert [e for e in resumed.events() if e.data] == []
    ended(server, pids)


def test_legacy_gives_up_a_wait_and_not_the_run(server):
    """run_status is cancelled, what it waited for is not; run_cancel ends that."""
    s = Session(server)
    run = s.start(request("tools/call", call(named("while True: pass"), background=True), 5)
                  ).messages()[-1]["result"]["structuredContent"]
    pids = server.begun()
    wait = s.start(request("tools/call", {"name": "run_status", "arguments": {
        "run_id": run["run_id"], "wait_ms": 45000}}, 6))
    assert wait.head()[0] == 200
    assert s.post(notification("notifications/cancelled", {"requestId": 6})).status == 202
    assert all("id" not in m for m in wait.messages())
    assert not processes.gone(pids, 0.3), "the run went with the wait"
    end = s.start(request("tools/call", {"name": "run_cancel",
                                         "arguments": {"run_id": run["run_id"]}}, 7))
    assert end.messages()[-1]["result"]["structuredContent"]["status"] == "cancelled"
    ended(server, pids)


# --- a client that dies ----------------------------------------------------------------------------------

KILLED_HTTP = """
import sys
sys.path.insert(0, {path!r})
from mcp_http import *
server = object.__new__(HttpServer)
server.address = server.authority = {address!r}
server.wire, server.tls = WIRES[{wire!r}], None
x = server.start(modern("tools/call", {params!r}, token="t"))
x.event()
print("asked", flush=True)
x.event(3600)
"""

KILLED_STDIO = """
import json, subprocess, sys
sys.path.insert(0, {path!r})
from cells import warm_up_by_hand
server = subprocess.Popen({argv!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def send(m): server.stdin.write(json.dumps(m).encode() + b"\\n"); server.stdin.flush()
*first, last = {messages!r}
for message in first:
    send(message)
if {warm_up!r}:
    warm_up_by_hand(server, {warm_up!r})
print(server.pid, flush=True)
sys.stdin.readline()
send(last)
for line in server.stdout:
    pass
"""


def script(text, **values):
    path = os.path.dirname(mcp_http.__file__)
    return subprocess.Popen([sys.executable, "-c", text.format(path=path, **values)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def test_a_modern_client_that_is_killed(plain):
    client = script(KILLED_HTTP, address=plain.address, params=FOREVER,
                    wire={v: k for k, v in mcp_http.WIRES.items()}[plain.wire])
    with client:
        assert client.stdout.readline() == "asked\n"
        pids = plain.begun()
        client.send_signal(signal.SIGKILL)
    ended(plain, pids)


def test_a_modern_client_whose_host_resets(plain):
    x = plain.start(modern("tools/call", FOREVER))
    pids = plain.begun()
    reset(x)
    ended(plain, pids)


BOTH_WAYS = pytest.mark.parametrize("warm", [False, True], ids=["sandboxes", "cells"])
WARM_UP = modern("tools/call", call("1"), 9)


@BOTH_WAYS
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_stdio_client_that_is_killed(tmp_path, era, warm):
    """It is the server's parent and has no time to close anything."""
    state = str(tmp_path / "state")
    messages = [modern("tools/call", FOREVER, 2)] if era == "modern" else [
        INITIALIZE, request("tools/call", FOREVER, 2)]
    argv = [mcp.BINARY, "stdio", "--state", state, *([] if warm else cells.NONE)]
    with script(KILLED_STDIO, argv=argv, messages=messages, warm_up=WARM_UP if warm else None) as client:
        server = int(client.stdout.readline())
        watch = cells.Watch(server, warm)
        client.stdin.write("\n")
        client.stdin.flush()
        assert watch.begun()
        family, folders = processes.offspring(server), cells.cgroups(server)
        client.send_signal(signal.SIGKILL)
    assert processes.gone([server, *family], 5), "the server outlived its client"
    assert not cells.cgroups(server)
    assert not warm or folders or os.geteuid(), "where they would be"
    *earlier, last = stdio_outcomes(state)
    assert last == "cancelled" and set(earlier) == ({"exited"} if warm else set())


def audit(state, word):
    done = subprocess.run([mcp.BINARY, "audit", word, "--json", "--state", state],
                          capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def stdio_outcomes(state):
    verdict, = audit(state, "verify")
    assert verdict["intact"]
    return [row["status"] for row in audit(state, "list")
            if (row["run_id"] or "").startswith("run_")]


@BOTH_WAYS
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_stdio_client_that_stops_reading_and_closes(tmp_path, era, warm):
    """Its end of stdout is gone, stdin still open: nobody can be answered, so it ends."""
    state = str(tmp_path / "state")
    argv = [mcp.BINARY, "stdio", "--state", state, *([] if warm else cells.NONE)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as proc:
        if warm:
            cells.warm_up_by_hand(proc, WARM_UP)
        watch = cells.Watch(proc.pid, warm)
        ask = modern("tools/call", call(named("while True: print('x' * 100, flush=True)")), 2, token="t")
        if era == "legacy":
            ask["params"]["_meta"] = {"progressToken": "t"}
        proc.stdin.write(json.dumps(ask).encode() + b"\n")
        proc.stdin.flush()
        assert watch.begun()
        family = processes.offspring(proc.pid)
        proc.stdout.close()
        proc.wait(30)
        assert processes.gone(family, 5)
    assert stdio_outcomes(state)[-1] in ("cancelled", "output_limit")


# --- a server that begins anew -----------------------------------------------------------------------------

def restart(state, wire, *options):
    return HttpServer(*options, state=state, wire=wire)


@BOTH_WAYS
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_after_a_restart_a_session_is_404_and_begins_anew(wire, how, warm):
    with tempfile.TemporaryDirectory(prefix="fumehood-test-") as state:
        old = restart(state, wire, *([] if warm else cells.NONE))
        try:
            old.observe(warm)
            s = Session(old)
            run = s.start(request("tools/call", call(named("while True: pass"), background=True), 5)
                          ).messages()[-1]["result"]["structuredContent"]
            x = start(s, ident=6)
            primed = x.event()
            pids = old.begun(2) | set(old.family())
            old.proc.send_signal(how)
            if how == signal.SIGTERM:
                until("it goes on accepting", lambda: refused(old))
                old.proc.send_signal(how)       # a second one: at once
            old.proc.wait(20)
            assert processes.gone(pids, 5)
            with restart(state, wire) as new:
                s.server = new
                for answer in (s.post(request("ping")), s.listen().answer(), s.delete(),
                               s.listen(primed.id).answer(),
                               s.post(notification("notifications/cancelled", {"requestId": 6}))):
                    assert answer.status == 404 and answer.json["error"]["code"] == -32001
                # what every client does then
                again = new.post(INITIALIZE, mcp_session_id=s.id)
                assert again.status == 200 and again.headers["mcp-session-id"] != s.id
                fresh = Session(new)
                assert fresh.request("ping")["result"] == {}
                gone = fresh.request("tools/call", {"name": "run_status", "arguments": {
                    "run_id": run["run_id"]}})["result"]
                assert gone["isError"] and "not_found" in gone["content"][0]["text"]
                found = {status for run, status in new.runs().items() if run not in old.earlier}
                assert found == {"cancelled"} if how == signal.SIGTERM else "running" not in found
        finally:
            old.discard()


def test_after_a_restart_a_modern_client_notices_nothing(wire):
    with tempfile.TemporaryDirectory(prefix="fumehood-test-") as state:
        for n in range(2):
            with restart(state, wire) as server:
                answer = server.post(modern("tools/call", call(f"print({n})"))).json
                assert answer["result"]["structuredContent"]["stdout"] == f"{n}\n"
