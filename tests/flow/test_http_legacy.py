"""The legacy era over HTTP: every row of the table of statuses, sessions, and whose they are."""
import json

import mcp_http
import pytest
from mcp_http import BOTH, HttpServer, Session, notification, request

INITIALIZE = request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                                    "clientInfo": {"name": "t", "version": "1"}})


@pytest.fixture(scope="module")
def server(wire):
    with HttpServer(wire=wire) as made:
        yield made


@pytest.fixture(scope="module")
def session(server):
    return Session(server)


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_revision_gets_a_session(server, version):
    s = Session(server, version=version)
    assert s.version == version
    assert s.request("tools/list")["result"]["tools"]
    assert s.request("ping")["result"] == {}
    assert s.delete().status in (200, 204)


def test_the_id_is_visible_ascii_and_new_each_time(server):
    ids = {Session(server).id for _ in range(5)}
    assert len(ids) == 5
    for ident in ids:
        assert len(ident) >= 32 and all(0x21 <= ord(c) <= 0x7E for c in ident)


def test_a_notification_and_a_response_are_202_and_empty(session):
    for message in (notification("notifications/initialized"), notification("notifications/nobody"),
                    {"jsonrpc": "2.0", "id": 99, "result": {}}):
        answer = session.post(message)
        assert (answer.status, answer.body) == (202, b"")


@pytest.mark.parametrize("accept,status,kind", [
    (BOTH, 200, "application/json"), ("application/json", 200, "application/json"),
    ("text/event-stream", 200, "text/event-stream"), ("*/*", 200, "application/json"),
    (None, 200, "application/json"), ("text/html", 406, "application/json"),
    ("application/json;q=0", 406, "application/json")])
def test_accept(session, accept, status, kind):
    answer = session.post(request("tools/list"), accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (status, kind)
    assert status != 200 or b'"tools"' in answer.body


@pytest.mark.parametrize("kind,status", [
    ("application/json", 200), ("application/json; charset=utf-8", 200), ("Application/JSON", 200),
    ("text/plain", 415), (None, 415), ("application/x-www-form-urlencoded", 415)])
def test_content_type(session, kind, status):
    assert session.post(request("ping"), content_type=kind).status == status


@pytest.mark.parametrize("body,code", [
    ("{", -32700), ("", -32700), ("\xff", -32700), ("[]", -32600),
    (json.dumps([request("ping")]), -32600), ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
    ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600), ('"x"', -32600)])
def test_what_is_no_message_is_400(session, body, code):
    answer = session.server.open("POST", headers=mcp_http.headers_for({}, **session.headers),
                                 body=body.encode("latin-1")).answer()
    assert answer.status == 400 and answer.json["error"]["code"] == code


def test_a_second_initialize_is_400(session):
    answer = session.post(INITIALIZE)
    assert answer.status == 400 and answer.json["error"]["code"] == -32600
    assert "mcp-session-id" not in answer.headers


def test_no_session_id_is_400(server):
    for message in (request("tools/list"), request("ping"), notification("notifications/initialized"),
                    {"jsonrpc": "2.0", "id": 1, "result": {}}):
        answer = server.post(message)
        assert answer.status == 400 and answer.json["id"] is None
        assert answer.json["error"]["code"] == -32000


@pytest.mark.parametrize("ident", ["0" * 64, "x", "a b", "../" * 20])
def test_an_unknown_session_is_404(server, ident):
    answer = server.post(request("tools/list"), mcp_session_id=ident)
    assert answer.status == 404 and answer.json["error"]["code"] == -32001
    assert server.get("/mcp", accept="text/event-stream", mcp_session_id=ident).status == 404


def test_two_session_ids_are_400(session):
    assert session.post(request("ping"), mcp_session_id=[session.id, "x"]).status == 400


def test_a_stale_id_and_initialize_is_a_new_session(server):
    old = Session(server)
    assert old.delete().status in (200, 204)
    assert old.post(request("ping")).status == 404
    assert old.delete().status == 404
    answer = server.post(INITIALIZE, mcp_session_id=old.id)
    assert answer.status == 200 and answer.headers["mcp-session-id"] != old.id


@pytest.mark.parametrize("version,status", [
    ("2025-11-25", 200), (None, 200), ("2025-03-26", 200), ("1999-01-01", 400), ("x", 400)])
def test_the_version_header(session, version, status):
    assert session.post(request("ping"), mcp_protocol_version=version).status == status


def test_the_version_header_may_be_there_on_initialize(server):
    assert server.post(INITIALIZE, mcp_protocol_version="2025-11-25").status == 200


