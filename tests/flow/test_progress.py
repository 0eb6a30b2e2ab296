"""Progress: only when asked for, under the client's token, rising, and over with the answer."""
import pytest

SLOW = {"language": "python", "code": "import time\nfor i in range(4):\n time.sleep(.7)\n"
                                      " print(i, flush=True)"}


def expect_progress(server, token):
    call = server.start("run_code", SLOW, token=token)
    assert server.finish(call)["exit_code"] == 0
    seen = [n["params"] for n in server.notifications]
    assert len(seen) >= 2
    assert all(p["progressToken"] == token and p["message"] for p in seen)
    # that it rises and stops is judged with every line


@pytest.mark.parametrize("token", ["tok\u00e9n", 0, 12345678901, "1"])
def test_progress_comes_under_the_token_as_it_was_given(server, token):
    expect_progress(server, token)


def test_it_is_over_with_the_answer(either):
    expect_progress(either, "t")
    assert either.silent(2.5)


def test_a_silent_program_is_reported_every_two_seconds(server):
    call = server.start("run_code", {"language": "bash", "code": "sleep 4.5"}, token=1)
    server.finish(call)
    assert len(server.notifications) == 2


def test_without_a_token_there_is_none(either):
    call = either.start("run_code", SLOW)
    either.finish(call)
    assert not either.notifications


def test_the_first_revision_gets_no_message(server):
    server.initialize("2024-11-05")
    call = server.start("run_code", SLOW, token=1)
    server.finish(call)
    assert server.notifications
    assert all("message" not in n["params"] for n in server.notifications)


def test_a_cancelled_call_reports_no_more(server):
    call = server.start("run_code", dict(SLOW, timeout_ms=20000), token="t")
    server.notification("notifications/progress")
    assert server.cancel(call)
    server.notifications.clear()
    assert server.silent(3)
