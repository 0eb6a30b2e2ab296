"""Where the server listens, what it refuses to start with, and how it says that it is there."""
import os
import re
import socket
import ssl
import stat
import subprocess

import mcp
import mcp_http
import pytest
from mcp_http import HttpServer, Session, call, modern


def run(words, cwd=None, env=None):
    return subprocess.run(words, cwd=cwd, check=True, capture_output=True, timeout=60,
                          env={**os.environ, **(env or {})})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, a server's certificate for 127.0.0.1 and localhost, a client's."""
    where = tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(["openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key",
         "-out", "ca.pem"], where)
    (where / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name, more in (("server", ["-extfile", "san"]), ("client", [])):
        run(["openssl", "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
             f"{name}.csr"], where)
        run(["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
             "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", *more], where)
    return where


def tls(where):
    return "--tls-cert", str(where / "server.pem"), "--tls-key", str(where / "server.key")


# --- addresses --------------------------------------------------------------------------------------

def test_a_unix_socket(wire, tmp_path):
    path = tmp_path / "s.sock"
    with HttpServer(listen=f"unix:{path}", wire=wire) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.addresses == [f"unix:{path}"]
        assert server.post(modern("tools/call", call("print(1)"))).status == 200
        server.authority = "anything.example"    # no browser gets here
        assert server.post(modern("tools/list")).status == 200
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with HttpServer(listen=f"unix:{path}"):
        assert "listens" in refused("--listen", f"unix:{path}")
        assert path.exists()
    path.write_text("a file of somebody's")
    assert "no socket" in refused("--listen", f"unix:{path}")
    assert path.read_text() == "a file of somebody's"


def test_several_addresses(tmp_path):
    where = f"127.0.0.1:0, 127.0.0.2:0,unix:{tmp_path}/s"
    with HttpServer(listen=where) as server:
        assert len(server.addresses) == 3
        for address in server.addresses:
            authority = "localhost" if "unix" in address else address.replace("127.0.0.2", "localhost")
            answer = server.open("POST", headers=mcp_http.headers_for(modern("tools/list")),
                                 body=modern("tools/list"), authority=authority, address=address).answer()
            assert answer.status == 200


def test_localhost_is_both_loopbacks():
    with HttpServer(listen="localhost:0") as server:
        hosts = [a.rpartition(":")[0] for a in server.addresses]
        assert hosts in (["127.0.0.1", "[::1]"], ["127.0.0.1"])
        assert len({a.rpartition(":")[2] for a in server.addresses}) == 1


def activated(words, fds, notify=None):
    """As systemd does it: the sockets from descriptor 3 on, LISTEN_PID the process itself."""
    script = "import os,sys; os.environ['LISTEN_PID']=str(os.getpid()); os.execv(sys.argv[1],sys.argv[1:])"

    def start(command, **how):
        how["env"] = dict(how["env"], LISTEN_FDS=str(len(fds)), **({"NOTIFY_SOCKET": notify} if notify
                                                                   else {}))

        def place():
            for n, fd in enumerate(fds):
                os.dup2(fd, 3 + n)
        return subprocess.Popen(["/usr/bin/python3", "-c", script, *command], pass_fds=range(3, 3 + len(fds)),
                                preexec_fn=place, **how)
    return HttpServer(*words, listen=None, start=start)


def test_sockets_of_the_service_manager(tmp_path):
    with socket.socket() as one, socket.socket(socket.AF_UNIX) as two, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        one.bind(("127.0.0.1", 0))
        two.bind(str(tmp_path / "s"))
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        for listening in (one, two):
            listening.listen()
        with activated([], [one.fileno(), two.fileno()], str(tmp_path / "notify")) as server:
            assert server.addresses == [f"127.0.0.1:{one.getsockname()[1]}", f"unix:{tmp_path}/s"]
            assert manager.recv(100) == b"READY=1"
            for address in server.addresses:
                assert server.open("GET", "/healthz", address=address).answer().status == 200
            server.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            server.wait()
        assert (tmp_path / "s").exists(), "a socket of the manager's is not ours to remove"


def test_sockets_for_another_process_are_not_taken():
    with HttpServer(env={"LISTEN_FDS": "1", "LISTEN_PID": "1"}) as server:
        assert len(server.addresses) == 1


# --- TLS --------------------------------------------------------------------------------------------

def test_tls(wire, certificates):
    with HttpServer(*tls(certificates), wire=wire, tls=str(certificates / "ca.pem")) as server:
        assert server.post(modern("tools/call", call("print(1)"))).status == 200
        s = Session(server)
        assert s.request("ping")["result"] == {}
        sock = server.connect()
        assert sock.version() == "TLSv1.3" and sock.selected_alpn_protocol() == wire.name
        sock.close()
        assert server.post(modern("tools/list"), origin=f"https://localhost:{server.port}").status == 200
        assert server.post(modern("tools/list"), origin=f"http://localhost:{server.port}").status == 403


def test_a_client_certificate_is_a_caller(wire, certificates):
    pair = str(certificates / "client.pem"), str(certificates / "client.key")
    with HttpServer(*tls(certificates), "--tls-client-ca", str(certificates / "ca.pem"), wire=wire,
                    auth=True, tls=str(certificates / "ca.pem")) as server:
        message = modern("tools/call", call("print(1)"))
        answer = server.open("POST", headers=mcp_http.headers_for(message), body=message,
                             client_cert=pair).answer()
        assert answer.status == 200, answer
        run = answer.json["result"]["structuredContent"]["run_id"]
        assert any("cert:client" in str(row) for row in server.audit("show", run))
        assert server.post(message).status == 401
        assert server.post(message, authorization=server.key("k")).status == 200


def test_no_connection_without_a_client_certificate(certificates):
    with HttpServer(*tls(certificates), "--tls-client-ca", str(certificates / "ca.pem"),
                    "--tls-client-required", auth=True, tls=str(certificates / "ca.pem")) as server:
        with pytest.raises((ssl.SSLError, OSError, mcp_http.http.client.HTTPException)):
            server.get("/healthz")


def test_the_socket_file_needs_no_tls(certificates, tmp_path):
    with HttpServer(*tls(certificates), listen=f"127.0.0.1:0,unix:{tmp_path}/s",
                    tls=str(certificates / "ca.pem")) as server:
        assert server.open("GET", "/healthz", address=server.addresses[1]).answer().status == 200
        assert server.get("/healthz").status == 200


# --- refusals ---------------------------------------------------------------------------------------

def refused(*words, auth=False):
    """The message of a server that must not start: two lines, a cause and a remedy."""
    server = HttpServer(*words, listen=None, auth=auth, ready=False)
    try:
        assert server.wait() == 2, server.stderr()
        lines = server.stderr().splitlines()
        assert len(lines) == 2 and lines[0].startswith("fumehood: ") and lines[1].startswith("  "), lines
        return server.stderr()
    finally:
        server.discard()


@pytest.mark.parametrize("words,auth,named", [
    (["--listen", "0.0.0.0:0"], False, "--insecure-no-auth-anywhere"),
    (["--listen", "[::]:0"], False, "--insecure-no-auth-anywhere"),
    (["--listen", "127.0.0.1:0,0.0.0.0:0"], False, "--insecure-no-auth-anywhere"),
    (["--listen", "0.0.0.0:0"], True, "--insecure-plaintext"),
    (["--listen", "127.0.0.1:0", "--insecure-no-auth-anywhere"], True, "--insecure-no-auth"),
    (["--listen", "localhost"], True, "--listen"), (["--listen", "127.0.0.1:x"], True, "--listen"),
    (["--listen", "127.0.0.1:65536"], True, "--listen"), (["--listen", "example.com:80"], True, "--listen"),
    (["--listen", ":8080"], True, "--listen"), (["--listen", "8080"], True, "--listen"),
    (["--listen", "[::1:80"], True, "--listen"), (["--listen", ","], True, "--listen"),
    (["--listen", "unix:relative"], True, "--listen"), (["--listen", "unix:/" + "x" * 120], True, "--listen"),
    (["--listen", "unix:/nonexistent/s"], True, "/nonexistent"),
    (["--listen", "192.0.2.1:0"], True, "192.0.2.1"),
    (["--listen", ",".join(["127.0.0.1:0"] * 9)], True, "8"),
    (["--tls-cert", "/x"], True, "--tls-key"), (["--tls-key", "/x"], True, "--tls-cert"),
    (["--tls-client-ca", "/x"], True, "--tls-cert"), (["--tls-client-required"], True, "--tls-client-ca"),
    (["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], True, "/nonexistent"),
    (["--oauth-jwks", "/x"], True, "--oauth-issuer"),
    (["--oauth-issuer", "https://as.example", "--oauth-jwks", "/x"], True, "--public-url"),
    (["--public-url", "mcp.example"], True, "--public-url"),
    (["--max-connections", "0"], True, "--max-connections"),
    (["--promote-ms", "1"], True, "--promote-ms"),
    (["--oauth-issuer", "https://as.example", "--public-url", "https://m.example/mcp"], False,
     "--insecure-no-auth"),
])
def test_what_it_does_not_start_with(words, auth, named):
    if "--listen" not in words:
        words = [*words, "--listen", "127.0.0.1:0"]
    assert named in refused(*words, auth=auth)


def test_what_was_refused_leaves_no_socket_file(tmp_path):
    paths = [tmp_path / f"s{n}" for n in range(9)]
    assert "more than 8" in refused("--listen", ",".join(f"unix:{p}" for p in paths), auth=True)
    assert not any(p.exists() for p in paths)


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "in use" in refused("--listen", f"127.0.0.1:{taken.getsockname()[1]}")


def test_other_hosts_may_reach_it_when_somebody_wrote_that_down(certificates):
    with HttpServer("--insecure-no-auth-anywhere", listen="0.0.0.0:0") as server:
        server.address = f"127.0.0.1:{server.port}"
        server.authority = server.address
        assert server.post(modern("tools/list")).status == 200
        server.authority = "rebound.example"    # nobody is asked who he is, so no names
        assert server.post(modern("tools/list")).status == 403
    with HttpServer("--insecure-plaintext", listen="0.0.0.0:0", auth=True) as server:
        server.address, server.authority = f"127.0.0.1:{server.port}", "mcp.example"
        assert server.post(modern("tools/list")).status == 401
    with HttpServer(*tls(certificates), listen="0.0.0.0:0", auth=True,
                    tls=str(certificates / "ca.pem")) as server:
        server.address, server.authority = f"127.0.0.1:{server.port}", "mcp.example"
        assert server.post(modern("tools/list")).status == 401


def test_a_certificate_that_is_none(tmp_path):
    (tmp_path / "x.pem").write_text("nonsense")
    pem = str(tmp_path / "x.pem")
    server = HttpServer("--tls-cert", pem, "--tls-key", pem, ready=False)
    try:
        assert server.wait() == 1 and "certificate" in server.stderr(), server.stderr()
    finally:
        server.discard()


def test_without_a_key_the_first_line_says_how_to_make_one():
    with HttpServer(auth=True) as server:
        first, second = server.stderr().splitlines()[:2]
        assert "no API key" in first and "fumehood key create" in second
        key = server.key("first")    # while it runs
        assert server.post(modern("tools/list"), authorization=key).status == 200
        with HttpServer(auth=True, state=server.state) as again:
            assert "API key" not in again.stderr()


def test_without_authentication_the_record_says_so():
    with HttpServer() as server:
        assert any(row["status"] == "insecure_no_auth" for row in server.audit("list"))


def test_listening_is_said_at_any_log_level():
    with HttpServer("--log-level", "error") as server:
        assert re.search(r"event=listening address=127\.0\.0\.1:\d+ url=http://", server.stderr())


def test_the_front_can_do_nothing_else():
    """By its own filter: no open, no exec, no socket; only the connections it accepts."""
    with HttpServer() as server:
        for pid in server.family()[1:]:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"fumehood-front" in file.read():
                    break
        with open(f"/proc/{pid}/status") as file:
            found = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        assert found["Seccomp"] == "2" and found["NoNewPrivs"] == "1"
        assert int(found["CapEff"], 16) == 0
        if os.geteuid() == 0:
            assert found["Uid"].split()[0] not in ("0",)
        assert mcp.BINARY