def test_get_is_a_stream_or_405_and_never_json(session):
    with session.listen() as x:
        status, headers = x.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["x-accel-buffering"] == "no"
    server = session.server
    assert server.get("/mcp", accept="text/event-stream").status == 405
    answer = server.get("/mcp", accept="application/json", mcp_session_id=session.id)
    assert answer.status == 406


def test_a_second_get_takes_the_place_of_the_first(session):
    with session.listen() as first:
        first.head()
        with session.listen() as second:
            assert second.head()[0] == 200
            assert first.event() is None


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "TRACE", "OPTIONS"])
def test_other_methods_are_405(server, method):
    answer = server.open(method, "/mcp").answer()
    assert answer.status == 405 and "POST" in answer.headers["allow"]


def test_a_trailing_slash_is_the_same(server):
    answer = server.open("POST", "/mcp/", mcp_http.headers_for(INITIALIZE), INITIALIZE).answer()
    assert answer.status == 200


def test_a_body_that_is_too_long_is_413(server):
    """Known from the head alone (HTTP/1.1), or when the client has sent some of it."""
    size = 17 << 20
    headers = dict(mcp_http.headers_for({}), **{"content-length": str(size)})
    body = None if server.wire is mcp_http.Http1 else b"x" * size
    assert server.open("POST", headers=headers, body=body).answer().status == 413


def test_calls_of_one_session_run_side_by_side(session):
    calls = [session.start(request("tools/call", mcp_http.call(f"print({n})"), 100 + n))
             for n in range(8)]
    for n, x in enumerate(calls):
        message = x.messages()[-1]
        assert message["id"] == 100 + n
        assert message["result"]["structuredContent"]["stdout"] == f"{n}\n"


def test_progress_comes_on_the_stream_of_its_call(session):
    params = dict(mcp_http.call("import time\nfor i in range(4):\n  print(i, flush=True)\n"
                                "  time.sleep(1)"), _meta={"progressToken": "p"})
    events = session.start(request("tools/call", params, 200)).events()
    assert events[0].data == "" and events[0].retry and events[0].id
    messages = [e.json for e in events[1:]]
    assert all(m["method"] == "notifications/progress" for m in messages[:-1]) and len(messages) > 1
    assert messages[-1]["id"] == 200
    assert len({e.id for e in events}) == len(events) and all(e.event == "message" for e in events[1:])


def test_an_older_client_gets_no_event_without_a_message(server):
    s = Session(server, version="2025-06-18")
    params = dict(mcp_http.call("import time; print(1, flush=True); time.sleep(3)"),
                  _meta={"progressToken": 1})
    events = s.start(request("tools/call", params)).events()
    assert events and all(e.json["jsonrpc"] == "2.0" for e in events)


def test_a_session_belongs_to_its_principal():
    with HttpServer(auth=True) as server:
        mine, yours = server.key("mine"), server.key("yours")
        s = Session(server, authorization=mine)
        for method in ("POST", "GET", "DELETE"):
            answer = server.open(method, headers=mcp_http.headers_for(
                {}, authorization=yours, mcp_session_id=s.id),
                body=request("tools/list") if method == "POST" else None).answer()
            unknown = server.open(method, headers=mcp_http.headers_for(
                {}, authorization=yours, mcp_session_id="0" * 64),
                body=request("tools/list") if method == "POST" else None).answer()
            assert answer.status == unknown.status == 404 and answer.body == unknown.body
        assert s.post(request("ping"), authorization=None).status == 401
        assert s.request("tools/list")["result"]["tools"]


def test_a_batch_in_the_revision_that_has_them(server):
    """2025-03-26: each member is answered, on one stream; one that only notifies is 202."""
    s = Session(server, version="2025-03-26")
    answers = s.start([request("ping", ident=1), notification("notifications/initialized"),
                       request("tools/call", mcp_http.call("print('in a batch')"), 2),
                       request("nobody", ident=3)]).messages()
    by_id = {m["id"]: m for m in answers}
    assert len(answers) == 3 and by_id[1]["result"] == {} and by_id[3]["error"]["code"] == -32601
    assert "in a batch" in by_id[2]["result"]["content"][0]["text"]
    assert s.post([notification("notifications/initialized")]).status == 202
    assert s.post([request("ping")], accept="application/json").status == 406
    assert s.post([]).status == 400
    assert s.post([INITIALIZE]).status == 400
    assert s.post([request("ping", ident=n) for n in range(100)]).status == 400


@pytest.mark.parametrize("version", ["2024-11-05", "2025-06-18", "2025-11-25"])
def test_a_batch_in_another_revision_is_400(server, version):
    answer = Session(server, version=version).post([request("ping")])
    assert answer.status == 400 and answer.json["error"]["code"] == -32600
