"""--max-sessions: how many there may be, who may have them, and what is refused at the start."""
import os

import mcp
import pytest
from mcp_http import HttpServer, Session

ROOT = os.geteuid() == 0
FILES = 16 * 24 + 64 * 4 + 64 + 10 * 24     # for 16 runs, 64 that wait, the keeper's own, 10 sessions


@pytest.fixture
def start(tmp_path):
    """start(words...) -> a server"""
    made = []

    def begin(*words, **how):
        made.append(mcp.Server(argv=["stdio", "--state", str(tmp_path / f"state{len(made)}"), *words], **how))
        return made[-1]
    yield begin
    for server in made:
        server.discard()


def serving(server):
    server.initialize()
    return server


def sessions_of(server):
    return serving(server).call("sandbox_info")["limits"]["sessions"]


def told_at_the_end(server, code):
    assert server.wait(10) == code
    return server.stderr()


class Caller(Session):
    """A session of a key of its own."""

    def __init__(self, server, name):
        super().__init__(server, authorization=server.key(name))

    def call(self, tool, **arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments})["result"]


def test_the_one_caller_of_stdio_has_all_of_them(start):
    server = serving(start("--max-sessions", "3"))
    assert server.call("sandbox_info")["limits"]["sessions"] == 3
    made = [server.call("session_create")["session_id"] for _ in range(3)]
    with pytest.raises(mcp.ToolError) as refused:
        server.call("session_create")
    assert refused.value.code == "busy" and "3 sessions are open" in refused.value.cause
    server.call("session_close", {"session_id": made[0]})
    server.call("session_create")
    for each in made[1:]:
        assert server.run_code(code="1+1", session_id=each)["outputs"][0]["text"] == "2"


def test_each_caller_of_serve_has_a_quarter(wire):
    with HttpServer("--max-sessions", "8", auth=True, wire=wire) as server:
        greedy, other = Caller(server, "greedy"), Caller(server, "other")
        for _ in range(2):
            assert not greedy.call("session_create").get("isError")
        refused = greedy.call("session_create")
        assert refused["isError"] and "(at most 8), 2 of them this caller's (at most 2)" in refused["content"][0]["text"]
        assert not other.call("session_create").get("isError")


@pytest.mark.parametrize("number", ["0", "1025", "-1", "x"])
def test_a_number_out_of_range_is_refused(start, number):
    told = told_at_the_end(start(f"--max-sessions={number}"), 2)
    assert f"--max-sessions {number} is no number from 1 to 1024" in told


def test_a_host_with_few_uids(start):
    """As root each sandbox has one of its own."""
    few = ["--uid-count", "20", "--max-runs", "13"]
    assert sessions_of(start(*few)) == (7 if ROOT else 64)
    if not ROOT:
        assert sessions_of(start(*few, "--max-sessions", "8")) == 8
        return
    assert sessions_of(start(*few, "--max-sessions", "7")) == 7
    told = told_at_the_end(start(*few, "--max-sessions", "8"), 1)
    assert "of 20, 13 are for runs, which leaves 7 for 8 sessions" in told
    told = told_at_the_end(start("--max-sessions", "241"), 1)
    assert "of 256, 16 are for runs, which leaves 240 for 241 sessions" in told
    assert "lower --max-sessions or --max-runs" in told


def test_a_host_with_few_files(start, tmp_path):
    limited = tmp_path / "limited"
    limited.write_text(f"#!/bin/bash\nulimit -n {FILES}\nexec {mcp.BINARY} \"$@\"\n")
    limited.chmod(0o755)
    assert sessions_of(start(binary=str(limited))) == 10
    assert sessions_of(start("--max-sessions", "10", binary=str(limited))) == 10
    told = told_at_the_end(start("--max-sessions", "11", binary=str(limited)), 1)
    assert f"{FILES} open files are too few for 11 sessions beside 16 runs: they do for 10" in told
    assert "raise the limit (ulimit -Hn)" in told
