"""What is one caller's does not exist for another: runs, their output, tasks, sessions, states. Each probe
has its control: the owner, with the same words, gets it."""
import json
import re

import mcp_http
import pytest
from mcp_http import HttpServer, Session, call, modern, notification, request

TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
ELICIT = {"elicitation": {"form": {}}}
SLEEPS = "print('canary', flush=True)\nimport time\ntime.sleep(300)"


@pytest.fixture(scope="module", name="server")
def a_server():
    with HttpServer("--promote-ms", "200", auth=True) as made:
        made.mine, made.yours = made.key("mine"), made.key("yours")
        yield made


def ask(server, who, method, params=None, **more):
    """The answer, without what differs from call to call."""
    answer = server.post(modern(method, params, **more), authorization=who)
    message = answer.json
    return message.get("result", message.get("error")), answer.status


def tool(server, who, name, **arguments):
    return ask(server, who, "tools/call", {"name": name, "arguments": arguments})[0]


def refused(exchange, status):
    """The answer; a stream that began instead would have no end to wait for."""
    assert exchange.head()[0] == status, exchange.headers
    return exchange.answer()


def begin(server, code=SLEEPS):
    """A run of `mine` that is under way; it is ended by whoever asked for it."""
    content = ask(server, server.mine, "tools/call", call(code, timeout_ms=300000))[0]["structuredContent"]
    assert content["status"] == "running", content
    return content["run_id"]


def end(server, run_id):
    assert tool(server, server.mine, "run_cancel", run_id=run_id)["structuredContent"]["status"] == "cancelled"


def same(one, other, an_id, unknown):
    """Told in the same words, but for the id that was asked for."""
    return json.dumps(one).replace(an_id, "ID") == json.dumps(other).replace(unknown, "ID")


# --- runs -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["run_status", "run_cancel"])
def test_a_run(server, name):
    run_id, unknown = begin(server), "run_" + "0" * 32
    theirs = tool(server, server.yours, name, run_id=run_id)
    assert theirs["isError"] and "canary" not in json.dumps(theirs)
    assert same(theirs, tool(server, server.yours, name, run_id=unknown), run_id, unknown)
    assert same(theirs, tool(server, server.mine, name, run_id=unknown), run_id, unknown)
    mine = tool(server, server.mine, "run_status", run_id=run_id)
    assert mine["structuredContent"]["status"] == "running" and "canary" in json.dumps(mine)
    end(server, run_id)


@pytest.mark.parametrize("what", ["stdout", "stderr", "result", "stdout?offset=0&length=9"])
def test_the_output_of_a_run(server, what):
    run_id, unknown = begin(server), "run_" + "0" * 32
    mine, status = ask(server, server.mine, "resources/read", {"uri": f"sandbox://runs/{run_id}/{what}"})
    assert status == 200 and mine["contents"], mine
    theirs = ask(server, server.yours, "resources/read", {"uri": f"sandbox://runs/{run_id}/{what}"})
    nobodys = ask(server, server.yours, "resources/read", {"uri": f"sandbox://runs/{unknown}/{what}"})
    assert "contents" not in theirs[0] and same(theirs, nobodys, run_id, unknown)
    end(server, run_id)


def test_lists_and_completions_name_no_others_run(server):
    run_id = begin(server)
    complete = {"ref": {"type": "ref/resource", "uri": "sandbox://runs/{run_id}/stdout"},
                "argument": {"name": "run_id", "value": "run_"}}
    for method, params in (("resources/list", None), ("completion/complete", complete)):
        assert run_id in json.dumps(ask(server, server.mine, method, params)[0]), method
        assert "run_" not in json.dumps(ask(server, server.yours, method, params)[0]).replace(
            "run_code", "").replace("run_command", ""), method
    end(server, run_id)


@pytest.mark.parametrize("run_id", [
    "", "run_", "../run_", "run_%", "*", "run_%2e%2e", "run_" + "0" * 31, "run_" + "0" * 33, "run_' OR '1'='1",
    "run_\0", "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace")])
def test_no_word_is_every_run(server, run_id):
    mine = begin(server)
    for who in (server.mine, server.yours):
        answer = server.post(modern("tools/call", {"name": "run_status", "arguments": {"run_id": run_id}}),
                             authorization=who)
        assert mine not in answer.body.decode() and "canary" not in answer.body.decode()
        assert "error" in answer.json or answer.json["result"]["isError"], answer
    end(server, mine)


def test_run_ids_are_random(server):
    found = {tool(server, server.mine, "run_code", language="python", code="")["structuredContent"]["run_id"]
             for _ in range(8)}
    assert len(found) == 8 and all(re.fullmatch("run_[0-9a-f]{32}", run_id) for run_id in found)
    for at in range(4, 36):     # none of the digits is always the same: 1 in 2^28 by chance
        assert len({run_id[at] for run_id in found}) > 1


