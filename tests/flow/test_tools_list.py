"""What the list of tools promises to clients of every kind."""
import mcp
import pytest

# What model providers refuse in a tool's schema, wherever it stands.
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "if", "patternProperties"}


def schemas_in(schema):
    yield schema
    for child in schema.get("properties", {}).values():
        yield from schemas_in(child)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from schemas_in(schema[name])


def test_the_list_is_the_same_each_time(either):
    first = either.request("tools/list")
    assert either.request("tools/list") == first
    assert "nextCursor" not in first


@pytest.mark.parametrize("cursor", ["", "2", "bm9wZQ==", 7, {}, []])
def test_a_cursor_that_was_never_handed_out_is_refused(either, cursor):
    with pytest.raises(mcp.RpcError) as why:
        either.request("tools/list", {"cursor": cursor})
    assert why.value.code == -32602
    assert "cursor" in why.value.message


def test_schemas_are_plain_enough_for_every_client(server):
    for tool in server.tools().values():
        for schema in list(schemas_in(tool["inputSchema"])) + list(schemas_in(tool["outputSchema"])):
            assert not FORBIDDEN & set(schema), tool["name"]
            assert isinstance(schema["type"], str), tool["name"]


def test_every_argument_is_described(server):
    for tool in server.tools().values():
        for name, schema in tool["inputSchema"]["properties"].items():
            assert len(schema.get("description", "")) > 10, f"{tool['name']}.{name}"
        assert tool["inputSchema"]["additionalProperties"] is False


def test_what_runs_code_says_so(server):
    tools = server.tools()
    for name in ("run_code", "run_command"):
        assert tools[name]["annotations"]["readOnlyHint"] is False
        for word in ("network", "persist", "10 s", "256 MiB"):
            assert word in tools[name]["description"], f"{name}: {word}"
    assert tools["sandbox_info"]["annotations"]["readOnlyHint"] is True
