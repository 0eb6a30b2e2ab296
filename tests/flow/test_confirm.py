"""--confirm: nothing runs before the user has agreed to just that, over both transports in both eras.

Every case ends the server and looks at its record: what was not agreed to is not in it."""
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time

import mcp
import mcp_http
import pytest
from cannot import cannot
from mcp_http import HttpServer, Session, modern, notification, request
from processes import gone, offspring

ELICITS = {"elicitation": {}}
CODE = {"name": "run_code", "arguments": {"language": "bash", "code": "echo agreed", "stdin": "x"}}
OTHER = {"name": "run_code", "arguments": {"language": "bash", "code": "echo other", "stdin": "x"}}
YES = {"action": "accept", "content": {"confirm": True}}
NOES = [{"action": "accept", "content": {"confirm": False}}, {"action": "accept", "content": {}},
        {"action": "accept"}, {"action": "accept", "content": {"confirm": "true"}},
        {"action": "decline"}, {"action": "cancel"}]
TIMEOUT = 60


class Stdio:
    """The bare transport: lines of JSON, in and out."""
    name = "stdio"

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="fumehood-test-")
        self.state = os.path.join(self.dir, "state")
        self.proc = subprocess.Popen([mcp.BINARY, "stdio", "--confirm", "--state", self.state],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL)
        self.pid, self.came = self.proc.pid, queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.proc.stdout:
            self.came.put(json.loads(line))
        self.came.put(None)

    def shake_hands(self, capabilities):
        self.send(request("initialize", {"protocolVersion": "2025-11-25", "capabilities": capabilities,
                                         "clientInfo": {"name": "t", "version": "1"}}, "init"))
        assert self.next()["id"] == "init"
        self.send(notification("notifications/initialized"))

    def send(self, message):
        self.proc.stdin.write(json.dumps(message).encode() + b"\n")
        self.proc.stdin.flush()

    def next(self):
        """The next message that is not mere news."""
        while True:
            message = self.came.get(timeout=TIMEOUT)
            if not (message or {}).get("method", "").endswith("changed"):
                return message

    def ask(self, message):
        self.send(message)
        return self.next()

    def vanish(self):
        self.proc.stdin.close()
        assert self.proc.wait(10) == 0

    def audit(self, word):
        """The rows; None when nothing was ever recorded."""
        done = subprocess.run([mcp.BINARY, "audit", word, "--json", "--state", self.state],
                              capture_output=True, text=True, timeout=60)
        if done.returncode and ("never begun" in done.stderr or "there is no" in done.stderr):
            return None
        assert not done.returncode, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def runs(self):
        return [row["status"] for row in self.audit("list") or []
                if (row["run_id"] or "").startswith("run_")]

    def end(self):
        pids = [self.pid] + offspring(self.pid) if self.proc.poll() is None else []
        if self.proc.poll() is None:
            self.vanish()
        assert gone(pids, 5)
        verdict = self.audit("verify")
        assert verdict is None or verdict[0]["intact"]

    def discard(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self.proc.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Http:
    """The same over HTTP: one session in the legacy era, none in the modern one."""

    def __init__(self, wire):
        self.server = HttpServer("--confirm", wire=wire)
        self.session, self.call = None, None

    def shake_hands(self, capabilities):
        self.session = Session(self.server, capabilities=capabilities)

    def send(self, message):
        where = self.session or self.server
        if "method" in message and "id" in message:
            self.call = where.start(message)
        else:
            assert where.post(message).status == 202

    def next(self):
        """A legacy call is on an event stream; all else is one answer."""
        _, headers = self.call.head()
        if headers["content-type"] == "application/json":
            return self.call.answer().json
        while (event := self.call.event()) and not event.data:
            pass
        return event and event.json

    def ask(self, message):
        self.send(message)
        return self.next()

    def vanish(self):
        self.call.close()

    def runs(self):
        return list(self.server.runs().values())

    def end(self):
        self.server.end()

    def discard(self):
        self.server.discard()


@pytest.fixture(params=["stdio", "h1", "h2"])
def client(request):
    if request.param == "stdio":
        made = Stdio()
    else:
        wire = mcp_http.wire_or_skip(request.param)
        if isinstance(wire, str):
            cannot(wire)
        made = Http(wire)
    try:
        yield made
        made.end()
    finally:
        made.discard()


def error_of(answer):
    """The {code, cause, remediation} of a tool's error."""
    assert answer["result"]["isError"], answer
    return json.loads(answer["result"]["content"][0]["text"])


def stdout_of(answer):
    return answer["result"]["structuredContent"]["stdout"]


# --- the legacy era: a request of the server's while the call waits -----------------------------------

def asked(client, ident=5, params=None):
    """Calls; the question."""
    question = client.ask(request("tools/call", params or CODE, ident))
    assert question["method"] == "elicitation/create", question
    assert "echo" in question["params"]["message"]
    assert question["params"]["requestedSchema"]["required"] == ["confirm"]
    return question


def respond(client, question, result):
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": result})
    return client.next()


def test_legacy_yes(client):
    client.shake_hands(ELICITS)
    question = asked(client)
    assert client.runs() == []
    answer = respond(client, question, YES)
    assert answer["id"] == 5 and stdout_of(answer) == "agreed\n"
    assert client.runs() == ["exited"]


@pytest.mark.parametrize("no", NOES, ids=json.dumps)
def test_legacy_no(client, no):
    client.shake_hands(ELICITS)
    answer = respond(client, asked(client), no)
    assert answer["id"] == 5 and error_of(answer)["code"] == "denied"
    assert client.runs() == []


@pytest.mark.parametrize("reply", [{"error": {"code": -1, "message": "no such user"}}, {"result": 5},
                                   {"result": {}}, {"result": {"action": "perhaps"}}], ids=json.dumps)
def test_legacy_an_answer_that_is_none(client, reply):
    client.shake_hands(ELICITS)
    question = asked(client)
    client.send(dict(reply, jsonrpc="2.0", id=question["id"]))
    assert error_of(client.next())["code"] == "invalid"
    assert client.runs() == []


def test_legacy_answered_twice(client):
    """The first counts; a second yes runs nothing more, also not a call that is asked about later."""
    client.shake_hands(ELICITS)
    first = asked(client)
    assert error_of(respond(client, first, {"action": "decline"}))["code"] == "denied"
    client.send({"jsonrpc": "2.0", "id": first["id"], "result": YES})
    second = asked(client, 6)
    assert second["id"] != first["id"]
    client.send({"jsonrpc": "2.0", "id": first["id"], "result": YES})
    assert error_of(respond(client, second, {"action": "cancel"}))["code"] == "denied"
    assert client.runs() == []


def test_legacy_without_the_capability(client):
    client.shake_hands({})
    answer = client.ask(request("tools/call", CODE, 5))
    assert error_of(answer)["code"] == "denied" and "cannot ask" in error_of(answer)["cause"]
    assert client.runs() == []


def test_legacy_cancelled_while_asked(client):
    client.shake_hands(ELICITS)
    question = asked(client)
    client.send(notification("notifications/cancelled", {"requestId": 5}))
    withdrawn = client.next()
    assert withdrawn["method"] == "notifications/cancelled"
    assert withdrawn["params"]["requestId"] == question["id"]
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": YES})
    other = asked(client, 6, OTHER)
    assert stdout_of(respond(client, other, YES)) == "other\n"
    assert client.runs() == ["exited"]


def test_legacy_gone_while_asked(client):
    """On stdio the end of all; over HTTP the question stays open, and nothing runs for it."""
    client.shake_hands(ELICITS)
    asked(client)
    client.vanish()
    assert client.runs() == []


def test_a_legacy_question_is_answered_on_another_connection(wire):
    """The stream broke after the question: the answer to it still counts, and the result is kept."""
    with HttpServer("--confirm", wire=wire) as server:
        s = Session(server, capabilities=ELICITS)
        x = s.start(request("tools/call", CODE, 5))
        while not (event := x.event()).data:
            pass
        x.close()
        assert s.post({"jsonrpc": "2.0", "id": event.json["id"], "result": YES}).status == 202
        last = s.listen(event.id).messages()[-1]
        assert last["id"] == 5 and stdout_of(last) == "agreed\n"
        assert list(server.runs().values()) == ["exited"]


def test_a_question_is_its_sessions_alone(wire):
    """The same id in another session of the same caller answers nothing."""
    with HttpServer("--confirm", wire=wire) as server:
        s, other = (Session(server, capabilities=ELICITS) for _ in range(2))
        x = s.start(request("tools/call", CODE, 5))
        while not (event := x.event()).data:
            pass
        assert other.post({"jsonrpc": "2.0", "id": event.json["id"], "result": YES}).status == 202
        assert other.request("ping")["result"] == {} and server.runs() == {}
        assert s.delete().status in (200, 204)
        assert x.event().json["error"]["code"] == -32001
        x.close()
        assert server.runs() == {}


def test_a_client_that_takes_no_stream_is_told_so(wire):
    with HttpServer("--confirm", wire=wire) as server:
        s = Session(server, capabilities=ELICITS)
        answer = s.post(request("tools/call", CODE, 5), accept="application/json")
        assert error_of(answer.json)["code"] == "denied"
        assert server.runs() == {}


# --- the modern era: input_required, and the same request once more -----------------------------------

def required(client, params=None, **more):
    """Calls; what is asked for."""
    answer = client.ask(modern("tools/call", dict(params or CODE, **more), capabilities=ELICITS))
    result = answer["result"]
    assert result["resultType"] == "input_required", result
    ask = result["inputRequests"]["confirm"]
    assert ask["method"] == "elicitation/create" and "echo" in ask["params"]["message"]
    return result["requestState"]


def again(client, state, answer, params=None, ident=2, capabilities=None):
    more = {"requestState": state} if state is not None else {}
    return client.ask(modern("tools/call", dict(
        params or CODE, inputResponses={"confirm": answer}, **more), ident,
        capabilities=ELICITS if capabilities is None else capabilities))


def test_modern_yes(client):
    state = required(client)
    assert client.runs() == []
    assert stdout_of(again(client, state, YES)) == "agreed\n"
    assert client.runs() == ["exited"]


@pytest.mark.parametrize("no", NOES, ids=json.dumps)
def test_modern_no(client, no):
    assert error_of(again(client, required(client), no))["code"] == "denied"
    assert client.runs() == []


def test_modern_a_yes_counts_once(client):
    """The same retry sent twice, as a proxy may: it is asked about again, not run again."""
    state = required(client)
    assert stdout_of(again(client, state, YES)) == "agreed\n"
    repeated = again(client, state, YES, ident=3)["result"]
    assert repeated["resultType"] == "input_required" and repeated["requestState"] != state
    assert client.runs() == ["exited"]


def test_modern_a_yes_counts_for_what_was_shown(client):
    state = required(client)
    refused = again(client, state, YES, OTHER)
    assert refused["error"]["code"] == -32602
    assert refused["error"]["data"]["reason"] == "invalid_request_state"
    for forged in ("", "x", state[:-2], state[:-1] + ("A" if state[-1] != "A" else "B"), state + "A"):
        assert again(client, forged, YES)["error"]["code"] == -32602, forged
    assert client.runs() == []


@pytest.mark.parametrize("answers", [{}, {"confirm": 5}, {"confirm": None}, {"other": YES}], ids=json.dumps)
def test_modern_without_the_answer_it_is_asked_again(client, answers):
    state = required(client)
    assert required(client, inputResponses=answers, requestState=state) != state
    assert client.runs() == []


def test_modern_a_yes_without_a_question_is_asked_about(client):
    result = again(client, None, YES)["result"]
    assert result["resultType"] == "input_required"
    assert client.runs() == []


def test_modern_without_the_capability(client):
    """An error of its own, so that the client can declare it and call again (2026-07-28, basic)."""
    error = client.ask(modern("tools/call", CODE))["error"]
    assert error["code"] == -32021 and "cannot ask" in error["message"]
    assert error["data"]["requiredCapabilities"] == ELICITS
    assert again(client, required(client), YES, capabilities={})["result"]
    assert client.runs() == ["exited"]      # the user was asked, and said yes


def test_modern_gone_while_asked(client):
    required(client)
    client.vanish()
    assert client.runs() == []


def test_a_state_is_of_one_caller_and_one_server():
    with HttpServer("--confirm", auth=True) as server, HttpServer("--confirm", auth=True) as stranger:
        mine, yours = server.key("mine"), server.key("yours")
        elsewhere = stranger.key("mine")
        ask = modern("tools/call", CODE, capabilities=ELICITS)
        state = server.post(ask, authorization=mine).json["result"]["requestState"]
        retry = modern("tools/call", dict(CODE, requestState=state, inputResponses={"confirm": YES}),
                       capabilities=ELICITS)
        for where, key in ((server, yours), (stranger, elsewhere)):
            error = where.post(retry, authorization=key).json["error"]
            assert error["data"]["reason"] == "invalid_request_state"
        assert server.runs() == stranger.runs() == {}
        assert stdout_of(server.post(retry, authorization=mine).json) == "agreed\n"


def test_what_cannot_run_code_is_not_asked_about(client):
    answer = client.ask(modern("tools/call", {"name": "run_status", "arguments": {"run_id": "run_0"}},
                               capabilities=ELICITS))
    assert error_of(answer)["code"] == "not_found"


def test_many_questions_do_not_keep_others_out(wire):
    """Ten minutes is how long a question is open: one caller's must not take every place of a call."""
    with HttpServer("--confirm", auth=True, wire=wire) as server:
        greedy, other = server.key("greedy"), server.key("other")
        calls, refused = [], 0
        while not refused and len(calls) < 1200:
            s = Session(server, capabilities=ELICITS, authorization=greedy)
            for n in range(120):
                x = s.start(request("tools/call", CODE, n))
                if x.head()[1]["content-type"] == "application/json":
                    assert error_of(x.answer().json)["code"] == "busy"
                    refused += 1
                    break
                calls.append(x)
                while not (event := x.event()).data:
                    pass
                assert event.json["method"] == "elicitation/create"
        s = Session(server, capabilities=ELICITS, authorization=other)
        x = s.start(request("tools/call", CODE, 5))
        while not (event := x.event()).data:
            pass
        assert event.json["method"] == "elicitation/create", event.json
        for one in calls + [x]:
            one.close()
        assert server.runs() == {} and refused
        begun = time.monotonic()
        server.end()
        assert time.monotonic() - begun < TIMEOUT
