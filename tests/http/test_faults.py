"""What HTTP libraries are known to get wrong, and what strangers do to servers, each on every wire:
HTTP/1.1 and HTTP/2, in the clear, over TLS 1.2 and over TLS 1.3."""
import json
import socket
import ssl

import h2.errors
import h2.events
import pytest

from httpd import Authority, Http2, Server

GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"
POST = "POST /echo HTTP/1.1\r\nHost: test\r\n{}\r\n"
VERSIONS = {"clear": None, "TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
DATA, HEADERS, CONTINUATION = 0, 1, 9


@pytest.fixture(scope="module", name="ca")
def certificate_authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.sign("server")
    return made


@pytest.fixture(params=VERSIONS, name="wire")
def wire_of(request):
    return VERSIONS[request.param]


class Site:
    """A server that speaks in the clear, where it is asked for its numbers, and over TLS."""

    def __init__(self, ca, wire, **limits):
        self.ca, self.wire = ca, wire
        self.server = Server("--tls", "--tcp", "--cert", ca.path("server.pem"), "--key",
                             ca.path("server.key"), **limits)
        self.tls_port, self.server.port = self.server.ports

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *how):
        self.server.__exit__(*how)

    def h1(self):
        if not self.wire:
            return self.server.connect()
        return self.server.tls(self.ca.context(version=self.wire), self.tls_port)

    def h2(self):
        if not self.wire:
            return self.server.h2()
        return Http2(self.server.tls(self.ca.context(("h2",), self.wire), self.tls_port))

    def until(self, condition):
        return self.server.until(condition)

    def spins(self):
        """While nothing happens but questions for its numbers."""
        ticks = self.server.cpu_ticks()
        for _ in range(20):
            self.server.stats()
        return self.server.cpu_ticks() - ticks >= 50


@pytest.fixture(name="site")
def a_site(ca, wire):
    with Site(ca, wire) as made:
        yield made


def raw(block):
    """Fields that are neither indexed nor coded."""
    def text(b):
        n = len(b)
        if n < 127:
            return bytes([n]) + b
        n, out = n - 127, b"\x7f"
        while n >= 128:
            out, n = out + bytes([n % 128 + 128]), n // 128
        return out + bytes([n]) + b
    return b"".join(b"\0" + text(name) + text(value) for name, value in block)


REQUEST = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/info"), (b":authority", b"test")]


# --- a stream whose client closes its half ------------------------------------------------------

def test_h1_half_closed_stream(site):
    client = site.h1()
    client.send(GET.format("/sse"))
    client.until(b"data: open\n\n")
    before = site.until(lambda s: s["streams"] == 1)["gone"]
    client.sock.shutdown(socket.SHUT_WR)
    site.until(lambda s: s["gone"] == before + 1 and s["streams"] == 0)
    assert not site.spins()


def test_h1_half_closed_before_the_answer(site):
    client = site.h1()
    client.send(GET.format("/hold"))
    site.until(lambda s: s["held"] == 1)
    client.sock.shutdown(socket.SHUT_WR)
    site.until(lambda s: s["gone"] == 1 and s["held"] == 0)
    assert not site.spins()


def test_h2_half_closed_connection(site):
    conn = site.h2()
    conn.wait(h2.events.DataReceived, conn.request("/sse"))
    conn.request("/hold")
    site.until(lambda s: s["held"] == 1)
    conn.client.sock.shutdown(socket.SHUT_WR)
    site.until(lambda s: s["gone"] == 2 and s["streams"] == 0 and s["held"] == 0)
    assert not site.spins()


# --- bytes that nobody waits for, while an answer is due ------------------------------------------

def test_h1_extra_bytes(site):
    client = site.h1()
    client.send(GET.format("/hold"))
    site.until(lambda s: s["held"] == 1)
    client.send("\r\n")
    client.send(POST.format("Content-Length: 2\r\n") + "ok" + "junk \x01")
    assert not site.spins()
    site.server.connect().ask("/release")
    assert client.answer().body == b"released"
    assert client.answer().body == b"ok"
    assert client.answer().status == 400
    assert client.is_closed()