# --- tasks ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
def test_a_task(server, method):
    task = ask(server, server.mine, "tools/call", call(SLEEPS), capabilities=TASKS)[0]["taskId"]
    unknown = "tsk_" + "0" * 32
    more = {"inputResponses": {}} if method == "tasks/update" else {}

    def say(who, which):
        return ask(server, who, method, {"taskId": which, **more}, capabilities=TASKS)
    theirs = say(server.yours, task)
    assert theirs[0]["code"] == -32602 and same(theirs, say(server.yours, unknown), task, unknown)
    mine = ask(server, server.mine, "tasks/get", {"taskId": task}, capabilities=TASKS)[0]
    assert mine["status"] == "working", "another one ended it"
    assert say(server.mine, task)[0]["resultType"] == "complete"
    ask(server, server.mine, "tasks/cancel", {"taskId": task}, capabilities=TASKS)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel"])
def test_a_task_of_2025(server, method):
    mine, yours = (Session(server, authorization=who) for who in (server.mine, server.yours))
    task = mine.request("tools/call", dict(call(SLEEPS), task={"ttl": 60000}))["result"]["task"]["taskId"]
    unknown = "tsk_" + "0" * 32
    theirs, nobodys = (yours.request(method, {"taskId": which}) for which in (task, unknown))
    assert same(theirs["error"], nobodys["error"], task, unknown)
    assert task in json.dumps(mine.request("tasks/list")) and task not in json.dumps(yours.request("tasks/list"))
    assert mine.request("tasks/get", {"taskId": task})["result"]["status"] == "working"
    assert mine.request("tasks/cancel", {"taskId": task})["result"]["status"] == "cancelled"


# --- sessions, calls, states ------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session(server, method):
    session = Session(server, authorization=server.mine)

    def say(who, which):
        headers = mcp_http.headers_for({}, mcp_session_id=which, authorization=who,
                                       accept="text/event-stream" if method == "GET" else mcp_http.BOTH)
        return server.open(method, headers=headers, body=request("ping") if method == "POST" else None)
    theirs, nobodys = (refused(say(server.yours, which), 404) for which in (session.id, "0" * 64))
    assert theirs.body == nobodys.body
    assert {k: v for k, v in theirs.headers.items() if k != "date"} == {
        k: v for k, v in nobodys.headers.items() if k != "date"}
    assert session.request("ping")["result"] == {}, "another one ended it"
    with say(server.mine, session.id) as mine:
        assert mine.head()[0] in (200, 204)


def test_the_stream_of_a_session(server):
    """An event id is of no use to whoever has no session of it, nor in a session of his own."""
    mine, yours = (Session(server, authorization=who) for who in (server.mine, server.yours))
    with mine.start(request("tools/call", call(SLEEPS, timeout_ms=300000), 7)) as stream:
        event = stream.event()
    assert event.id
    refused(server.open("GET", headers={
        "accept": "text/event-stream", "mcp-session-id": mine.id, "last-event-id": event.id,
        "authorization": server.yours}), 404)
    refused(yours.listen(event.id), 400)
    with mine.listen(event.id) as again:
        found = again.event()
        while "canary" not in (found.data or ""):
            found = again.event()
    mine.delete()


def test_a_call_is_cancelled_by_its_session_only():
    """The program talks on: what is cancelled is silent soon."""
    talks = "import time\nwhile True:\n    print('x', flush=True)\n    time.sleep(0.02)"
    with HttpServer(auth=True) as server:
        mine, yours = (Session(server, authorization=server.key(name)) for name in "ab")
        params = dict(call(talks, timeout_ms=300000), _meta={"progressToken": "t"})
        with mine.start(request("tools/call", params, 7)) as stream:
            while "progress" not in (stream.event().data or ""):
                pass
            assert yours.post(notification("notifications/cancelled", {"requestId": 7})).status == 202
            assert yours.request("ping")["result"] == {}
            for _ in range(5):
                event = stream.event()
                assert event is not None and "progress" in event.data, "another one ended it"
            assert mine.post(notification("notifications/cancelled", {"requestId": 7})).status == 202
            assert all("progress" in event.data for event in stream.events())


def test_a_sealed_state_is_one_callers():
    with HttpServer("--confirm", auth=True) as server:
        mine, yours = server.key("mine"), server.key("yours")

        def say(who, **more):
            return ask(server, who, "tools/call", dict(call("print('ran')"), **more), capabilities=ELICIT)[0]
        asked = say(mine)
        assert asked["resultType"] == "input_required", asked
        key, = asked["inputRequests"]
        state = asked["requestState"]
        answers = {key: {"action": "accept", "content": {
            name: True for name in asked["inputRequests"][key]["params"]["requestedSchema"]["properties"]}}}
        at = len(state) // 2
        bent = state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1:]
        refused = [say(who, inputResponses=answers, requestState=which)
                   for who, which in ((yours, state), (mine, bent), (yours, say(mine)["requestState"][:-1]))]
        assert all(one["code"] == -32602 and one == refused[0] for one in refused), refused
        assert not server.runs()
        assert say(mine, inputResponses=answers, requestState=state)["structuredContent"]["stdout"] == "ran\n"


# --- quotas -----------------------------------------------------------------------------------------

def test_one_callers_sessions_are_not_at_anothers_cost(server):
    mine = Session(server, authorization=server.mine)
    yours = [Session(server, authorization=server.yours) for _ in range(70)]
    assert mine.request("ping")["result"] == {}
    assert yours[0].post(request("ping")).status == 404, "the oldest made room for the newest"
    assert yours[-1].request("ping")["result"] == {}
