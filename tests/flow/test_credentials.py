"""Where a credential counts, and that it is found nowhere else: log, record, answers, sandbox."""
import datetime
import http.client
import json
import os
import socket
import ssl
import subprocess

import mcp
import mcp_http
import processes
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mcp_http import HttpServer, Session, call, modern, request
from test_auth import ISSUER, URL, Issuer
from test_http_listen import activated, refused

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
NOW = datetime.datetime.utcnow()


def run(server, authorization, code="print(1)", **more):
    answer = server.post(modern("tools/call", call(code, **more)), authorization=authorization)
    assert answer.status == 200, answer
    return answer.json["result"]["structuredContent"]


def key_tool(*words, state, **more):
    return subprocess.run([mcp.BINARY, "key", *words, "--state", state], stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False, **more)


# --- found nowhere ----------------------------------------------------------------------------------

def everything_kept(server):
    yield "the log", server.stderr().encode()
    for name in os.listdir(server.state):
        with open(os.path.join(server.state, name), "rb") as file:
            yield name, file.read()
    for words in (["audit", "list"], ["key", "list"], ["audit", "verify"]):
        done = subprocess.run([mcp.BINARY, *words, "--json", "--state", server.state], capture_output=True,
                              timeout=60, check=True)
        yield " ".join(words), done.stdout + done.stderr


def test_no_credential_is_written_down(tmp_path):
    issuer = Issuer()
    (tmp_path / "jwks.json").write_text(json.dumps(issuer.jwks()))
    with HttpServer("--oauth-issuer", ISSUER, "--oauth-jwks", str(tmp_path / "jwks.json"), "--public-url", URL,
                    "--log-level", "debug", auth=True) as server:
        server.authority = "box.example"
        key, other, old = server.key("ci"), server.key("other"), server.key("old")
        assert key_tool("revoke", "old", state=server.state, stdout=subprocess.DEVNULL).returncode == 0
        shown = [key, other, old, "Bearer " + issuer.token(), "Bearer " + issuer.token(exp=1),
                 "Bearer " + issuer.token(scope="none"), "Bearer " + Issuer().token(sub="forged"),
                 key[:-4] + "AAAA", key.replace("Bearer", "Basic"), key + " " + other, key + "!"]
        bodies = []
        for authorization in shown:
            for message in (modern("tools/list"), modern("tools/call", call("print(1)")), request("ping")):
                answer = server.post(message, authorization=authorization)
                bodies.append(json.dumps(list(answer.headers.items())).encode() + answer.body)
        session = Session(server, authorization=key)
        run_id = run(server, key)["run_id"]
        places = [*everything_kept(server), ("an answer", b"\n".join(bodies)), ("session ids", session.id.encode()),
                  ("show", json.dumps(server.audit("show", run_id)).encode())]
        for secret in {part for one in shown for part in secrets_of(one)}:
            for place, content in places:
                assert secret not in content, (place, secret)
        assert b"key:ci" in dict(places)["audit list"] and b"not_authenticated" in places[0][1], "the control"


def secrets_of(authorization):
    """Each part of it that lets in, or that tells enough to guess it; a key's id is public."""
    words = authorization.split(None, 1)[1].replace("!", "").split()
    return [part.encode() for word in words for part in
            (word.split(".")[1:] if "." in word else [word[12:], word[12:40]]) if part]


def test_no_credential_gets_into_a_sandbox():
    """All that a program can read of itself and its neighbours; the control finds what it was given."""
    code = """if True:
        import glob, os, sys
        found = []
        for path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline') + glob.glob('/proc/*/maps'):
            try:
                found.append(open(path, 'rb').read())
            except OSError:
                pass
        for at, _, names in os.walk('/'):
            if at.startswith(('/proc', '/sys', '/usr', '/lib', '/dev')):
                continue
            for name in names:
                try:
                    found.append(open(os.path.join(at, name), 'rb').read(1 << 20))
                except OSError:
                    pass
        found.append(repr(os.environ).encode() + repr(os.listdir('/proc/self/fd')).encode())
        for mark in sys.stdin.read().split():
            print(sum(mark.encode()[::-1] in part for part in found))
        """
    with HttpServer(auth=True, env={"FUMEHOOD_TEST_CANARY": "canary-of-the-servers-environment"}) as server:
        key = server.key("ci")
        marks = [key.split()[1], key.split("_", 2)[2], "canary-of-the-servers-environment", "Bearer", "control-7"]
        answer = run(server, key, code, stdin=" ".join(mark[::-1] for mark in marks),
                     env={"GIVEN": "control-7"})
        assert answer["status"] == "exited" and answer["exit_code"] == 0, answer
        counts = [int(line) for line in answer["stdout"].split()]
        assert counts[:-1] == [0] * 4 and counts[-1] > 0, counts


# --- where a key counts -----------------------------------------------------------------------------