def test_h2_extra_bytes(site):
    """DATA behind the end of its stream is an error of the whole connection."""
    conn = site.h2()
    stream = conn.request("/hold")
    conn.request("/hold")
    site.until(lambda s: s["held"] == 2)
    conn.raw(DATA, 0, stream, b"extra")
    assert conn.goodbye() == h2.errors.ErrorCodes.STREAM_CLOSED
    assert conn.until_closed().ended
    site.until(lambda s: s["gone"] == 2 and s["held"] == 0)
    assert not site.spins()


# --- ten requests at once -----------------------------------------------------------------------

@pytest.mark.parametrize("at_once", [True, False])
def test_h1_ten_pipelined_posts(site, at_once):
    client = site.h1()
    posts = [POST.format("Content-Length: 2\r\n") + f"{n:02}" for n in range(10)]
    for text in ["".join(posts)] if at_once else posts:
        client.send(text)
    assert [client.answer().body for _ in range(10)] == [f"{n:02}".encode() for n in range(10)]
    assert client.ask("/info").status == 200


def test_h1_nothing_is_served_behind_a_close(site):
    client = site.h1()
    before = site.server.stats()["requests"]
    client.send(POST.format("Connection: close\r\nContent-Length: 2\r\n") + "ok" + GET.format("/emit") * 3)
    assert client.answer().body == b"ok"
    assert client.is_closed()
    assert site.server.stats()["requests"] == before + 2, "this one and the second look"


def test_h2_ten_posts_in_one_write(site):
    conn = site.h2()
    flush, conn.flush = conn.flush, lambda: None
    streams = [conn.request("/echo", f"{n:02}".encode()) for n in range(10)]
    conn.flush = flush
    conn.flush()
    assert [conn.answer(stream).body for stream in streams] == [f"{n:02}".encode() for n in range(10)]


# --- bodies -------------------------------------------------------------------------------------

def test_h1_chunked_bodies(site):
    client = site.h1()
    client.send(POST.format("Transfer-Encoding: chunked\r\n") + "4\r\nwiki\r\n5;a=b\r\npedia\r\n0\r\nT: x\r\n\r\n")
    assert client.answer().body == b"wikipedia"
    for byte in POST.format("Transfer-Encoding: chunked\r\n") + "4\r\nwiki\r\n0\r\n\r\n":
        client.send(byte)
    assert client.answer().body == b"wiki"
    client.send(POST.format("Transfer-Encoding: chunked\r\n") + "4\r\nwiki\n")
    assert client.answer().status == 400
    assert client.is_closed()


def test_h2_bodies_in_pieces_and_padded(site):
    conn = site.h2()
    stream = conn.request("/echo", method="POST", end=False)
    for n, byte in enumerate(b"wikipedia"):
        conn.conn.send_data(stream, bytes([byte]), pad_length=n * 20)
        conn.flush()
    conn.conn.send_data(stream, b"", end_stream=True, pad_length=255)
    conn.flush()
    assert conn.answer(stream).body == b"wikipedia"


def test_h1_expect(site):
    client = site.h1()
    client.send(POST.format("Content-Length: 3\r\nExpect: 100-continue\r\n"))
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send("abc")
    assert client.answer().body == b"abc"


def test_h2_expect(site):
    conn = site.h2()
    stream = conn.request("/echo", method="POST", fields=[("expect", "100-continue")], end=False)
    assert dict(conn.wait(h2.events.InformationalResponseReceived, stream).headers)[":status"] == "100"
    conn.upload(stream, b"abc")
    assert conn.answer(stream).body == b"abc"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity"])
def test_compressed_bodies(site, coding):
    client, conn = site.h1(), site.h2()
    client.send(POST.format(f"Content-Encoding: {coding}\r\nContent-Length: 3\r\n") + "abc")
    assert client.answer().status == 415
    assert conn.ask("/echo", b"abc", fields=[("content-encoding", coding)]).status == 415


# --- headers ------------------------------------------------------------------------------------

