"""Many calls at once: each gets its own answer, and too many are told so."""
import time

import mcp
import pytest


def test_sixteen_calls_at_once_do_not_mix(either):
    calls = {either.start("run_code", {"language": "python", "code": f"print({n})"}): n
             for n in range(16)}
    for call, n in calls.items():
        assert either.finish(call)["stdout"] == f"{n}\n"


@pytest.fixture
def small():
    with mcp.Server(options=["--max-queue", "64"]) as made:
        made.initialize()
        yield made


def test_more_calls_than_are_taken_are_told_to_wait(small):
    slow = {"language": "python", "code": "import time; time.sleep(60)", "timeout_ms": 30000}
    calls = [small.start("run_code", slow) for _ in range(400)]
    end = time.monotonic() + 20
    while len(small.judge.open) == len(calls):
        assert time.monotonic() < end, "nobody is told"
        small.ping()
    busy, waiting = [], []
    for call in calls:
        with small.lock:
            answered = mcp.key(call) not in small.judge.open
        (busy if answered else waiting).append(call)
    assert busy and waiting
    for call in busy:
        try:
            small.finish(call)
            raise AssertionError("an answer that is no error")
        except mcp.ToolError as why:
            assert why.code == "busy"
            assert why.remediation
    for call in waiting:
        small.cancel(call)
    # what was cancelled has a record to be written before its place is free
    end = time.monotonic() + 20
    while True:
        try:
            assert small.run_code(code="print('room again')")["stdout"] == "room again\n"
            break
        except mcp.ToolError as why:
            assert why.code == "busy" and time.monotonic() < end


def test_a_hundred_calls_in_a_row_leave_nothing_behind(server):
    def descriptors():
        import os
        return len(os.listdir(f"/proc/{server.proc.pid}/fd"))

    server.run_code(language="bash", code="true")
    before = descriptors()
    for _ in range(100):
        assert server.run_code(language="bash", code="true")["exit_code"] == 0
    assert descriptors() <= before