def test_no_role_has_the_environment_of_the_one_who_started_it():
    with HttpServer(env={"FUMEHOOD_TEST_CANARY": "canary-7"}) as server:
        def environment(pid):
            with open(f"/proc/{pid}/environ", "rb") as file:
                return file.read()

        roles = processes.offspring(server.proc.pid)
        assert len(roles) >= 3
        assert b"canary-7" in environment(server.proc.pid)
        assert [environment(pid) for pid in roles] == [b""] * len(roles)


def test_a_key_opens_the_servers_of_its_folder():
    with HttpServer(auth=True) as one, HttpServer(auth=True) as other:
        key, theirs = one.key("ci"), other.key("ci")
        for server, good, bad in ((one, key, theirs), (other, theirs, key)):
            assert server.post(modern("tools/list"), authorization=good).status == 200
            assert server.post(modern("tools/list"), authorization=bad).status == 401


def test_a_key_outlives_the_server(tmp_path):
    state = str(tmp_path / "state")
    with HttpServer(auth=True, state=state) as server:
        key, gone = server.key("ci"), server.key("gone")
        assert run(server, key)["stdout"] == "1\n"
    assert key_tool("revoke", "gone", state=state, stdout=subprocess.DEVNULL).returncode == 0
    with HttpServer(auth=True, state=state) as server, HttpServer(auth=True, state=state) as second:
        for one in (server, second):
            assert run(one, key)["stdout"] == "1\n"
            assert one.post(modern("tools/list"), authorization=gone).status == 401
            assert one.post(modern("tools/list"), authorization=one.key(f"k{one.port}")).status == 200


@pytest.fixture(scope="module", name="locked")
def a_server_with_a_key():
    with HttpServer(auth=True) as server:
        server.mine = server.key("mine")
        yield server


@pytest.mark.parametrize("header", [
    {"x_forwarded_user": "ci"}, {"x_forwarded_for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"},
    {"x_real_ip": "127.0.0.1"}, {"x_client_cert": "CERT"}, {"x_ssl_client_s_dn": "CN=ci"},
    {"x_forwarded_client_cert": "Subject=\"CN=ci\""}, {"x_forwarded_authorization": "KEY"},
    {"x_original_authorization": "KEY"}, {"x_api_key": "TOKEN"}, {"cookie": "authorization=KEY"},
    {"proxy_authorization": "KEY"}, {"x_original_url": "/healthz"}, {"x_remote_user": "ci"}],
    ids=lambda header: next(iter(header)))
def test_no_other_header_says_who_is_calling(locked, header):
    key = locked.mine
    words = {name: value.replace("KEY", key).replace("TOKEN", key.split()[1]) for name, value in header.items()}
    assert locked.post(modern("tools/list"), **words).status == 401
    assert locked.post(modern("tools/list"), authorization=key, **words).status == 200


@pytest.mark.parametrize("header", ["x_forwarded_host", "x_host", "x_original_host", "forwarded"])
def test_no_other_header_is_a_host(header):
    with HttpServer() as server:
        good = server.authority if header != "forwarded" else f"host={server.authority}"
        assert server.post(modern("tools/list"), **{header: "evil.example"}).status == 200
        server.authority = "evil.example"
        assert server.post(modern("tools/list"), **{header: good}).status == 403


# --- certificates -----------------------------------------------------------------------------------

