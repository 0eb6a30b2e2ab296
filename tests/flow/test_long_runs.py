"""Runs that outlive their call: followed to the end, ended on request, gone with the server."""
import base64
import json
import os
import subprocess
import time

import cells
import mcp
import pytest
from processes import gone, offspring

SLOW = """
import sys, time
for i in range(30):
    print("line", i, "\\u20ac" * 20, flush=True)
    print("note", i, file=sys.stderr, flush=True)
    time.sleep(0.1)
"""
SLOW_OUT = "".join(f"line {i} {chr(0x20ac) * 20}\n" for i in range(30))
SLOW_ERR = "".join(f"note {i}\n" for i in range(30))
FOREVER = {"language": "bash", "code": "sleep 1000 & echo begun; sleep 1000", "timeout_ms": 120000,
           "background": True}


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


def serve(state, *options, era="legacy"):
    made = mcp.Server(argv=["stdio", "--state", state, *options], era=era)
    if era == "legacy":
        made.initialize()
    return made


def follow(server, answer, wait_ms=10000, max_bytes=None):
    """run_status to the end, from what the first answer showed on: all output, and the last answer."""
    out, errs, polls = answer["stdout"], answer["stderr"], 0
    while True:
        arguments = {"run_id": answer["run_id"], "wait_ms": wait_ms,
                     "stdout_offset": answer["next_stdout_offset"],
                     "stderr_offset": answer["next_stderr_offset"]}
        if max_bytes:
            arguments["max_bytes"] = max_bytes
        answer = server.call("run_status", arguments)
        polls += 1
        assert polls < 10000
        out, errs = out + answer["stdout"], errs + answer["stderr"]
        if answer["stdout_eof"] and answer["stderr_eof"]:
            assert answer["status"] != "running"
            return out, errs, answer


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_long_run_is_answered_early_and_followed_to_its_end(state, era):
    with serve(state, "--promote-ms", "500", era=era) as server:
        first = server.run_code(code=SLOW)
        assert first["status"] == "running" and "exit_code" not in first
        assert first["run_id"] in first["note"]
        out, errs, last = follow(server, first)
    assert (out, errs) == (SLOW_OUT, SLOW_ERR)
    assert last["status"] == "exited" and last["exit_code"] == 0
    assert last["run_id"] == first["run_id"] and last["duration_ms"] >= 2900


def test_small_pages_tear_nothing(state):
    with serve(state, "--promote-ms", "500") as server:
        out, errs, _ = follow(server, server.run_code(code=SLOW), max_bytes=7)
    assert (out, errs) == (SLOW_OUT, SLOW_ERR)


def test_a_run_that_ends_in_time_is_answered_once(state):
    with serve(state, "--promote-ms", "30000") as server:
        assert server.run_code(code="print(1)")["status"] == "exited"


def test_the_text_says_what_the_structure_says(state):
    with serve(state) as server:
        server._learn()
        call = server.start("run_code", FOREVER)
        result = server.result_of(call)
        text, facts = result["content"][0]["text"], result["structuredContent"]
        assert "isError" not in result and facts["status"] == "running"
        assert facts["run_id"] in text and facts["note"] in text and "running" in text
        server.call("run_cancel", {"run_id": facts["run_id"]})


def test_run_cancel_ends_the_whole_tree(state):
    with serve(state, *cells.NONE) as server:
        idle = set(offspring(server.proc.pid))
        run = server.call("run_code", FOREVER)
        assert run["status"] == "running"
        at = {"run_id": run["run_id"], "wait_ms": 10000}
        assert server.call("run_status", at)["stdout"] == "begun\n"
        tree = [pid for pid in offspring(server.proc.pid) if pid not in idle]
        assert len(tree) > 2
        ended = server.call("run_cancel", {"run_id": run["run_id"]})
        assert ended["status"] == "cancelled" and ended["stdout"] == "begun\n"
        assert gone(tree)
        again = server.call("run_cancel", {"run_id": run["run_id"]})
        assert again["status"] == "cancelled" and again["run_id"] == run["run_id"]


