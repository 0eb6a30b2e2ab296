"""Many runs of one caller: each has a handle while it waits for its turn, and nobody else is kept out."""
import time

import mcp
import pytest
from mcp_http import HttpServer, Session, request
from processes import gone, offspring

FOREVER = {"language": "bash", "code": "echo begun; sleep 1000", "timeout_ms": 120000,
           "background": True}
QUICK = {"language": "bash", "code": "echo quick"}


@pytest.fixture
def server(wire):
    with HttpServer("--max-runs", "2", "--max-queue", "8", auth=True, wire=wire) as made:
        yield made


class Caller(Session):
    """A session of a key of its own."""

    def __init__(self, server, name):
        super().__init__(server, authorization=server.key(name))

    def call(self, tool, arguments):
        result = self.request("tools/call", {"name": tool, "arguments": arguments})["result"]
        assert not result.get("isError"), result
        return result["structuredContent"]

    def refused(self, tool, arguments):
        result = self.request("tools/call", {"name": tool, "arguments": arguments})["result"]
        return result.get("isError") and mcp.json.loads(result["content"][0]["text"])


def outcomes(server):
    return sorted(server.runs().values())


def test_a_run_that_waits_has_a_handle(server):
    greedy = Caller(server, "greedy")
    runs = [greedy.call("run_code", FOREVER) for _ in range(3)]
    assert len({run["run_id"] for run in runs}) == 3
    assert all(run["status"] == "running" for run in runs)
    at = {"run_id": runs[0]["run_id"], "wait_ms": 20000}
    assert greedy.call("run_status", at)["stdout"] == "begun\n"
    waiting = greedy.call("run_status", {"run_id": runs[2]["run_id"]})
    assert (waiting["status"], waiting["stdout"]) == ("running", "")
    # ended before it began: recorded all the same
    ended = greedy.call("run_cancel", {"run_id": runs[2]["run_id"]})
    assert ended["status"] == "cancelled"
    assert server.runs()[runs[2]["run_id"]] == "cancelled"
    # the next in the queue comes when there is room, and can be followed from before
    greedy.call("run_cancel", {"run_id": runs[0]["run_id"]})
    assert greedy.call("run_status", {"run_id": runs[1]["run_id"],
                                      "wait_ms": 20000})["stdout"] == "begun\n"
    greedy.call("run_cancel", {"run_id": runs[1]["run_id"]})
    assert outcomes(server) == ["cancelled"] * 3


def test_one_caller_does_not_keep_another_out(server):
    greedy, other = Caller(server, "greedy"), Caller(server, "other")
    for _ in range(4):
        greedy.call("run_code", FOREVER)
    answer = other.call("run_code", QUICK)
    assert answer["stdout"] == "quick\n"


def test_one_caller_does_not_fill_the_queue(server):
    greedy, other = Caller(server, "greedy"), Caller(server, "other")
    taken = 0
    while not (no := greedy.refused("run_code", FOREVER)):
        taken += 1
        assert taken < 20
    assert no["code"] == "busy" and taken < 1 + 8
    # another one finds both a slot and a place to wait
    mine = [other.call("run_code", FOREVER) for _ in range(2)]
    begun = other.call("run_status", {"run_id": mine[0]["run_id"], "wait_ms": 20000})
    assert begun["stdout"] == "begun\n"


def test_slots_go_round(wire):
    """One slot, and many runs of one in line for it: those of another, come last, are not last."""
    slow = {"language": "bash", "code": "sleep 0.4", "background": True}
    with HttpServer("--max-runs", "1", "--max-queue", "16", auth=True, wire=wire) as server:
        greedy, other = Caller(server, "greedy"), Caller(server, "other")
        ours = [greedy.call("run_code", slow)["run_id"] for _ in range(6)]
        theirs = [other.call("run_code", slow)["run_id"] for _ in range(2)]
        last = other.call("run_status", {"run_id": theirs[1], "wait_ms": 20000})
        assert last["status"] == "exited"
        assert greedy.call("run_status", {"run_id": ours[5]})["status"] == "running"
        done = greedy.call("run_status", {"run_id": ours[5], "wait_ms": 20000})
        assert done["status"] == "exited"


def test_what_waits_when_the_server_ends_is_recorded(server):
    greedy = Caller(server, "greedy")
    ids = [greedy.call("run_code", FOREVER)["run_id"] for _ in range(4)]
    server.end()
    assert server.runs() == {run_id: "cancelled" for run_id in ids}


def test_a_queued_call_is_answered_before_its_client_gives_up(tmp_path):
    """Not only a run that has begun becomes one in the background: also one that waits for long."""
    words = ["stdio", "--state", str(tmp_path / "s"), "--max-runs", "1", "--promote-ms", "500"]
    with mcp.Server(argv=words) as server:
        server.initialize()
        first = server.call("run_code", FOREVER)
        second = server.call("run_code", {"language": "bash", "code": "echo second"})
        assert second["status"] == "running" and second["stdout"] == ""
        server.call("run_cancel", {"run_id": first["run_id"]})
        end = time.monotonic() + 20
        while (now := server.call("run_status", {"run_id": second["run_id"], "wait_ms": 10000})
               )["status"] == "running":
            assert time.monotonic() < end
        assert (now["status"], now["stdout"]) == ("exited", "second\n")


def test_a_thousand_calls_at_once_are_answered(wire):
    """More than any socket holds: most are told to come back, nothing breaks."""
    with HttpServer("--max-runs", "2", "--max-queue", "2", wire=wire) as server:
        calls = [server.start({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {
            "name": "run_code", "arguments": {"language": "bash", "code": "sleep 1"}, "_meta": {
                mcp.META + "protocolVersion": mcp.MODERN, mcp.META + "clientCapabilities": {}}}})
            for n in range(1000)]
        found = [x.messages()[-1]["result"].get("isError", False) for x in calls]
        for x in calls:
            x.close()
        assert 2 <= found.count(False) and found.count(True) > 900
        assert server.post(request("ping")).status == 400     # it lives: no session, as it should be
        tree = offspring(server.pid)
        server.end()
        assert gone(tree)
