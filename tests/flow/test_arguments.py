"""What a tool does with arguments that are odd, wrong or too large: it says which and what to do."""
import mcp
import pytest

MIB = 1 << 20


def refused(server, arguments, tool="run_code"):
    with pytest.raises(mcp.ToolError) as why:
        server.call(tool, arguments)
    assert why.value.remediation
    return why.value


def test_an_unknown_tool_is_a_protocol_error_that_names_those_there_are(either):
    with pytest.raises(mcp.RpcError) as why:
        either.call("run_cod", {})
    assert why.value.code == -32602
    assert "run_cod" in why.value.message
    assert "run_code" in why.value.data["remediation"]


@pytest.mark.parametrize("params", [{}, {"name": 7}, {"name": None}, {"arguments": {}}])
def test_a_call_without_a_name_is_refused(server, params):
    with pytest.raises(mcp.RpcError) as why:
        server.request("tools/call", params)
    assert why.value.code == -32602
    assert "name" in why.value.message


def test_missing_arguments_are_no_arguments(either):
    assert either.call("sandbox_info")["network"] == "denied"
    assert either.call("sandbox_info", {})["network"] == "denied"
    assert "language" in refused(either, None).cause


@pytest.mark.parametrize("arguments", [[], 7, "text", True])
def test_arguments_that_are_no_object_are_refused(server, arguments):
    assert "arguments" in refused(server, arguments).cause


def test_arguments_in_a_string_are_taken(server):
    assert server.call("run_code", '{"language":"python","code":"print(3)"}')["stdout"] == "3\n"


def test_an_unknown_field_is_named(either):
    why = refused(either, {"language": "python", "code": "1", "tiemout_ms": 5})
    assert why.code == "invalid"
    assert "tiemout_ms" in why.cause
    assert "timeout_ms" in why.remediation


def test_an_unknown_field_deep_inside_is_named_with_its_path(server):
    files = [{"path": "a", "content": ""}, {"path": "b", "content": "", "mode": 7}]
    assert "files[1].mode" in refused(server, {"language": "python", "code": "1",
                                               "files": files}).cause


@pytest.mark.parametrize("field,value", [
    ("code", 7), ("code", None), ("code", {}), ("stdin", []), ("args", {"a": 1}),
    ("args", [1]), ("env", []), ("env", {"A": 1}), ("files", [7]), ("timeout_ms", "soon"),
    ("timeout_ms", 1.5), ("timeout_ms", True), ("timeout_ms", 1e300), ("language", 3)])
def test_a_value_of_the_wrong_type_is_named(shared, field, value):
    arguments = {"language": "python", "code": "print(1)", field: value}
    why = refused(shared, arguments)
    assert why.code == "invalid"
    assert field in why.cause


def test_numbers_and_lists_in_strings_are_taken(server):
    got = server.run_code(code="import sys; print(sys.argv[1:])", timeout_ms="4000",
                          args='["a", "b"]', env='{"A": "b"}')
    assert got["stdout"] == "['a', 'b']\n"
    assert got["timeout_ms"] == 4000
    assert "timeout_clamped" not in got


def test_a_language_that_is_not_there_names_those_that_are(either):
    why = refused(either, {"language": "cobol", "code": "1"})
    assert "cobol" in why.cause
    assert "python" in why.cause + why.remediation


@pytest.mark.parametrize("timeout", [0, -5, 10**9, 2**53, "0"])
def test_a_timeout_out_of_range_is_clamped_and_the_result_says_so(shared, timeout):
    got = shared.run_code(code="pass", timeout_ms=timeout)
    limits = shared.call("sandbox_info")["limits"]
    assert got["timeout_clamped"] is True
    assert 0 < got["timeout_ms"] <= limits["max_timeout_ms"]
    if int(timeout) > 0:
        assert got["timeout_ms"] == limits["max_timeout_ms"]


def test_a_nul_byte_in_code_is_refused_with_what_to_do(server):
    ident = server.start("run_code", {"language": "python", "code": "print('\0')"})
    with pytest.raises((mcp.RpcError, mcp.ToolError)) as why:
        server.finish(ident)
    assert "NUL" in str(why.value) or "\\u0000" in str(why.value)
    server.ping()


def test_code_of_ten_mebibytes_runs(server):
    code = "print('small')\n" + "#" * (10 * MIB - 15)
    assert len(code) == 10 * MIB
    assert server.run_code(code=code)["stdout"] == "small\n"


def test_code_of_one_byte_more_is_refused_with_the_limit(server):
    why = refused(server, {"language": "python", "code": "#" * (10 * MIB + 1)})
    assert why.code == "limit"
    assert "10485760" in str(why) or "10 MiB" in str(why)
    server.ping()


def test_a_message_too_large_to_read_is_refused_under_its_own_id(either):
    ident = either.send("tools/call", {"name": "run_code", "arguments": {
        "language": "python", "code": "#" * (17 * MIB)}}, ident="too-large")
    with pytest.raises(mcp.RpcError) as why:
        either.result_of(ident)
    assert why.value.code == -32600
    assert str(16 * MIB) in why.value.message
    assert either.run_code(code="print('alive')")["stdout"] == "alive\n"


def test_a_failing_program_is_no_error(either):
    got = either.run_code(code="import sys; print('x', file=sys.stderr); sys.exit(3)")
    assert (got["status"], got["exit_code"], got["stderr"]) == ("exited", 3, "x\n")
