"""A legacy stream that breaks goes on where it broke, and nothing comes twice."""
import mcp_http
import pytest
from mcp_http import HttpServer, Session, call, request

# prints a line when a second has passed, four times: each makes the progress go on
SLOW = call("import time\nfor i in range(4):\n  print(i, flush=True)\n  time.sleep(1)")


@pytest.fixture(scope="module")
def server(wire):
    with HttpServer(wire=wire) as made:
        yield made


def start(session, token=None, params=SLOW):
    params = dict(params, _meta={"progressToken": token}) if token else params
    return session.start(request("tools/call", params, 7))


def answers(events):
    return [e.json for e in events if e.data and "result" in e.json]


def test_the_result_of_a_call_whose_connection_broke(server):
    s = Session(server)
    x = start(s)
    primed = x.event()
    assert primed.id and primed.data == "" and primed.retry
    x.close()
    events = s.listen(primed.id).events()
    assert [a["id"] for a in answers(events)] == [7]
    assert answers(events)[0]["result"]["structuredContent"]["stdout"] == "0\n1\n2\n3\n"


def test_broken_after_every_event(server):
    """Every event is got on a connection of its own; together they are the whole, once."""
    s = Session(server)
    x, seen = start(s, token="t"), []
    while True:
        event = x.event()
        x.close()
        if event is None:
            break
        seen.append(event)
        x = s.listen(event.id)
        if x.head()[0] == 204:
            break
    assert len({e.id for e in seen}) == len(seen)
    progress = [e.json["params"]["progress"] for e in seen[1:-1]]
    assert progress == sorted(set(progress)) and progress
    assert len(answers(seen)) == 1


def test_the_result_is_kept_for_who_comes_later(server):
    s = Session(server)
    x = start(s, params=call("import time; time.sleep(.5); print('late')"))
    primed = x.event()
    x.close()
    other = s.start(request("tools/call", call("import time; time.sleep(1.5)"), 8))
    assert other.messages()[-1]["id"] == 8
    for _ in range(2):    # as long as it is kept
        assert "late" in answers(s.listen(primed.id).events())[0]["result"]["content"][0]["text"]
    last = s.listen(primed.id).events()[-1].id
    assert s.listen(last).answer().status == 204


def test_a_second_connection_takes_the_stream_over(server):
    s = Session(server)
    x = start(s)
    primed = x.event()
    with s.listen(primed.id) as second:
        second.head()
        assert x.event() is None
        assert len(answers(second.events())) == 1


@pytest.mark.parametrize("ident", ["x", "", "0123456789abcdef-1", "0123456789abcdef"])
def test_an_event_id_that_is_not_known_is_400(server, ident):
    assert Session(server).listen(ident).answer().status == 400


def test_an_event_id_of_another_session_is_not_known(server):
    s = Session(server)
    x = start(s, params=call("import time; time.sleep(1)"))
    primed = x.event()
    assert Session(server).listen(primed.id).answer().status == 400
    assert len(answers(x.events())) == 1


def test_the_fixture_that_drops_the_connection(wire):
    """What the conformance suite tries: closed in the middle of a call, the result by GET."""
    with HttpServer("--conformance-fixtures", wire=wire) as server:
        s = Session(server)
        x = s.start(request("tools/call", {"name": "test_reconnection", "arguments": {}}, 3))
        events = x.events()
        assert len(events) == 1 and events[0].data == "" and events[0].id
        assert [a["id"] for a in answers(s.listen(events[0].id).events())] == [3]


def test_news_that_came_while_nobody_listened(server):
    """The standalone stream: a resource that is watched changes while the connection is broken."""
    s = Session(server)
    with s.listen() as x:
        x.head()
        run = s.request("tools/call", call("print(1)"))
        uri = [r["uri"] for r in s.request("resources/list")["result"]["resources"]]
        assert run and uri
        event = x.event()
        assert event.id and event.json["method"] == "notifications/resources/list_changed"
    s.request("tools/call", call("print(2)"))
    with s.listen(event.id) as x:
        later = x.event()
        assert later.json["method"] == "notifications/resources/list_changed"
        assert later.id != event.id
