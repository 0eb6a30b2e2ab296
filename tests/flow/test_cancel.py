"""Cancellation: the run dies, the id is never answered, everything else goes on."""
import time

import mcp
import pytest

FOREVER = {"language": "python", "code": "import time\nwhile True: time.sleep(1)",
           "timeout_ms": 30000}


def test_a_cancelled_call_is_never_answered(either):
    call = either.start("run_code", FOREVER)
    other = either.start("run_code", {"language": "python", "code": "print('other')"})
    assert either.finish(other)["stdout"] == "other\n"
    assert either.cancel(call)
    assert either.silent(1.0)


def test_cancelling_frees_the_place_of_the_run(server):
    """Far more calls than can run at once, each cancelled: the next still starts soon."""
    calls = [server.start("run_code", FOREVER) for _ in range(40)]
    for call in calls:
        assert server.cancel(call)
    begun = time.monotonic()
    assert server.run_code(code="print('free')")["stdout"] == "free\n"
    assert time.monotonic() - begun < 10


def test_the_id_of_a_cancelled_call_may_be_used_again(server):
    call = server.start("run_code", FOREVER, ident="again")
    assert server.cancel(call)
    server.start("run_code", {"language": "python", "code": "print(2)"}, ident="again")
    assert server.finish("again")["stdout"] == "2\n"


@pytest.mark.parametrize("params", [
    {"requestId": "nobody"}, {"requestId": 10**6}, {"requestId": None}, {"requestId": {}},
    {}, None, {"reason": "why not"}])
def test_cancelling_nothing_is_ignored(server, params):
    call = server.start("run_code", {"language": "python", "code": "print(1)"})
    server.notify("notifications/cancelled", params)
    assert server.finish(call)["stdout"] == "1\n"


def test_an_id_of_another_type_is_another_id(server):
    call = server.start("run_code", {"language": "python", "code": "input(); print(1)",
                                     "stdin": "\n"}, ident=77)
    server.notify("notifications/cancelled", {"requestId": "77"})
    assert server.finish(call)["stdout"] == "1\n"


def test_cancelling_at_once_is_either_before_or_after(either):
    """The cancellation chases its request: at most one answer, and the server lives on."""
    for _ in range(20):
        call = either.start("run_code", {"language": "bash", "code": "true"})
        either.cancel(call)
    assert either.run_code(code="print(1)")["stdout"] == "1\n"


def test_cancelling_after_the_answer_changes_nothing(server):
    call = server.start("run_code", {"language": "python", "code": "print(1)"})
    server.finish(call)
    assert not server.cancel(call)
    server.ping()


def test_initialize_cannot_be_cancelled():
    with mcp.Server() as s:
        s.notify("notifications/cancelled", {"requestId": 1})
        assert s.initialize()
        s.notify("notifications/cancelled", {"requestId": 1})
        s.ping()