@pytest.mark.parametrize("fields", ["A: " + "x" * (100 << 10) + "\r\n", "a: b\r\n" * 10000])
def test_h1_huge_headers(site, fields):
    client = site.h1()
    try:
        client.send("GET / HTTP/1.1\r\nHost: test\r\n" + fields + "\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it had been sent
    assert client.answer().status == 431
    assert client.is_closed()


@pytest.mark.parametrize("fields", [[(b"a", b"x" * (100 << 10))], [(b"a", b"b")] * 10000])
def test_h2_huge_headers(site, fields):
    """In one frame and as many CONTINUATION frames as are needed."""
    conn = site.h2()
    conn.ask("/info")
    rss = site.server.status("VmRSS")
    block = raw(REQUEST + fields)
    pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
    try:
        for n, piece in enumerate(pieces):
            conn.raw(CONTINUATION if n else HEADERS, (0 if n else 1) | (4 if piece is pieces[-1] else 0), 3, piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    status = None
    try:
        while status is None:
            head = conn.client.exactly(9)
            payload = conn.client.exactly(int.from_bytes(head[:3], "big"))
            if head[3] == HEADERS:
                status = payload[0] != 0x88  # not the indexed ":status: 200"
            if head[3] in (3, 7):
                status = True
    except (EOFError, ConnectionResetError):
        status = True
    assert status
    assert site.server.status("VmRSS") - rss < 4096
    assert site.h2().ask("/info").status == 200


# --- slow clients -------------------------------------------------------------------------------

def test_h1_a_head_a_body_and_a_reader_that_stall(ca, wire):
    with Site(ca, wire, header_ms=1500, body_ms=300, write_ms=300) as site:
        head, body, reader = site.h1(), site.h1(), site.h1()
        head.send("GET / HT")
        body.send(POST.format("Content-Length: 10\r\n") + "abc")
        reader.send(GET.format("/flood?7000000"))
        assert body.answer().status == 408
        assert body.is_closed()
        assert head.answer().status == 408
        assert head.is_closed()
        site.until(lambda s: s["gone"] == 1 and s["streams"] == 0)


def test_h2_a_block_a_body_and_a_reader_that_stall(ca, wire):
    with Site(ca, wire, header_ms=1500, body_ms=300, write_ms=300) as site:
        head, body, reader = site.h2(), site.h2(), site.h2()
        assert head.ask("/info").status == 200
        head.raw(HEADERS, 1, 3, raw(REQUEST))
        stream = body.request("/echo", b"abc", end=False)
        reader.conn.increment_flow_control_window(50000000)
        flood = reader.request("/flood?7000000")
        reader.conn.increment_flow_control_window(50000000, flood)
        reader.flush()
        assert body.answer(stream).status == 408
        assert body.ask("/info").status == 200
        assert head.goodbye() == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        site.until(lambda s: s["gone"] == 1 and s["streams"] == 0)


@pytest.mark.parametrize("way", ["h1", "h2"])
def test_an_event_stream_nobody_reads_has_a_ceiling(ca, wire, way):
    with Site(ca, wire, queue_bytes=1000000) as site:
        if way == "h1":
            site.h1().send(GET.format("/flood?7000000"))
        else:
            site.h2().request("/flood?7000000")
        site.until(lambda s: s["gone"] == 1 and s["streams"] == 0)


# --- what is asked of a server that is none of its business -------------------------------------------

def test_methods_that_are_no_request_for_a_resource(site):
    client, conn = site.h1(), site.h2()
    said = json.loads(client.ask("/info", method="TRACE").body)
    assert said["method"] == "OTHER", "the handler's to refuse, and nothing is sent back by itself"
    assert json.loads(conn.ask("/info", method="TRACE").body)["method"] == "OTHER"
    client.send("CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n")
    assert client.answer().status == 400
    assert client.is_closed()
    stream = conn.conn.get_next_available_stream_id()
    conn.conn.send_headers(stream, [(":method", "CONNECT"), (":authority", "test:443")])
    conn.flush()
    while not conn.is_over(stream):
        conn.turn()
    assert conn.find(h2.events.StreamReset, stream) or conn.answer(stream).status == 400


def test_an_upgrade_is_not_taken(site):
    client = site.h1()
    for protocol in "h2c", "websocket", "TLS/1.0":
        answer = client.ask("/info", fields="Connection: Upgrade, HTTP2-Settings\r\n"
                            f"Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABk\r\n")
        assert (answer.status, answer.get("upgrade")) == (200, None)
