"""Who is calling, through the real server: tokens, keys and certificates become principals, or nothing."""
import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import os
import re
import signal
import subprocess
import time

import mcp
import mcp_http
import processes
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from mcp_http import HttpServer, Session, call, modern, request

ISSUER, URL = "https://id.example/realm", "https://box.example/mcp"
PEM, PRIVATE, PLAIN = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                       serialization.NoEncryption())


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n, size):
    return b64(n.to_bytes(size, "big"))


class Issuer:
    """Keys of each kind, and tokens by them."""

    def __init__(self):
        self.keys = {"EdDSA": ed25519.Ed25519PrivateKey.generate(),
                     "ES256": ec.generate_private_key(ec.SECP256R1()),
                     "RS256": rsa.generate_private_key(65537, 2048)}
        self.keys["PS256"] = self.keys["RS256"]

    def jwks(self):
        raw = self.keys["EdDSA"].public_key().public_bytes(serialization.Encoding.Raw,
                                                           serialization.PublicFormat.Raw)
        point = self.keys["ES256"].public_key().public_numbers()
        modulus = self.keys["RS256"].public_key().public_numbers()
        return {"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "use": "sig", "x": b64(raw)},
            {"kty": "EC", "crv": "P-256", "kid": "ES256", "x": number(point.x, 32), "y": number(point.y, 32)},
            {"kty": "RSA", "kid": "RS256", "n": number(modulus.n, 256), "e": "AQAB"},
            {"kty": "oct", "kid": "shared", "k": b64(b"secret" * 6)}]}

    def sign(self, alg, data):
        key = self.keys[alg]
        if alg == "EdDSA":
            return key.sign(data)
        if alg == "ES256":
            r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if alg == "RS256":
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())

    def token(self, alg="EdDSA", header=None, sign=None, **claims):
        """claims over those of a good token; None leaves one out."""
        now = int(time.time())
        all_claims = {"iss": ISSUER, "aud": URL, "sub": "alice", "iat": now, "exp": now + 600,
                      "scope": "openid code:run", **claims}
        head = {"alg": alg, "typ": "at+jwt", "kid": "RS256" if alg == "PS256" else alg, **(header or {})}
        text = ".".join(b64(json.dumps({k: v for k, v in part.items() if v is not None}).encode())
                        for part in (head, all_claims))
        return text + "." + b64((sign or self.sign)(alg, text.encode()))


@pytest.fixture(scope="module", name="issuer")
def an_issuer():
    return Issuer()


@pytest.fixture(scope="module", name="server")
def a_server(issuer, tmp_path_factory):
    keys = tmp_path_factory.mktemp("issuer") / "jwks.json"
    keys.write_text(json.dumps(issuer.jwks()))
    with HttpServer("--oauth-issuer", ISSUER, "--oauth-jwks", str(keys), "--public-url", URL,
                    auth=True) as made:
        made.authority = "box.example"
        yield made
        log = made.stderr()
        assert "eyJ" not in log and "fh_" not in log.replace("fh_00000000", ""), "a credential was logged"


def post(server, token, message=None):
    return server.post(message or modern("tools/list"), authorization="Bearer " + token)


def refused(answer, code=401, error="invalid_token"):
    assert answer.status == code, answer
    assert f'error="{error}"' in answer.headers["www-authenticate"]
    return answer.body


def rows_of(server, run_id):
    return {row["kind"]: row for row in server.audit("show", run_id)}


def run(server, authorization, code="print(1)"):
    answer = server.post(modern("tools/call", call(code)), authorization=authorization)
    assert answer.status == 200, answer
    return answer.json["result"]["structuredContent"]


# --- tokens -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "RS256", "PS256"])
def test_a_token_is_a_principal(server, issuer, alg):
    result = run(server, "Bearer " + issuer.token(alg))
    assert result["stdout"] == "1\n"
    rows = rows_of(server, result["run_id"])
    assert rows["intent"]["principal"] == rows["outcome"]["principal"] == "oauth:id.example/realm#alice"


def test_one_audience_of_several(server, issuer):
    assert post(server, issuer.token(aud=["https://other.example", URL])).status == 200


@pytest.mark.parametrize("what", [
    {"exp": 1}, {"exp": None}, {"exp": "tomorrow"}, {"exp": int(time.time()) + 40 * 86400},
    {"nbf": int(time.time()) + 3600}, {"aud": "https://other.example/mcp"}, {"aud": None}, {"aud": []},
    {"aud": URL + "/"}, {"iss": "https://evil.example"}, {"iss": None}, {"iss": ISSUER + "/"},
    {"sub": None}, {"sub": ""}, {"sub": 7},
    {"header": {"alg": "none"}}, {"header": {"alg": "HS256"}}, {"header": {"alg": "RS256"}},
    {"header": {"kid": "../EdDSA"}}, {"header": {"kid": "ES256"}}, {"header": {"kid": "unknown"}},
    {"header": {"crit": ["exp"]}}, {"header": {"typ": "logout+jwt"}}, {"header": {"kid": "shared"}}],
    ids=lambda what: re.sub(r"\d{10}", "TIME", str(what)))
