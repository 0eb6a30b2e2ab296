"""Who may call: Host, Origin, CORS, API keys, certificates, and what a stranger is told."""
import json
import re
import subprocess

import mcp
import mcp_http
import pytest
from mcp_http import HttpServer, Session, call, modern, request

EVIL = "evil.example.com"


@pytest.fixture(scope="module")
def server(wire):
    with HttpServer("--allow-origin", "https://app.example, vscode-webview://abc",
                    "--allow-host", "proxy.example", wire=wire) as made:
        yield made


def status(server, host=None, origin=None, message=None, path="/mcp"):
    message = message or modern("tools/list")
    headers = mcp_http.headers_for(message)
    if origin is not None:
        headers["origin"] = origin
    host = host and host.replace("PORT", str(server.port))
    answer = server.open("POST", path, headers, message, authority=host).answer()
    if answer.status == 403:
        assert answer.json["id"] is None and "access-control-allow-origin" not in answer.headers
    return answer.status


@pytest.mark.parametrize("host,expected", [
    ("localhost:PORT", 200), ("127.0.0.1:PORT", 200), ("[::1]:PORT", 200), ("LOCALHOST:PORT", 200),
    ("proxy.example", 200), ("proxy.example:1234", 200),
    ("localhost", 403), ("localhost:1", 403), (EVIL, 403), (EVIL + ":PORT", 403),
    ("127.0.0.1.nip.io:PORT", 403), ("0.0.0.0:PORT", 403), ("192.168.0.1:PORT", 403)])
def test_host(server, host, expected):
    assert status(server, host) == expected
    assert status(server, host, message=request("initialize", {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}
    })) == expected


@pytest.mark.parametrize("origin,expected", [
    (None, 200), ("http://localhost:PORT", 200), ("http://127.0.0.1:PORT", 200),
    ("http://[::1]:PORT", 200), ("https://app.example", 200), ("vscode-webview://abc", 200),
    ("null", 403), ("http://" + EVIL, 403), ("http://localhost", 403), ("http://localhost:1", 403),
    ("https://localhost:PORT", 403), ("http://app.example", 403), ("", 403),
    ("http://localhost:PORT, http://evil.example", 403)])
def test_origin(server, origin, expected):
    origin = origin and origin.replace("PORT", str(server.port))
    assert status(server, origin=origin) == expected


def test_two_origins(server):
    headers = dict(mcp_http.headers_for(modern("tools/list")),
                   origin=["https://app.example", "https://app.example"])
    assert server.open("POST", headers=headers, body=modern("tools/list")).answer().status == 403


def test_get_and_delete_are_checked_too(server):
    s = Session(server)
    for method in ("GET", "DELETE", "OPTIONS"):
        answer = server.open(method, headers={"mcp-session-id": s.id, "origin": "http://" + EVIL,
                                              "accept": "text/event-stream"}).answer()
        assert answer.status == 403
    assert s.request("ping")["result"] == {}


def test_preflight(server):
    answer = server.open("OPTIONS", headers={
        "origin": "https://app.example", "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,mcp-session-id,x-other,authorization"}).answer()
    assert answer.status == 204 and not answer.body
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert answer.headers["vary"] == "origin"
    allowed = answer.headers["access-control-allow-headers"]
    assert set(re.split(", *", allowed)) == {"content-type", "mcp-session-id", "authorization"}
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "access-control-allow-credentials" not in answer.headers


def test_a_page_can_read_the_session_id(server):
    answer = server.post(request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                                                "clientInfo": {"name": "t", "version": "1"}}),
                         origin="https://app.example")
    assert "mcp-session-id" in answer.headers["access-control-expose-headers"]
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_without_an_issuer_every_well_known_is_404(server):
    for name in ("oauth-protected-resource", "oauth-protected-resource/mcp", "mcp",
                 "oauth-authorization-server", "oauth-authorization-server/mcp",
                 "openid-configuration", "openid-configuration/mcp", "", "../mcp"):
        assert server.get("/.well-known/" + name).status == 404


def test_health_needs_nothing(wire):
    with HttpServer(wire=wire, auth=True) as server:
        answer = server.open("GET", "/healthz", authority="10.1.2.3").answer()
        assert answer.status == 200 and answer.json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/", "/mcp/x", "/mcpx", "/%6dcp", "/MCP", "/mcp/..", "//mcp"])
def test_nothing_else_is_there(server, path):
    assert status(server, path=path) == 404


# --- keys -------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def locked(wire):
    with HttpServer(wire=wire, auth=True) as made:
        made.mine = made.key("mine")
        yield made


def challenge(answer, code):
    assert answer.status == code and answer.json["id"] is None, answer
    return answer.headers["www-authenticate"]