def test_run_cancel_ends_the_whole_tree_in_a_copy(state):
    with serve(state) as server:
        cells.warm_up(lambda: server.run_code(code="1"))
        watch = cells.Watch(server.proc.pid, warm=True)
        run = server.run_code(background=True, code=cells.named(
            "import subprocess\nfor i in range(3):\n    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
            "print('begun', flush=True)\nwhile True: pass"))
        at = {"run_id": run["run_id"], "wait_ms": 10000}
        assert server.call("run_status", at)["stdout"] == "begun\n"
        tree = watch.begun()
        assert len(tree) == 5, "its room, itself and what it has started"
        ended = server.call("run_cancel", {"run_id": run["run_id"]})
        assert (ended["status"], ended["stdout"], ended["path"]) == ("cancelled", "begun\n", "warm")
        assert gone(tree)
        assert server.run_code(code="print(1)")["path"] == "warm"


def test_cancelling_a_wait_leaves_the_run(state):
    with serve(state) as server:
        run = server.run_code(code="import time; time.sleep(1.5); print('end')", background=True)
        wait = server.start("run_status", {"run_id": run["run_id"], "wait_ms": 45000})
        assert server.cancel(wait)
        _, _, last = follow(server, run)
    assert last["status"] == "exited"


def test_cancelling_an_answered_call_leaves_the_run(state):
    with serve(state) as server:
        call = server.start("run_code", {"language": "python", "background": True,
                                         "code": "import time; time.sleep(0.5); print('end')"})
        run = server.finish(call)
        server.notify("notifications/cancelled", {"requestId": call})
        out, _, last = follow(server, run)
    assert (out, last["status"]) == ("end\n", "exited")


def test_runs_in_the_background_go_side_by_side(state):
    with serve(state) as server:
        runs = [server.run_code(code=f"import time; time.sleep(0.5); print({i})", background=True)
                for i in range(4)]
        assert [follow(server, run)[0] for run in runs] == ["0\n", "1\n", "2\n", "3\n"]


@pytest.mark.parametrize("tool", ["run_status", "run_cancel"])
@pytest.mark.parametrize("run_id", ["", "run_", "run_" + "0" * 32, "../x", "x" * 5000])
def test_an_unknown_run_is_an_error_of_the_tool(server, tool, run_id):
    with pytest.raises(mcp.ToolError) as caught:
        server.call(tool, {"run_id": run_id})
    assert caught.value.code == "not_found" and "run_id" in caught.value.remediation


