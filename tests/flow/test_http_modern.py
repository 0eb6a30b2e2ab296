"""The modern era over HTTP: statuses, headers against the body, streams; and both eras on one port."""
import json

import mcp_http
import pytest
from mcp_http import META, MODERN, HttpServer, Session, call, modern, request


@pytest.fixture(scope="module")
def server(wire):
    with HttpServer(wire=wire) as made:
        yield made


def test_an_answer_alone_is_json(server):
    answer = server.post(modern("server/discover"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["result"]["supportedVersions"] == [MODERN]
    assert "mcp-session-id" not in answer.headers


def test_a_run(server):
    answer = server.post(modern("tools/call", call("print(6*7)"), ident="x"))
    assert answer.status == 200 and answer.json["id"] == "x"
    assert answer.json["result"]["structuredContent"]["stdout"] == "42\n"


def test_progress_makes_it_a_stream(server):
    x = server.start(modern("tools/call", call("import time\nfor i in range(4):\n"
                                               "  print(i, flush=True); time.sleep(1)"), token="t"))
    status, headers = x.head()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert headers["cache-control"] == "no-cache, no-transform"
    events = x.events()
    assert all(e.id is None and e.event == "message" for e in events)
    assert [e.json.get("method", "answer") for e in events][-1] == "answer"
    assert len(events) > 1


def test_who_takes_json_alone_gets_the_answer_alone(server):
    answer = server.post(modern("tools/call", call("import time; print(1, flush=True); time.sleep(2.5)"),
                                token="t"), accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["result"]["structuredContent"]["status"] == "exited"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html", "text/event-stream"])
def test_any_accept_is_answered(server, accept):
    answer = server.post(modern("tools/list"), accept=accept)
    assert answer.status == 200 and b'"tools"' in answer.body


@pytest.mark.parametrize("method", ["ping", "initialize", "logging/setLevel", "nonsense/x",
                                    "resources/subscribe"])
def test_a_method_that_is_not_there_is_404(server, method):
    answer = server.post(modern(method))
    assert answer.status == 404 and answer.json["error"]["code"] == -32601


@pytest.mark.parametrize("headers,code", [
    ({"mcp_method": None}, -32020), ({"mcp_method": "tools/call"}, -32020),
    ({"mcp_protocol_version": "2025-11-25"}, -32020), ({"mcp_protocol_version": None}, -32020)])
def test_headers_that_do_not_match_are_400(server, headers, code):
    answer = server.post(modern("tools/list"), **headers)
    assert answer.status == 400 and answer.json["error"]["code"] == code, answer


@pytest.mark.parametrize("name", [None, "run_command", "RUN_CODE", "=?base64?!!?="])
def test_a_name_that_does_not_match_is_400(server, name):
    answer = server.post(modern("tools/call", call("print(1)")), mcp_name=name)
    assert answer.status == 400 and answer.json["error"]["code"] == -32020


def test_a_name_in_base64_matches(server):
    answer = server.post(modern("tools/call", call("print(1)")), mcp_name="=?base64?cnVuX2NvZGU=?=")
    assert answer.status == 200


def test_a_version_that_is_not_known_is_400(server):
    message = modern("tools/list")
    message["params"]["_meta"][META + "protocolVersion"] = "2099-01-01"
    answer = server.post(message)
    assert answer.status == 400 and answer.json["error"]["code"] == -32022
    assert answer.json["error"]["data"]["supported"] == [MODERN]


def test_the_header_without_the_envelope_is_400(server):
    answer = server.post(request("tools/list", {}), mcp_protocol_version=MODERN,
                         mcp_method="tools/list")
    assert answer.status == 400 and answer.json["error"]["code"] == -32602


def test_a_session_id_means_nothing(server):
    assert server.post(modern("tools/list"), mcp_session_id="nonsense").status == 200


def test_what_is_found_out_later_is_200(server):
    answer = server.post(modern("tools/call", {"name": "nobody", "arguments": {}}))
    assert answer.status == 200 and answer.json["error"]["code"] == -32602


def test_a_listener_is_acknowledged_at_once(server):
    message = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "l")
    with server.start(message) as x:
        event = x.event()
        assert event.json["method"] == "notifications/subscriptions/acknowledged"
    assert server.post(message, accept="application/json").status == 406


def test_the_same_id_twice_is_two_requests(server):
    """Each POST is a world of its own: there is no session in which an id could be taken."""
    first = server.start(modern("tools/call", call("import time; time.sleep(1); print(1)")))
    second = server.post(modern("tools/call", call("print(2)")))
    assert second.json["result"]["structuredContent"]["stdout"] == "2\n"
    assert first.messages()[-1]["result"]["structuredContent"]["stdout"] == "1\n"


def test_both_eras_on_one_port(server):
    """Interleaved, each with its own ids."""
    s = Session(server)
    old = [s.start(request("tools/call", call(f"import time; time.sleep(.3); print('old', {n})"), n))
           for n in range(3)]
    new = [server.start(modern("tools/call", call(f"import time; time.sleep(.3); print('new', {n})"), n))
           for n in range(3)]
    for kind, exchanges in (("old", old), ("new", new)):
        for n, x in enumerate(exchanges):
            message = x.messages()[-1]
            assert message["id"] == n
            assert message["result"]["structuredContent"]["stdout"] == f"{kind} {n}\n"


def test_a_long_call_is_answered_before_it_ends(wire):
    """--promote-ms: the answer says that it runs; run_status waits for the end."""
    with HttpServer("--promote-ms", "300", wire=wire) as server:
        answer = server.post(modern("tools/call", call("import time; time.sleep(2); print('end')")))
        result = answer.json["result"]["structuredContent"]
        assert result["status"] == "running"
        while result["status"] == "running":  # news ends a wait too
            asked = {"name": "run_status", "arguments": {"run_id": result["run_id"], "wait_ms": 20000}}
            messages = server.start(modern("tools/call", asked)).messages()
            result = messages[-1]["result"]["structuredContent"]
        assert result["status"] == "exited"


def test_a_silent_stream_is_kept_alive(wire):
    with HttpServer("--keepalive-ms", "100", wire=wire) as server:
        with server.start(modern("subscriptions/listen", {"notifications": {}})) as x:
            x.event()
            assert x.comment() == "keepalive" and x.comment() == "keepalive"
        s = Session(server)
        with s.listen() as x:
            assert x.comment() == "keepalive"


def test_many_requests_on_one_connection(server):
    if server.wire is not mcp_http.Http1:
        return    # the wire has a test of its own for that
    with server.open("POST", headers=mcp_http.headers_for(modern("tools/list")),
                     body=modern("tools/list")) as x:
        for n in range(20):
            if n:
                body = json.dumps(modern("tools/list", ident=n))
                x.conn.request("POST", "/mcp", body, dict(mcp_http.headers_for(modern("tools/list")),
                                                          host=server.authority))
            answer = x.conn.getresponse()
            assert json.loads(answer.read())["result"]["tools"]