def make(folder, name, ca=None, *, usage=None, days=1, subject=None):
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject or name)])
    builder = (x509.CertificateBuilder().subject_name(named).issuer_name(ca[0].subject if ca else named)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(NOW - datetime.timedelta(days=9)).not_valid_after(NOW + datetime.timedelta(days=days))
               .add_extension(x509.BasicConstraints(name.startswith("ca"), None), True)
               .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False))
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    cert = builder.sign(ca[1] if ca else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(cert.public_bytes(PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8,
                                                           serialization.NoEncryption()))
    return cert, key


@pytest.fixture(scope="module", name="certs")
def the_certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    client, server = x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH
    ca, other = make(folder, "ca"), make(folder, "ca-other", subject="ca")
    make(folder, "server", ca, usage=server)
    make(folder, "good", ca, usage=client)
    make(folder, "for-servers", ca, usage=server)
    make(folder, "expired", ca, usage=client, days=-1)
    make(folder, "of-another-ca", other, usage=client, subject="good")
    make(folder, "self-signed", None, usage=client, subject="good")
    make(folder, "of-no-ca", make(folder, "leaf", ca), usage=client, subject="good")
    return folder


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_bad_certificate_is_no_connection(certs, version):
    path = str(certs) + "/"
    with HttpServer("--tls-cert", path + "server.pem", "--tls-key", path + "server.key", "--tls-client-ca",
                    path + "ca.pem", auth=True, tls=path + "ca.pem") as server:
        def ask(name):
            context = ssl.create_default_context(cafile=path + "ca.pem")
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
            context.load_cert_chain(path + name + ".pem", path + name + ".key")
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock, \
                    context.wrap_socket(sock, server_hostname="localhost") as tls:
                message = json.dumps(modern("tools/list")).encode()
                fields = {**mcp_http.headers_for(modern("tools/list")), "host": f"localhost:{server.port}",
                          "content-length": len(message), "connection": "close"}
                tls.sendall(b"POST /mcp HTTP/1.1\r\n" + "".join(
                    f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n" + message)
                response = http.client.HTTPResponse(tls)
                response.begin()
                return response.status
        assert ask("good") == 200
        for name in ("for-servers", "expired", "of-another-ca", "self-signed", "of-no-ca"):
            with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
                raise AssertionError(f"{name}: {ask(name)}")
        assert ask("good") == 200


def test_what_a_key_says_counts_before_a_certificate(certs):
    path = str(certs) + "/"
    with HttpServer("--tls-cert", path + "server.pem", "--tls-key", path + "server.key", "--tls-client-ca",
                    path + "ca.pem", auth=True, tls=path + "ca.pem", listen="localhost:0") as server:
        message, pair = modern("tools/call", call("print(1)")), (path + "good.pem", path + "good.key")
        where = f"localhost:{server.port}"
        for authorization, principal in ((server.key("ci"), "key:ci"), (None, "cert:good")):
            headers = mcp_http.headers_for(message, authorization=authorization)
            answer = server.open("POST", headers=headers, body=message, address=where, client_cert=pair).answer()
            rows = server.audit("show", answer.json["result"]["structuredContent"]["run_id"])
            assert {row["principal"] for row in rows} == {principal}


# --- what it does not start with --------------------------------------------------------------------

@pytest.mark.parametrize("url", [
    "https://", "https:///mcp", "https://:443/mcp", "ftp://host/mcp", "https://user@host/mcp",
    "https://host/mcp?x=1", "https://host/mcp#x", "https://host/m cp", 'https://host/"', "https://host/\u00e4",
    "https://host\\@evil.example/mcp", "//host/mcp", "HTTPS://host/mcp", "https://host/mcp\r\nx: y"])
def test_a_public_url_is_one(url):
    assert "--public-url" in refused("--listen", "127.0.0.1:0", "--public-url", url, auth=True)


@pytest.mark.parametrize("url,suffix", [("https://mcp.example/mcp", "/mcp"), ("https://mcp.example", ""),
                                        ("https://mcp.example:8443/a/b/mcp", "/a/b/mcp"),
                                        ("http://mcp.example/mcp", "/mcp")])
def test_metadata_is_where_clients_look(url, suffix, tmp_path):
    (tmp_path / "jwks.json").write_text(json.dumps(Issuer().jwks()))
    with HttpServer("--oauth-issuer", ISSUER, "--oauth-jwks", str(tmp_path / "jwks.json"), "--public-url", url,
                    "--oauth-scope", "code:run  files:read", auth=True) as server:
        server.authority = url.split("/")[2]
        answer = server.post(modern("tools/list"))
        assert answer.status == 401
        where = url[:len(url) - len(suffix)] + "/.well-known/oauth-protected-resource" + suffix
        assert f'resource_metadata="{where}"' in answer.headers["www-authenticate"]
        metadata = server.get("/" + where.split("/", 3)[3])
        assert metadata.status == 200 and metadata.headers["content-type"] == "application/json"
        assert metadata.json["resource"] == url and metadata.json["authorization_servers"] == [ISSUER]
        assert metadata.json["scopes_supported"] == ["code:run", "files:read"]
        for other in ("/x" + suffix, suffix + "/x", "x"):
            assert server.get("/.well-known/oauth-protected-resource" + other).status == 404


def test_without_authentication_whatever_opened_the_socket(tmp_path):
    """A socket that systemd opened is no way round the second flag; a Unix socket, of any name, needs none."""
    with socket.socket() as one, socket.socket(socket.AF_INET6) as six:
        one.bind(("0.0.0.0", 0))
        six.bind(("::", 0))
        for listening in (one, six):
            listening.listen()
            with pytest.raises(AssertionError, match="insecure-no-auth-anywhere"):
                activated([], [listening.fileno()]).end()
    with socket.socket(socket.AF_UNIX) as path, socket.socket(socket.AF_UNIX) as abstract, \
            socket.socket(socket.AF_UNIX) as both, socket.socket() as wide:
        path.bind(str(tmp_path / "s"))
        abstract.bind(f"\0fumehood-test-{os.getpid()}")
        for listening in (path, abstract):
            listening.listen()
        with activated([], [path.fileno(), abstract.fileno()]) as server:
            assert any(row["status"] == "insecure_no_auth" for row in server.audit("list"))
            answer = server.open("POST", headers=mcp_http.headers_for(modern("tools/list")),
                                 body=modern("tools/list"), address=f"unix:{tmp_path}/s").answer()
            assert answer.status == 200
        both.bind(str(tmp_path / "t"))
        wide.bind(("0.0.0.0", 0))
        for listening in (both, wide):
            listening.listen()
        with pytest.raises(AssertionError, match="insecure-no-auth-anywhere"):
            activated([], [both.fileno(), wide.fileno()]).end()
        with activated(["--insecure-no-auth-anywhere"], [both.fileno(), wide.fileno()]) as server:
            assert any(row["status"] == "insecure_no_auth" for row in server.audit("list"))