def record(state):
    done = subprocess.run([mcp.BINARY, "audit", "list", "--json", "--state", state],
                          capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def verify(state):
    subprocess.run([mcp.BINARY, "audit", "verify", "--state", state], timeout=60, check=True,
                   capture_output=True)


def test_a_client_that_vanishes_takes_its_runs_along(state):
    """EOF with one run in the background and one that was answered early."""
    with serve(state, "--promote-ms", "300") as server:
        runs = [server.call("run_code", FOREVER)["run_id"],
                server.call("run_code", dict(FOREVER, background=False))["run_id"]]
        pids = [server.proc.pid] + offspring(server.proc.pid)
    assert gone(pids)
    verify(state)
    assert {row["run_id"]: row["status"] for row in record(state)} == dict.fromkeys(
        runs, "cancelled")


# --- output by address ------------------------------------------------------------------------------

LOUD = "import sys\nfor i in range(200000): print('line', i)\nsys.stderr.write('short')"
LOUD_OUT = "".join(f"line {i}\n" for i in range(200000))


def read(server, uri):
    contents = server.request("resources/read", {"uri": uri})["contents"]
    assert len(contents) == 1 and contents[0]["uri"] == uri
    return contents[0]


def read_all(server, uri):
    data, pages = b"", 0
    while uri:
        page = read(server, uri)
        data += page["text"].encode() if "text" in page else base64.b64decode(page["blob"])
        uri, pages = page["_meta"].get("fumehood/next"), pages + 1
    return data, pages


def test_output_that_was_cut_is_read_whole(either):
    call = either.start("run_code", {"language": "python", "code": LOUD})
    result = either.result_of(call)
    facts, links = result["structuredContent"], result["content"][1:]
    assert facts["stdout_truncated"] and not facts["stderr_truncated"]
    assert facts["stdout_uri"] == f"sandbox://runs/{facts['run_id']}/stdout"
    assert "stderr_uri" not in facts and facts["stdout_uri"] in result["content"][0]["text"]
    assert [link["uri"] for link in links] == [facts["stdout_uri"]]
    data, pages = read_all(either, facts["stdout_uri"])
    assert data.decode() == LOUD_OUT and pages == len(data) // 2**20 + 1
    listed = [r["uri"] for r in either.request("resources/list")["resources"]]
    assert facts["stdout_uri"] in listed
    # what cannot read resources can read it by the tool
    out, _, last = follow(either, {"run_id": facts["run_id"], "stdout": "", "stderr": "",
                                   "next_stdout_offset": 0, "next_stderr_offset": 0},
                          max_bytes=131072)
    assert out == LOUD_OUT and last["exit_code"] == 0


def test_an_old_revision_gets_no_links():
    with mcp.Server(version="2025-03-26") as server:
        server.initialize()
        call = server.start("run_code", {"language": "python", "code": LOUD})
        content = server.result_of(call)["content"]
        assert [block["type"] for block in content] == ["text"]
        assert "sandbox://runs/" in content[0]["text"]


def test_bytes_are_read_as_bytes(server):
    run = server.run_code(code="import sys; sys.stdout.buffer.write(bytes(range(256)) * 9)")
    data, _ = read_all(server, f"sandbox://runs/{run['run_id']}/stdout?offset=0&length=100")
    assert data == bytes(range(256)) * 9


def test_the_result_of_a_run_is_read(server):
    run = server.run_code(code="print(1)")
    page = read(server, f"sandbox://runs/{run['run_id']}/result")
    assert page["mimeType"] == "application/json" and json.loads(page["text"]) == run


def test_limits_and_runtimes_are_what_sandbox_info_says(server):
    info = server.call("sandbox_info")
    limits = json.loads(read(server, "sandbox://limits")["text"])
    assert limits["network"] == info["network"]
    assert limits["limits"] == {k: v for k, v in info["limits"].items() if k != "promote_ms"}
    assert json.loads(read(server, "sandbox://runtimes")["text"])["runtimes"] == info["runtimes"]


def test_prompts_are_filled_in(either):
    names = [p["name"] for p in either.request("prompts/list")["prompts"]]
    assert names == ["analyze_data", "debug_code", "write_and_test"]

    def text(name, **arguments):
        got = either.request("prompts/get", {"name": name, "arguments": arguments})
        return got["messages"][0]["content"]["text"]

    full = text("debug_code", language="python", code="print(1", error="SyntaxError {{code}}")
    assert "print(1\n" in full and "this python program" in full and "SyntaxError {{code}}" in full
    short = text("debug_code", language="python", code="print(1")
    assert "{{" not in short and "What goes wrong" not in short
    done = either.request("completion/complete", {
        "ref": {"type": "ref/prompt", "name": "debug_code"},
        "argument": {"name": "language", "value": "py"}})
    assert done["completion"]["values"] == ["python"]


def test_news_of_a_run_reach_who_subscribed(server):
    run = server.run_code(code="import time\nfor i in range(2): print(i, flush=True); time.sleep(0.3)",
                          background=True)
    uri = f"sandbox://runs/{run['run_id']}/stdout"
    server.request("resources/subscribe", {"uri": uri})
    assert server.notification("notifications/resources/updated")["uri"] == uri
    out, _, _ = follow(server, run)
    assert out == "0\n1\n" and server.news
