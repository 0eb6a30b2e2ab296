"""However a server ends, it ends soon and leaves nothing running."""
import signal
import time

import mcp
import pytest
from processes import gone, offspring

FOREVER = {"language": "python", "code": "while True: pass", "timeout_ms": 30000}


def busy_server():
    """A server with three runs under way, and the pids of all that belongs to it."""
    s = mcp.Server()
    s.initialize()
    s._learn()
    idle = set(offspring(s.proc.pid))
    for _ in range(3):
        s.start("run_code", FOREVER)
    end = time.monotonic() + 20
    while len(offspring(s.proc.pid)) < len(idle) + 3:
        assert time.monotonic() < end, "the runs do not start"
        time.sleep(0.02)
    return s, [s.proc.pid] + offspring(s.proc.pid)


def test_eof_ends_everything_within_two_seconds():
    s, pids = busy_server()
    s.close()
    assert gone(pids)


def test_sigterm_ends_everything_within_two_seconds():
    s, pids = busy_server()
    try:
        s.proc.send_signal(signal.SIGTERM)
        assert s.wait() in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
        assert gone(pids)
    finally:
        s.discard()


def test_sigkill_leaves_nothing_running():
    s, pids = busy_server()
    try:
        s.proc.kill()
        s.proc.wait()
        assert gone(pids, 5)
    finally:
        s.discard()


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_eof_right_after_the_start_is_a_clean_end(era):
    with mcp.Server(era=era):
        pass


def test_what_was_asked_before_eof_is_answered():
    with mcp.Server() as s:
        asked = [s.send("tools/list") for _ in range(50)]
        s.close_stdin()
        for ident in asked:
            assert s.result_of(ident)["tools"]


def test_starting_is_quick():
    """The handshake does not wait for the sandbox to be tried out."""
    with mcp.Server() as warm:
        warm.initialize()
    begun = time.monotonic()
    with mcp.Server() as s:
        s.initialize()
        assert time.monotonic() - begun < 2
