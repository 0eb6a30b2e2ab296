"""TLS 1.2 and 1.3, ALPN, client certificates, and what is wrong with any of them."""
import json
import socket
import ssl
import subprocess

import pytest

from httpd import HTTPD, Authority, Http2, Server, sanitized

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module", name="ca")
def certificate_authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.sign("server")
    made.sign("rsa", kind="rsa")
    made.sign("client", "clientAuth")
    return made


@pytest.fixture(scope="module", name="stranger")
def another_authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    made.sign("client", "clientAuth")
    return made


def tls_server(ca, *options, name="server", **limits):
    return Server("--tls", "--tcp", "--cert", ca.path(f"{name}.pem"), "--key", ca.path(f"{name}.key"),
                  *options, **limits)


@pytest.fixture(scope="module", name="server")
def shared_server(ca):
    with tls_server(ca) as made:
        # its numbers are asked for in the clear
        made.tls_port, made.port = made.ports
        yield made


def pair(ca, name):
    return ca.path(f"{name}.pem"), ca.path(f"{name}.key")


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("kind", ["server", "rsa"])
def test_each_version_with_each_kind_of_key(ca, version, kind):
    with tls_server(ca, name=kind) as server:
        client = server.tls(ca.context(version=version))
        assert client.sock.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
        assert client.sock.cipher()[0].split("_")[0].startswith(("TLS", "ECDHE"))
        assert json.loads(client.ask("/info").body)["tls"] == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused(server, ca):
    context = ca.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        server.tls(context, server.tls_port)


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384"])
def test_weak_suites_are_refused(server, ca, suite):
    context = ca.context(version=V12)
    context.set_ciphers(suite + ":@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        server.tls(context, server.tls_port)


@pytest.mark.parametrize("offer, chosen", [(("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"),
                                           (("http/1.1",), "http/1.1"), ((), None)])
@pytest.mark.parametrize("version", [V12, V13])
def test_alpn(server, ca, version, offer, chosen):
    client = server.tls(ca.context(offer, version), server.tls_port)
    assert client.sock.selected_alpn_protocol() == chosen
    if chosen == "h2":
        answer = Http2(client).ask("/info")
    else:
        answer = client.ask("/info")
    assert (answer.status, json.loads(answer.body)["tls"]) == (200, 1)


def test_alpn_without_anything_in_common_is_refused(server, ca):
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        server.tls(ca.context(("spdy/3",)), server.tls_port)


def test_curl_speaks_http2(server, ca):
    done = subprocess.run(["curl", "-sS", "-m", "20", "--http2", "--cacert", ca.pem, "-d", "x" * 100000,
                           "-w", " %{http_version}", f"https://localhost:{server.tls_port}/info"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, version = done.stdout.rsplit(" ", 1)
    assert (json.loads(said)["body"], version) == (100000, "2")


@pytest.mark.parametrize("version", [V12, V13])
def test_large_bodies_both_ways(server, ca, version):
    client = server.tls(ca.context(version=version), server.tls_port)
    data = bytes(range(256)) * 20000
    assert client.ask("/echo", data).body == data
    assert Http2(server.tls(ca.context(("h2",), version), server.tls_port)).ask("/echo", data).body == data


def test_pipelined_requests(server, ca):
    client = server.tls(ca.context(), server.tls_port)
    client.send(GET.format("/info") * 10)
    assert [client.answer().status for _ in range(10)] == [200] * 10


def test_a_stream_goes_out_event_by_event(server, ca):
    client = server.tls(ca.context(), server.tls_port)
    client.send(GET.format("/sse"))
    client.until(b"\r\n\r\n")
    assert client.chunk() == b"data: open\n\n"
    server.connect().ask("/emit")
    assert client.chunk() == b"data: event\n\n"


@pytest.mark.parametrize("version", [V12, V13])
def test_close_notify_is_leaving(server, ca, version):
    """TLS's way of half closing: the TCP connection stays open."""
    client = server.tls(ca.context(version=version), server.tls_port)
    client.send(GET.format("/sse"))
    client.until(b"data: open\n\n")
    before = server.stats()["gone"]
    try:
        client.sock.unwrap()
    except (ssl.SSLError, OSError):
        pass  # what the server had sent meanwhile is in the way
    server.until(lambda s: s["gone"] == before + 1)


def test_closing_without_close_notify_is_leaving(server, ca):
    client = server.tls(ca.context(), server.tls_port)
    client.send(GET.format("/sse"))
    client.until(b"data: open\n\n")
    before = server.stats()["gone"]
    client.sock.shutdown(socket.SHUT_RDWR)
    server.until(lambda s: s["gone"] == before + 1)


def test_the_server_says_close_notify(server, ca):
    client = server.tls(ca.context(), server.tls_port)
    client.sock.suppress_ragged_eofs = False
    client.ask("/info", fields="Connection: close\r\n")
    assert client.is_closed()  # SSLEOFError without it


def test_plain_http_to_the_tls_port_is_refused(server):
    client = server.connect()
    raw = socket.create_connection(("127.0.0.1", server.tls_port), 20)
    client.sock, old = raw, client.sock
    old.close()
    client.send(GET.format("/info"))
    data = b""
    while piece := raw.recv(1000):
        data += piece
    assert not data.startswith(b"HTTP")


def test_smuggling_is_refused_under_tls(server, ca):
    client = server.tls(ca.context(), server.tls_port)
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert client.answer().status == 400
    assert client.is_closed()


# --- client certificates ------------------------------------------------------------------------

def cert_length(client):
    return json.loads(client.ask("/info").body)["cert"]


def refused(server, context):
    """TLS 1.3 clients learn it with their first read, after their side of the handshake."""
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError, EOFError)):
        server.tls(context).ask("/info")


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("required", [False, True])
def test_a_client_certificate_is_shown(ca, version, required):
    with tls_server(ca, "--client-ca", ca.pem, *(["--required"] if required else [])) as server:
        client = server.tls(ca.context(version=version, client=pair(ca, "client")))
        with open(ca.path("client.pem"), encoding="ascii") as file:
            der = ssl.PEM_cert_to_DER_cert(file.read())
        assert cert_length(client) == len(der)
        assert cert_length(client) == len(der), "on the next request too"


@pytest.mark.parametrize("version", [V12, V13])
def test_none_is_needed_when_none_is_required(ca, version):
    with tls_server(ca, "--client-ca", ca.pem) as server:
        assert cert_length(server.tls(ca.context(version=version))) == 0


@pytest.mark.parametrize("version", [V12, V13])
def test_none_is_refused_when_one_is_required(ca, version):
    with tls_server(ca, "--client-ca", ca.pem, "--required") as server:
        refused(server, ca.context(version=version))


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("fault", ["wrong CA", "for servers", "expired"])
def test_a_wrong_one_is_refused(ca, stranger, version, required, fault):
    if fault == "wrong CA":
        shown = pair(stranger, "client")
    elif fault == "for servers":
        shown = pair(ca, "server")
    else:
        shown = expired(ca)
    with tls_server(ca, "--client-ca", ca.pem, *(["--required"] if required else [])) as server:
        refused(server, ca.context(version=version, client=shown))


def expired(ca):
    ca.sign("old", "clientAuth")
    ca.run("x509", "-req", "-in", "old.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "old.pem",
           "-days", "-1", "-extfile", "old.ext")
    return pair(ca, "old")


def test_without_a_ca_nobody_is_asked(server, ca, stranger):
    client = server.tls(ca.context(client=pair(stranger, "client")), server.tls_port)
    assert cert_length(client) == 0


# --- hostile handshakes -------------------------------------------------------------------------

@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_that_stalls_is_ended(ca, start):
    with tls_server(ca, header_ms=300) as server:
        client = server.connect()
        client.send(start)
        assert client.is_closed()


def test_a_head_that_stalls_after_the_handshake(ca):
    with tls_server(ca, header_ms=500) as server:
        client = server.tls(ca.context())
        client.send("GET / HT")
        assert client.answer().status == 408
        assert client.is_closed()


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x15\x03\x01\x00\x02\x02\x28",
                                  b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x80\x2e\x01\x00\x02", b"\0" * 1000])
def test_junk_is_refused(server, junk):
    raw = socket.create_connection(("127.0.0.1", server.tls_port), 20)
    try:
        raw.sendall(junk)
        while raw.recv(1000):
            pass
    except (ConnectionResetError, BrokenPipeError):
        pass
    raw.close()
    assert server.connect().ask("/info").status == 200


@pytest.mark.parametrize("cert, key", [("server.pem", "client.key"), ("server.key", "server.key"),
                                       ("server.pem", "server.pem"), ("server.ext", "server.key")])
def test_an_unusable_certificate_or_key_is_told(ca, cert, key):
    done = subprocess.run([HTTPD, "--tls", "--cert", ca.path(cert), "--key", ca.path(key)],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 3
    assert "certificate" in done.stderr or "key" in done.stderr


# --- what a handshake may be used for -----------------------------------------------------------

def test_a_client_that_says_nothing_after_its_handshake_is_told_nothing(ca):
    """A 408 would be read as the answer to what it sends next."""
    with tls_server(ca, header_ms=300) as server:
        assert server.tls(ca.context()).is_closed()


def test_many_handshakes_that_stall_half_way(ca):
    """After ServerHello and in TLS 1.3: mbedTLS has a limited number of places for keys."""
    with tls_server(ca, header_ms=60000) as server:
        stalled = []
        for _ in range(200):
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            hello = ca.context(version=V13).wrap_bio(into, out, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                hello.do_handshake()
            client = server.connect()
            client.send(out.read())
            assert client.more()[0] == 22, "a handshake record"
            stalled.append(client)
        open_ones = [server.tls(ca.context(version=version)) for _ in range(50) for version in (V12, V13)]
        for client in open_ones:
            assert client.ask("/info").status == 200


def test_idle_connections_do_not_keep_their_buffers(ca):
    """Two of 16 KiB each, of which the first page is enough."""
    with tls_server(ca, idle_ms=600000) as server:
        def add(n):
            clients = [server.tls(ca.context(), server.ports[0]) for _ in range(n)]
            for client in clients:
                assert client.ask("/big?30000").status == 200
            return clients
        kept = add(20)
        before = server.status("VmRSS")
        kept += add(200)
        each = (server.status("VmRSS") - before) * 1024 / 200
        print(f"{each:.0f} bytes for an idle TLS connection")
        assert sanitized() or each < 30000
        assert all(client.ask("/echo", b"x" * 40000).body == b"x" * 40000 for client in kept)


@pytest.mark.parametrize("size", [1, 4096, 4097, 16384, 16385, 65536, 65537, 1000000])
@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_answers_of_any_size_are_whole(server, ca, version, alpn, size):
    client = server.tls(ca.context((alpn,), version), server.tls_port)
    asked = Http2(client).ask if alpn == "h2" else client.ask
    assert asked("/echo", b"x" * size).body == b"x" * size


def s_client(server, ca, *words, say=b""):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.tls_port}", "-CAfile",
                           ca.pem, "-servername", "localhost", *words], input=say, capture_output=True,
                          timeout=30, check=False)


def test_renegotiation_is_refused(server, ca):
    said = s_client(server, ca, "-tls1_2", "-legacy_renegotiation", say=b"R\n").stderr.decode()
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said, said
    assert server.connect().ask("/info").status == 200


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_session_is_resumed(server, ca, tmp_path, version):
    """A resumed session has no client certificate in TLS 1.3, and early data could be played again."""
    get = b"GET /info HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    first = s_client(server, ca, version, "-sess_out", str(tmp_path / "session"), "-ign_eof", say=get)
    assert b"HTTP/1.1 200" in first.stdout
    assert b"Max Early Data: " not in first.stdout or b"Max Early Data: 0" in first.stdout
    if not (tmp_path / "session").exists():
        return  # none was given out
    again = s_client(server, ca, version, "-sess_in", str(tmp_path / "session"), "-ign_eof", say=get)
    assert b"Reused, " not in again.stdout
    assert b"HTTP/1.1 200" in again.stdout


def test_a_record_that_was_changed_ends_the_connection(server, ca):
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = ca.context(version=V13).wrap_bio(into, out, server_hostname="localhost")
    raw = socket.create_connection(("127.0.0.1", server.tls_port), 20)
    while True:
        try:
            talk.do_handshake()
            break
        except ssl.SSLWantReadError:
            raw.sendall(out.read())
            into.write(raw.recv(65536))
    raw.sendall(out.read())
    before = server.stats()["requests"]
    talk.write(GET.format("/info").encode())
    record = bytearray(out.read())
    record[-1] ^= 1
    raw.sendall(record)
    assert raw.recv(1000)[:1] in (b"\x17", b""), "an alert at most, and no answer"
    try:
        while raw.recv(1000):
            pass
    except ConnectionResetError:
        pass
    raw.close()
    assert server.stats()["requests"] == before + 1


@pytest.mark.parametrize("cut", [1, 5, 20, -1])
def test_a_request_whose_record_is_cut_off_is_none(server, ca, cut):
    """The end of TCP inside a record is no end of the request."""
    client = server.tls(ca.context(version=V12), server.tls_port)
    client.ask("/info")
    before = server.until(lambda s: s["connections"] >= 2)["requests"]
    raw = socket.socket(fileno=client.sock.detach())
    raw.settimeout(20)
    record = b"\x17\x03\x03\x00\x40" + b"x" * 0x40
    raw.sendall(record[:cut])
    raw.shutdown(socket.SHUT_WR)
    while raw.recv(1000):
        pass
    raw.close()
    assert server.stats()["requests"] == before + 1


def test_warnings_without_end_are_no_loop(server, ca):
    """Records that carry nothing, as many as are liked; the server answers others meanwhile."""
    client = server.tls(ca.context(version=V12), server.tls_port)
    raw = socket.socket(fileno=client.sock.detach())
    raw.settimeout(20)
    try:
        for _ in range(10000):
            raw.sendall(b"\x15\x03\x03\x00\x02\x01\x00")
        while raw.recv(1000):
            pass
    except (ConnectionResetError, BrokenPipeError):
        pass
    raw.close()
    assert server.connect().ask("/info").status == 200
