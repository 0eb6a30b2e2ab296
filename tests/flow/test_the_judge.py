"""The judge in tests/lib/mcp.py does refuse what it is there to refuse."""
import copy
import json

import mcp
import pytest

OK = {"jsonrpc": "2.0", "id": 1, "result": {}}
CALL = {"jsonrpc": "2.0", "id": 1, "result": {
    "content": [{"type": "text", "text": "x"}], "structuredContent": {"a": 1}}}
FAULT = {"jsonrpc": "2.0", "id": 1, "error": {
    "code": -32601, "message": "no", "data": {"code": "not_found", "remediation": "do"}}}
TOOL_FAULT = {"jsonrpc": "2.0", "id": 1, "result": {"isError": True, "content": [
    {"type": "text", "text": '{"code":"busy","cause":"c","remediation":"r"}'}]}}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": "t", "progress": 5, "message": "m"}}


@pytest.fixture(autouse=True)
def binary():
    """Nothing here needs the server."""


def judge(method="tools/call", version="2025-11-25", token="t"):
    made = mcp.Judge()
    made.schemas["run_code"] = {"type": "object", "required": ["a"],
                                "properties": {"a": {"type": "integer"}}}
    made.asked(1, mcp.Asked(method, version, token, "run_code"))
    return made


def changed(message, path, value):
    message = copy.deepcopy(message)
    at = message
    for step in path[:-1]:
        at = at[step]
    if value is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return message


@pytest.mark.parametrize("line", [
    b"", b"\n", b"log: hello\n", b"[]\n", b"{}\n", b'{"jsonrpc":"2.0","id":1,"result":{}}',
    b'{"jsonrpc":"2.0","id":1,"id":2,"result":{}}\n', b'{"jsonrpc":"2.0","id":1,"result":NaN}\n',
    b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}\n', b'{"jsonrpc":"2.0","id":1}\n',
    b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}\n', b'{"id":1,"result":{}}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}\n'])
def test_a_bad_line_is_a_breach(line):
    with pytest.raises(mcp.Breach):
        mcp.parse_line(line)


def test_good_messages_are_none():
    mcp.parse_line(json.dumps(OK).encode() + b"\n")
    judge("ping").judge(OK)
    judge("ping").judge(FAULT)
    judge().judge(CALL)
    judge().judge(TOOL_FAULT)
    judge().judge(PROGRESS)


@pytest.mark.parametrize("message", [
    changed(OK, ["result", "x"], 1), changed(OK, ["id"], 2), changed(OK, ["id"], "1"),
    changed(OK, ["id"], None), changed(FAULT, ["error", "data"], KeyError),
    changed(FAULT, ["error", "data", "remediation"], ""), changed(FAULT, ["error", "code"], "x"),
    changed(FAULT, ["error", "data", "code"], "oops")])
def test_a_bad_answer_is_a_breach(message):
    with pytest.raises(mcp.Breach):
        judge("ping").judge(message)


@pytest.mark.parametrize("message", [
    changed(CALL, ["result", "structuredContent"], KeyError),
    changed(CALL, ["result", "structuredContent", "a"], "one"),
    changed(CALL, ["result", "content"], []),
    changed(CALL, ["result", "content", 0, "text"], ""),
    changed(CALL, ["result", "isError"], False),
    changed(CALL, ["result", "resultType"], "complete"),
    changed(TOOL_FAULT, ["result", "structuredContent"], {"a": 1}),
    changed(TOOL_FAULT, ["result", "content", 0, "text"], "oops"),
    changed(TOOL_FAULT, ["result", "content", 0, "text"], '{"code":"busy","cause":"c"}')])
def test_a_bad_result_of_a_call_is_a_breach(message):
    with pytest.raises(mcp.Breach):
        judge().judge(message)


def test_members_of_another_revision_are_a_breach():
    with pytest.raises(mcp.Breach):
        judge(version="2024-11-05").judge(CALL)
    with pytest.raises(mcp.Breach):
        judge(version=mcp.MODERN).judge(CALL)


def test_a_second_answer_is_a_breach():
    made = judge()
    made.judge(CALL)
    with pytest.raises(mcp.Breach):
        made.judge(CALL)


def test_an_answer_after_the_cancellation_is_a_breach():
    made = judge()
    made.cancel(1)
    with pytest.raises(mcp.Breach):
        made.judge(CALL)


@pytest.mark.parametrize("params", [
    {"progressToken": "t", "progress": 5}, {"progressToken": "t", "progress": 4},
    {"progressToken": "u", "progress": 9}, {"progress": 9},
    {"progressToken": "t", "progress": "9"}])
def test_bad_progress_is_a_breach(params):
    made = judge()
    made.judge(PROGRESS)
    with pytest.raises(mcp.Breach):
        made.judge(dict(PROGRESS, params=params))


@pytest.mark.parametrize("last", [CALL, FAULT])
def test_progress_after_the_answer_is_a_breach(last):
    made = judge()
    made.judge(last)
    with pytest.raises(mcp.Breach):
        made.judge(PROGRESS)


def test_unknown_notifications_are_a_breach():
    with pytest.raises(mcp.Breach):
        judge().judge({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
