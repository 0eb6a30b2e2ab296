"""The legacy handshake."""
import json

import mcp
import pytest


@pytest.mark.parametrize("version", mcp.LEGACY)
def test_a_known_revision_is_agreed_on(version):
    with mcp.Server() as s:
        assert s.initialize(version)["protocolVersion"] == version
        assert set(s.tools()) >= {"run_code", "run_command", "sandbox_info"}
        s.ping()


@pytest.mark.parametrize("version", [mcp.MODERN, "2099-01-01", "1.0", ""])
def test_an_unknown_revision_gets_the_latest_legacy_one(version):
    with mcp.Server() as s:
        assert s.initialize(version)["protocolVersion"] == "2025-11-25"


def test_initialize_without_a_version_says_what_it_lacks():
    with mcp.Server() as s:
        with pytest.raises(mcp.RpcError) as why:
            s.request("initialize", {"capabilities": {}})
        assert why.value.code == -32602
        assert "protocolVersion" in why.value.message


def test_requests_before_initialize_are_served():
    with mcp.Server() as s:
        s.ping()
        s.tools()
        assert s.initialize()["protocolVersion"] == "2025-11-25"


def test_an_unknown_method_before_initialize_is_an_error_and_not_the_end():
    with mcp.Server() as s:
        for method in ("server/foo", "elicitation/create", "resources/none", "prompts"):
            with pytest.raises(mcp.RpcError) as why:
                s.request(method)
            assert why.value.code == -32601
            assert method in why.value.message
            assert "tools/call" in why.value.data["remediation"]
        s.initialize()


def test_a_second_initialize_agrees_anew():
    with mcp.Server() as s:
        s.initialize("2025-11-25")
        s.initialize("2024-11-05")
        assert "outputSchema" not in s.tools()["run_code"]


def test_a_log_level_is_taken_when_it_is_one(server):
    assert server.request("logging/setLevel", {"level": "debug"}) == {}
    for level in ("loud", "", None, 3):
        with pytest.raises(mcp.RpcError) as why:
            server.request("logging/setLevel", {"level": level})
        assert why.value.code == -32602
        assert "emergency" in why.value.data["remediation"]


def test_notifications_are_never_answered(server):
    for method in ("notifications/initialized", "notifications/roots/list_changed",
                   "notifications/nothing/like/it", "tools/list", "initialize"):
        server.notify(method, {"x": 1})
    server.notify("notifications/progress", {"progressToken": 1, "progress": 1})
    assert server.silent()


def test_a_batch_is_taken_in_the_one_revision_that_has_them():
    """2025-03-26, basic, "Batching": receiving them is a MUST; before and after there are none."""
    with mcp.Server(version="2025-03-26") as s:
        s.initialize()
        members = []
        for ident in ("b1", "b2"):
            with s.lock:
                s.judge.asked(ident, mcp.Asked("ping", s.version, None, None))
            members.append({"jsonrpc": "2.0", "id": ident, "method": "ping"})
        s.write(json.dumps(members).encode() + b"\n")
        assert [s.answer(ident)["result"] for ident in ("b2", "b1")] == [{}, {}]
    with mcp.Server() as s:
        s.initialize()
        assert s.raw_error(json.dumps(members)).code == -32600