def test_a_bad_token_is_refused_in_the_same_words(server, issuer, what):
    assert refused(post(server, issuer.token(**what))) == refused(post(server, "a.b.c"))


def test_a_forged_token(server, issuer):
    other = Issuer()
    public = issuer.keys["RS256"].public_key().public_bytes(
        PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    refused(post(server, other.token()))
    jwk = {k: v for k, v in other.jwks()["keys"][0].items() if k != "kid"}
    refused(post(server, other.token(header={"jwk": jwk})))
    refused(post(server, issuer.token(header={"alg": "HS256", "kid": "RS256"}, sign=lambda _, text: hmac.new(
        public, text, hashlib.sha256).digest())))
    refused(post(server, issuer.token(sign=lambda _, text: b"")))
    refused(post(server, issuer.token("ES256", sign=lambda _, text: bytes(64))))


def test_a_token_has_one_spelling(server, issuer):
    good = issuer.token()
    head, claims, signature = good.split(".")
    assert post(server, good).status == 200
    admin = b64(base64.urlsafe_b64decode(claims + "==").replace(b"alice", b"admin"))
    for bad in (good + "=", good + ".", "." + good, good[:-1], f"{head}.{admin}.{signature}",
                f"{head}.{claims}."):
        refused(post(server, bad))
    refused(post(server, f"{head}=.{claims}.{signature}"), 400, "invalid_request")


def test_without_the_scope_it_is_403(server, issuer):
    for scope in ("openid", None, "code:runner"):
        answer = post(server, issuer.token(scope=scope))
        refused(answer, 403, "insufficient_scope")
        assert 'scope="code:run"' in answer.headers["www-authenticate"]
    assert post(server, issuer.token(scope=None, scp=["code:run"])).status == 200


def test_a_long_name_is_hashed_not_cut(server, issuer):
    names = [run(server, "Bearer " + issuer.token(sub="x" * 200 + end))["run_id"] for end in "ab"]
    names = [rows_of(server, run_id)["intent"]["principal"] for run_id in names]
    assert names[0] != names[1] and all(name.startswith("oauth:id.example/realm#~") for name in names)


def test_a_token_that_expires_ends_its_session(server, issuer):
    """Within the leeway of 60 s nothing can be waited for: so it is one whose leeway is nearly over."""
    token = issuer.token(exp=int(time.time()) - 58, iat=int(time.time()) - 600)
    session = Session(server, authorization="Bearer " + token)
    end = time.monotonic() + 20
    while session.post(request("ping")).status == 200:
        assert time.monotonic() < end, "still let in"
    assert session.post(request("tools/call", call("print(1)"))).status == 401


def test_keys_and_tokens_side_by_side(server):
    result = run(server, server.key("beside"))
    assert rows_of(server, result["run_id"])["intent"]["principal"] == "key:beside"


def test_another_callers_session_is_not_there(server, issuer):
    mine, yours = server.key("mine"), server.key("yours")
    session = Session(server, authorization=mine)
    for authorization in (yours, "Bearer " + issuer.token()):
        stolen = session.post(request("ping"), authorization=authorization)
        unknown = session.post(request("ping"), authorization=authorization, mcp_session_id="0" * 64)
        assert stolen.status == unknown.status == 404 and stolen.body == unknown.body
    assert session.post(request("ping")).status == 200
    refused(session.post(request("ping"), authorization="Bearer fh_00000000_" + "A" * 43))


# --- keys -------------------------------------------------------------------------------------------

def test_two_keys_are_two_principals():
    with HttpServer(auth=True) as server:
        for name in ("a", "b"):
            result = run(server, server.key(name))
            rows = rows_of(server, result["run_id"])
            assert rows["intent"]["principal"] == rows["outcome"]["principal"] == "key:" + name


def test_a_revoked_key_runs_nothing_from_that_moment():
    """The front remembers a yes for a moment; the keeper, which starts things, does not."""
    with HttpServer(auth=True) as server:
        key = server.key("ci")
        assert run(server, key)["status"] == "exited"
        subprocess.run([mcp.BINARY, "key", "revoke", "ci", "--state", server.state], check=True,
                       capture_output=True, timeout=60)
        before = len(server.runs())
        answer = server.post(modern("tools/call", call("print(1)")), authorization=key)
        if answer.status == 200:
            assert answer.json["result"]["isError"], answer
            assert any(row["status"] == "refused" for row in server.audit("list"))
        else:
            refused(answer)
        assert len(server.runs()) == before


def test_servers_that_share_a_folder_share_keys():
    with HttpServer(auth=True) as one, HttpServer(auth=True, state=one.state) as two:
        key = one.key("ci")
        assert run(two, key)["stdout"] == "1\n"
        subprocess.run([mcp.BINARY, "key", "revoke", "ci", "--state", one.state], check=True,
                       capture_output=True, timeout=60)
        end = time.monotonic() + 10
        while two.post(modern("tools/list"), authorization=key).status != 401:
            assert time.monotonic() < end, "still let in"


# --- certificates -------------------------------------------------------------------------------------

def make_cert(folder, name, ca=None, san=None, **times):
    """name.pem and name.key; the pair as objects."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(ca[0].subject if ca else subject).public_key(key.public_key())
               .serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(hours=1))
               .not_valid_after(times.get("until", now + datetime.timedelta(days=1)))
               .add_extension(x509.BasicConstraints(ca is None, None), True))
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), False)
    cert = builder.sign(ca[1] if ca else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(cert.public_bytes(PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(PEM, PRIVATE, PLAIN))
    return cert, key


def test_a_client_certificate_is_a_principal(tmp_path):
    ca = make_cert(tmp_path, "ca")
    make_cert(tmp_path, "server", ca, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    make_cert(tmp_path, "agent-7", ca)
    make_cert(tmp_path, "workload", ca, [x509.UniformResourceIdentifier("spiffe://org/agent")])
    path = str(tmp_path) + "/"
    with HttpServer("--tls-cert", path + "server.pem", "--tls-key", path + "server.key",
                    "--tls-client-ca", path + "ca.pem", auth=True, tls=path + "ca.pem") as server:
        for name, principal in (("agent-7", "cert:agent-7"), ("workload", "cert:spiffe://org/agent")):
            message = modern("tools/call", call("print(1)"))
            answer = server.open("POST", headers=mcp_http.headers_for(message), body=message,
                                 client_cert=(path + name + ".pem", path + name + ".key")).answer()
            rows = rows_of(server, answer.json["result"]["structuredContent"]["run_id"])
            assert rows["intent"]["principal"] == principal
        assert server.post(modern("tools/list")).status == 401
        assert server.post(modern("tools/list"), authorization=server.key("k")).status == 200
        refused(server.post(modern("tools/list"), authorization="Bearer a.b.c"))


# --- the processes ------------------------------------------------------------------------------------

def test_nobody_asked_is_in_the_record():
    with HttpServer() as server:
        result = run(server, None)
        assert rows_of(server, result["run_id"])["intent"]["principal"] == "anonymous"
        assert [row["principal"] for row in server.audit("list") if row["status"] == "insecure_no_auth"]


def role(server, name):
    for pid in processes.offspring(server.pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if ("fumehood-" + name).encode() in file.read():
                return pid
    raise AssertionError(f"there is no {name}")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)


def test_the_auth_role_has_nothing(server):
    status = status_of(role(server, "auth"))
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
    if os.getuid() == 0:
        uids = {name: status_of(role(server, name))["Uid"] for name in ("auth", "front")}
        assert all("\t0\t" not in "\t" + uid + "\t" for uid in uids.values())
        assert uids["auth"] != uids["front"]


def test_the_death_of_the_auth_role_ends_the_server(issuer, tmp_path):
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(issuer.jwks()))
    server = HttpServer("--oauth-issuer", ISSUER, "--oauth-jwks", str(keys), "--public-url", URL,
                        auth=True)
    try:
        family = server.family()
        os.kill(role(server, "auth"), signal.SIGKILL)
        assert server.wait(20) != 0
        assert processes.gone(family, 5)
        server.end(code=None)
    finally:
        server.discard()


def test_keys_that_cannot_be_fetched_are_503(issuer):
    with HttpServer("--oauth-issuer", ISSUER, "--oauth-jwks", "https://127.0.0.1:1/jwks",
                    "--public-url", URL, auth=True) as server:
        server.authority = "box.example"
        assert post(server, issuer.token()).status == 503
        assert server.post(modern("tools/list"), authorization=server.key("k")).status == 200
        status = status_of(role(server, "fetch"))
        assert status["Seccomp"] == "2" and int(status["CapEff"], 16) == 0
        assert "jwks_not_fetched" in server.stderr()


def test_an_unusable_key_set_is_said_at_the_start(tmp_path):
    keys = tmp_path / "jwks.json"
    keys.write_text('{"keys":[{"kty":"oct","k":"AAAA"}]}')
    server = HttpServer("--oauth-issuer", ISSUER, "--oauth-jwks", str(keys), "--public-url", URL,
                        auth=True, ready=False)
    try:
        assert server.wait(20) != 0 and "none of the 1 keys" in server.stderr()
        assert "event=listening" not in server.stderr()
    finally:
        server.discard()
