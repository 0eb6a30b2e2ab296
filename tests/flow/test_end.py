"""However a server ends, it ends soon and leaves nothing running."""
import collections
import json
import os
import signal
import subprocess
import time

import cells
import mcp
import pytest
from processes import gone, offspring

FOREVER = {"language": "python", "code": cells.named("while True: pass"), "timeout_ms": 30000}


@pytest.fixture(params=["sandboxes", "cells"])
def busy(request):
    """A server with three runs under way, and the pids of all that belongs to it."""
    warm = request.param == "cells"
    s = mcp.Server(options=[] if warm else cells.NONE)
    try:
        s.initialize()
        s._learn()
        if warm:
            cells.warm_up(lambda: s.run_code(code="1"))
        watch = cells.Watch(s.proc.pid, warm)
        for _ in range(3):
            s.start("run_code", FOREVER)
        assert watch.begun(3)
        assert not warm or os.geteuid() or cells.cgroups(s.proc.pid), "where they would be"
        yield s, [s.proc.pid] + offspring(s.proc.pid)
    finally:
        s.discard()


def test_eof_ends_everything_within_two_seconds(busy):
    s, pids = busy
    s.close()
    assert gone(pids) and not cells.cgroups(s.proc.pid)


def test_sigterm_ends_everything_within_two_seconds(busy):
    s, pids = busy
    s.proc.send_signal(signal.SIGTERM)
    assert s.wait() in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
    assert gone(pids) and not cells.cgroups(s.proc.pid)


def test_eof_ends_it_as_soon_with_hundreds_that_wait():
    """All of them end at once then, and of each it is written that it began and how it ended."""
    s = mcp.Server(options=["--max-runs", "1"])
    try:
        s.initialize()
        for _ in range(700):
            s.start("run_code", FOREVER)
        s.ping()
        s.proc.stdin.close()
        s.wait()
        assert "record" not in s.stderr()
        text = subprocess.run([mcp.BINARY, "audit", "list", "--json", "--limit", "5000", "--state", s.state], check=True,
                              capture_output=True, text=True).stdout
        ends = [json.loads(line)["status"] for line in text.splitlines()]
        assert len(ends) == 700 and set(ends) == {"cancelled"}, collections.Counter(ends)
    finally:
        s.discard()


def test_sigkill_leaves_nothing_running(busy):
    """Nobody is there to remove its control groups but the next server's start."""
    s, pids = busy
    s.proc.kill()
    s.proc.wait()
    assert gone(pids, 5)
    with mcp.Server() as after:
        after.initialize()
        after.run_command("true")
        assert not cells.cgroups(s.proc.pid)


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
