"""The stateless era, revision 2026-07-28."""
import mcp
import pytest

VERSION, CAPS = mcp.META + "protocolVersion", mcp.META + "clientCapabilities"
GOOD = {VERSION: mcp.MODERN, CAPS: {}}


def ask(server, method, meta, **params):
    """A request with exactly that _meta."""
    if meta is not None:
        params["_meta"] = meta
    return server.request(method, params, version="none")


def test_discover_tells_what_there_is(modern):
    result = modern.request("server/discover")
    assert result["supportedVersions"] == [mcp.MODERN]
    capabilities = result["capabilities"]
    assert capabilities["tools"] == capabilities["prompts"] == {"listChanged": True}
    assert capabilities["resources"] == {"listChanged": True, "subscribe": True}
    assert capabilities["logging"] == capabilities["completions"] == {}


def test_a_probe_without_an_envelope_is_answered():
    with mcp.Server() as s:
        result = s.request("server/discover", ident="server-discover-probe-1", version="none")
        assert result["supportedVersions"] == [mcp.MODERN]


@pytest.mark.parametrize("method,meta,envelope", [
    ("tools/list", {VERSION: mcp.MODERN}, {"key": CAPS, "problem": "missing"}),
    ("tools/list", {CAPS: {}}, {"missing": [VERSION]}),
    ("server/discover", {CAPS: {}}, {"missing": [VERSION]}),
    ("subscriptions/listen", None, {"missing": ["_meta"]}),
    ("tools/list", {VERSION: 20260728, CAPS: {}}, {"key": VERSION, "problem": "invalid"}),
    ("tools/list", {VERSION: mcp.MODERN, CAPS: None}, {"key": CAPS, "problem": "invalid"}),
    ("tools/list", {VERSION: mcp.MODERN, CAPS: "{}"}, {"key": CAPS, "problem": "invalid"}),
    ("tools/list", dict(GOOD, **{mcp.META + "clientInfo": "me"}),
     {"key": mcp.META + "clientInfo", "problem": "invalid"}),
    ("tools/list", dict(GOOD, **{mcp.META + "logLevel": "loud"}),
     {"key": mcp.META + "logLevel", "problem": "invalid"}),
])
def test_a_bad_envelope_is_refused_by_its_member(modern, method, meta, envelope):
    with pytest.raises(mcp.RpcError) as why:
        ask(modern, method, meta)
    assert why.value.code == -32602
    assert why.value.data["envelope"] == envelope


@pytest.mark.parametrize("version", ["2025-11-25", "v999.0.0", "", "2026-07-28 "])
def test_an_unsupported_version_is_refused_with_those_that_are(modern, version):
    with pytest.raises(mcp.RpcError) as why:
        ask(modern, "tools/list", {VERSION: version, CAPS: {}})
    assert why.value.code == -32022
    assert why.value.data["supported"] == [mcp.MODERN]
    assert why.value.data["requested"] == version


@pytest.mark.parametrize("method", [
    "initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe",
    "tasks/list", "tasks/result", "sampling/createMessage", "no/such/method", ""])
def test_removed_and_unknown_methods_are_not_found(modern, method):
    with pytest.raises(mcp.RpcError) as why:
        modern.request(method)
    assert why.value.code == -32601


def test_unknown_members_of_meta_are_ignored(modern):
    modern.request("tools/list", {"_meta": {"traceparent": "00-1-2-3", "x/y": {"z": []}}})


def test_a_call_runs(modern):
    assert modern.run_code(code="print(6*7)")["stdout"] == "42\n"


def test_a_subscription_is_acknowledged_and_ends_by_cancellation(modern):
    wanted = {"notifications": {"toolsListChanged": True, "promptsListChanged": False,
                                "resourceSubscriptions": ["x://y"], "more": [1]}}
    listen = modern.send("subscriptions/listen", wanted, ident="listen:0")
    ack = modern.notification("notifications/subscriptions/acknowledged")
    assert ack["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["x://y"]}
    assert ack["_meta"][mcp.META + "subscriptionId"] == "listen:0"
    modern.run_code(code="print(1)")
    assert modern.cancel(listen)
    assert modern.silent()


def test_open_subscriptions_end_with_their_result_when_the_server_ends(modern):
    listens = [modern.send("subscriptions/listen", {"notifications": {}}) for _ in range(5)]
    modern.close_stdin()
    for listen in listens:
        result = modern.result_of(listen)
        assert result["_meta"][mcp.META + "subscriptionId"] == listen


def test_both_eras_share_one_process():
    with mcp.Server() as s:
        assert s.request("server/discover", version=mcp.MODERN)["supportedVersions"]
        s.initialize("2024-11-05")
        assert "resultType" in s.request("tools/list", version=mcp.MODERN)
        assert "resultType" not in s.request("tools/list")
        slow = s.start("run_code", {"language": "python", "code": "input()\nprint('legacy')",
                                    "stdin": "x\n"})
        call = s.send("tools/call", {"name": "run_code", "arguments": {
            "language": "python", "code": "print('modern')"}}, version=mcp.MODERN)
        assert s.finish(call)["stdout"] == "modern\n"
        assert "legacy" in s.finish(slow)