def test_a_key_lets_in(locked):
    answer = locked.post(modern("tools/call", call("print(1)")), authorization=locked.mine)
    assert answer.json["result"]["structuredContent"]["stdout"] == "1\n"
    run = answer.json["result"]["structuredContent"]["run_id"]
    assert any("key:mine" in json.dumps(row) for row in locked.audit("show", run))


def test_nothing_is_401(locked):
    for method in ("POST", "DELETE"):
        answer = locked.open(method, headers=mcp_http.headers_for({}), body="{}").answer()
        assert challenge(answer, 401).startswith("Bearer")
        assert "error=" not in answer.headers["www-authenticate"]
    s = Session(locked, authorization=locked.mine)
    answer = locked.get("/mcp", accept="text/event-stream", mcp_session_id=s.id)
    assert challenge(answer, 401)


@pytest.mark.parametrize("value,code", [
    ("Bearer fh_00000000_" + "A" * 43, 401), ("Bearer nonsense", 401), ("Basic bWU6bWU=", 401),
    ("Bearer", 400), ("Bearer a b", 400), ("Bearer \"a\"", 400), ("Bearer " + "a" * 9000, 400),
    ("Bearer a.b.c", 401), ("bearer", 400)])
def test_what_is_no_key(locked, value, code):
    answer = locked.post(modern("tools/list"), authorization=value)
    assert re.search(r'error="invalid_(token|request)"', challenge(answer, code))
    assert value.rpartition(" ")[2] not in answer.body.decode() or value.count(" ") == 0


def test_one_key_only(locked):
    answer = locked.post(modern("tools/list"), authorization=[locked.mine, locked.mine])
    assert answer.status == 400


def test_a_key_in_the_query_is_no_key(locked):
    path = "/mcp?access_token=" + locked.mine.split()[1]
    answer = locked.open("POST", path, mcp_http.headers_for({}), modern("tools/list")).answer()
    assert answer.status == 401


def test_the_scheme_is_not_case_sensitive(locked):
    value = locked.mine.replace("Bearer ", "bEARER  ")
    assert locked.post(modern("tools/list"), authorization=value).status == 200


def test_a_revoked_key_is_refused(locked):
    key = locked.key("short")
    s = Session(locked, authorization=key)
    subprocess.run([mcp.BINARY, "key", "revoke", "short", "--state", locked.state], check=True,
                   capture_output=True, timeout=60)
    end = mcp_http.time.monotonic() + 10    # a yes is remembered for a moment
    while s.post(request("ping")).status != 401:
        assert mcp_http.time.monotonic() < end, "still let in"
    assert s.post(request("tools/call", call("print(1)"))).status == 401


def test_what_one_caller_ran_another_does_not_see(locked):
    yours = locked.key("yours")
    run = locked.post(modern("tools/call", call("print('secret')")), authorization=locked.mine)
    run = run.json["result"]["structuredContent"]["run_id"]
    asked = {"name": "run_status", "arguments": {"run_id": run}}
    mine = locked.post(modern("tools/call", asked), authorization=locked.mine).json["result"]
    assert "secret" in json.dumps(mine)
    theirs = locked.post(modern("tools/call", asked), authorization=yours).json["result"]
    asked["arguments"]["run_id"] = "run_" + "0" * 32
    unknown = locked.post(modern("tools/call", asked), authorization=yours).json["result"]
    assert theirs["isError"] and "secret" not in json.dumps(theirs)
    assert json.dumps(theirs).replace(run, "RUN") == json.dumps(unknown).replace(
        "run_" + "0" * 32, "RUN")


def test_an_issuer_publishes_metadata(wire, tmp_path):
    keys = tmp_path / "jwks.json"
    keys.write_text('{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"1",'
                    '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}')
    with HttpServer("--oauth-issuer", "https://as.example", "--oauth-jwks", str(keys),
                    "--public-url", "https://mcp.example/mcp", wire=wire, auth=True) as server:
        server.authority = "mcp.example"
        for path in ("", "/mcp"):
            answer = server.get("/.well-known/oauth-protected-resource" + path)
            assert answer.status == 200
            assert answer.json["resource"] == "https://mcp.example/mcp"
            assert answer.json["authorization_servers"] == ["https://as.example"]
            assert answer.json["scopes_supported"] == ["code:run"]
            assert answer.json["bearer_methods_supported"] == ["header"]
        assert server.get("/.well-known/oauth-authorization-server").status == 404
        answer = server.post(modern("tools/list"))
        assert ('resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp"'
                in challenge(answer, 401))
        assert 'scope="code:run"' in answer.headers["www-authenticate"]
        assert server.post(modern("tools/list"), authorization="Bearer a.b.c").status == 401
        assert server.post(modern("tools/list"), authorization=server.key("k")).status == 200
