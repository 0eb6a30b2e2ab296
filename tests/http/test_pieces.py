"""Bodies that are taken in pieces, and answers that go in pieces as there is room: clients that stop, stall,
lie, say too much, read nothing; and that neither is ever in memory."""
import threading
import time

import h2.events
import pytest

from httpd import Authority, Server, sanitized

MIB = 1 << 20


def told(data):
    """What /sink says of it."""
    total = 0
    for byte in data:
        total = (total * 31 + byte) % (1 << 64)
    return f"{len(data)} {total}".encode()


def noise(n):
    return bytes((i * 7 + (i >> 8)) & 255 for i in range(n))


def until(server, **wanted):
    end = time.monotonic() + 20
    while True:
        stats = server.stats()
        if all(check(stats[name]) if callable(check) else stats[name] == check
               for name, check in wanted.items()):
            return stats
        assert time.monotonic() < end, stats
        time.sleep(0.01)


def chunked(data, size):
    pieces = [data[i:i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def begin(client, path, fields, method="PUT"):
    client.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")


def fill(client, data=b"x" * 65536, limit=64 * MIB):
    """Sends until nothing more is taken; how much was."""
    client.sock.settimeout(0.5)
    sent = 0
    try:
        while sent < limit:
            sent += client.sock.send(data)
    except TimeoutError:
        pass
    client.sock.settimeout(20)
    return sent


# --- whole ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n", [0, 1, 4096, 65536, 262144, 262145, 1000003])
def test_a_counted_body(n):
    with Server("--tcp", body_bytes=100) as server:
        client = server.connect()
        data = noise(n)
        begin(client, "/sink", f"Content-Length: {n}\r\n")
        client.send(data)
        assert client.answer().body == told(data)
        assert client.ask("/info").status == 200, "the connection goes on"


@pytest.mark.parametrize("size", [1, 7, 4096, 70000, 400000])
def test_a_chunked_body(size):
    with Server("--tcp", body_bytes=100) as server:
        client = server.connect()
        data = noise(500001 if size > 7 else 5001)
        begin(client, "/sink", "Transfer-Encoding: chunked\r\n")
        client.send(chunked(data, size))
        assert client.answer().body == told(data)
        assert client.ask("/info").status == 200


def test_byte_by_byte():
    with Server("--tcp") as server:
        client = server.connect()
        for byte in b"PUT /sink HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" \
                    + chunked(b"hello", 2):
            client.send(bytes([byte]))
        assert client.answer().body == told(b"hello")


def test_what_follows_is_the_next_request():
    with Server("--tcp") as server:
        client = server.connect()
        client.send(b"PUT /sink HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"
                    b"PUT /sink HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"2\r\nhi\r\n0\r\n\r\nGET /info HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.answer().body == told(b"hello")
        assert client.answer().body == told(b"hi")
        assert client.answer().status == 200


@pytest.mark.parametrize("end", ["with data", "alone", "trailers"])
def test_over_http2(end):
    with Server("--tcp", body_bytes=100) as server:
        client = server.h2()
        data = noise(1000003)
        stream = client.request("/sink", data, method="PUT", end=end == "with data")
        if end == "alone":
            client.conn.send_data(stream, b"", end_stream=True)
        elif end == "trailers":
            client.conn.send_headers(stream, [("x-trailer", "1")], end_stream=True)
        client.flush()
        assert client.answer(stream).body == told(data)


def test_over_tls(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.sign("server")
    with Server("--tls", "--cert", cert, "--key", key, body_bytes=100) as server:
        client = server.tls(authority.context())
        data = noise(1000003)
        begin(client, "/sink", f"Content-Length: {len(data)}\r\n")
        client.send(data)
        assert client.answer().body == told(data)
        assert len(client.ask("/file?1000003").body) == 1000003
        client = server.h2(server.tls(authority.context(["h2"])))
        assert client.ask("/sink", data, method="PUT").body == told(data)
        assert len(client.ask("/file?1000003").body) == 1000003


def test_many_streams_of_one_connection():
    """A body that nobody takes does not hold up another."""
    with Server("--tcp", body_bytes=100) as server:
        client = server.h2()
        stuck = client.request("/tap", b"x" * (256 << 10), method="PUT", end=False)
        data = noise(1000003)
        assert client.ask("/sink", data, method="PUT").body == told(data)
        assert client.conn.local_flow_control_window(stuck) == 0
        client.ask("/pull?200000")
        client.upload(stuck, b"x" * 100000)
        client.ask("/pull?1000000")
        assert client.answer(stuck).body == told(b"x" * ((256 << 10) + 100000))


# --- 100 Continue -----------------------------------------------------------------------------------

def test_the_client_is_told_to_go_on_when_the_handler_is_ready():
    with Server("--tcp") as server:
        client, other = server.connect(), server.connect()
        begin(client, "/late", "Content-Length: 5\r\nExpect: 100-continue\r\n")
        until(server, exchanges=2)
        assert client.says_nothing()
        other.ask("/begin")
        assert client.answer().status == 100
        client.send("hello")
        assert client.answer().body == told(b"hello")


def test_a_refusal_instead_of_going_on():
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/early?0", "Content-Length: 5\r\nExpect: 100-continue\r\n")
        answer = client.answer()
        assert answer.status == 507 and answer.get("connection") == "close"
        assert client.is_closed()


def test_100_over_http2():
    with Server("--tcp") as server:
        client = server.h2()
        stream = client.request("/late", b"", method="PUT", fields=[("expect", "100-continue")],
                                end=False)
        assert client.ask("/begin").status == 200
        client.wait(h2.events.InformationalResponseReceived, stream)
        client.upload(stream, b"hello")
        assert client.answer(stream).body == told(b"hello")


def test_what_came_before_the_handler_was_ready():
    with Server("--tcp") as server:
        client, other, third = server.connect(), server.connect(), server.h2()
        begin(client, "/late", "Content-Length: 5\r\n")
        client.send("hello")
        stream = third.request("/late", b"hello", method="PUT")
        until(server, exchanges=3)
        other.ask("/begin")
        assert client.answer().body == told(b"hello")
        assert third.answer(stream).body == told(b"hello")


# --- backpressure -----------------------------------------------------------------------------------

def test_a_body_nobody_takes_is_not_read():
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/tap", f"Content-Length: {1 << 40}\r\n")
        before = server.status("VmRSS")
        sent = fill(client)
        assert sent < 32 * MIB, "more than sockets hold was read"
        stats = until(server, waiting=256 << 10)
        assert stats["gone"] == 0
        if not sanitized():
            assert server.status("VmRSS") - before < 2048
        # each pull lets as much through again
        server.connect().ask("/pull?10000000")
        assert fill(client) >= 1000000


def test_a_body_nobody_takes_is_not_late():
    """It is not the client's turn; but not for ever."""
    with Server("--tcp", body_ms=300, pieces_total_ms=3000) as server:
        client = server.connect()
        begin(client, "/tap", f"Content-Length: {2 * MIB}\r\n")
        client.send(b"x" * MIB)
        until(server, waiting=256 << 10)
        time.sleep(0.9)
        assert server.stats()["gone"] == 0
        assert client.answer().status == 408
        until(server, gone=1)


def test_bodies_nobody_takes_over_http2():
    with Server("--tcp", all_bodies_bytes=4 * MIB) as server:
        client = server.h2()
        streams = [client.request("/tap", b"", method="PUT", end=False) for _ in range(20)]
        for stream in streams:
            client.upload(stream, b"x" * (256 << 10), end=False)
        codes = set()
        while not codes:
            assert client.turn()
            codes = {dict(e.headers)[":status"] for e in client.find(h2.events.ResponseReceived)}
        assert codes == {"503"}
        assert server.stats()["gone"] > 0


# --- ends that are none -----------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["close", "half", "reset"])
def test_a_client_that_stops_in_the_middle(how):
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/sink", "Content-Length: 100000\r\n")
        client.send(b"x" * 50000)
        until(server, exchanges=2)
        if how == "half":
            client.half_close()
        elif how == "reset":
            client.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        if how != "half":
            client.close()
        until(server, gone=1, exchanges=1)


def test_a_client_that_stops_while_it_is_held_up():
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/tap", f"Content-Length: {1 << 40}\r\n")
        fill(client)
        client.close()
        # TCP shows its end behind what it had sent
        server.connect().ask(f"/pull?{1 << 40}")
        until(server, gone=1, exchanges=1)


def test_a_chunked_body_that_stops():
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/sink", "Transfer-Encoding: chunked\r\n")
        client.send(b"5\r\nhello\r\n")
        until(server, exchanges=2)
        client.close()
        until(server, gone=1, exchanges=1)


@pytest.mark.parametrize("how", ["reset", "short", "long", "goaway"])
def test_a_stream_that_stops(how):
    with Server("--tcp") as server:
        client = server.h2()
        stream = client.request("/sink", b"", method="PUT", fields=[("content-length", "10")], end=False)
        client.raw(0, 0, stream, b"hello")
        until(server, exchanges=2)
        if how == "reset":
            client.raw(3, 0, stream, b"\0\0\0\10")
        elif how == "short":
            client.raw(0, 1, stream, b"")
        elif how == "long":
            client.raw(0, 1, stream, b"hello!!")
        else:
            client.client.close()
        until(server, gone=1, exchanges=1)


@pytest.mark.parametrize("bad", [b"zz\r\n", b"5\r\nhelloX", b"\r\n", b"ffffffffffffffffff\r\n"])
def test_a_broken_chunk(bad):
    """The handler is told, the client too, and nothing of it is taken for another request."""
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/sink", "Transfer-Encoding: chunked\r\n")
        client.send(b"5\r\nhello\r\n" + bad + b"GET /info HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = client.answer()
        assert answer.status == 400 and answer.refusal()
        assert client.is_closed()
        until(server, gone=1, exchanges=1)


@pytest.mark.parametrize("limit,pause", [("body_ms", 0), ("pieces_total_ms", 0.05)])
def test_a_body_that_does_not_come(limit, pause):
    with Server("--tcp", **{limit: 400}) as server:
        client, other = server.connect(), server.h2()
        begin(client, "/sink", "Content-Length: 100000\r\n")
        stream = other.request("/sink", b"x", method="PUT", end=False)
        end = time.monotonic() + 20
        try:
            while pause and time.monotonic() < end:
                client.send("x")
                time.sleep(pause)
        except OSError:
            pass
        assert client.answer().status == 408
        assert other.answer(stream).status == 408
        until(server, gone=2)


def test_both_lengths():
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/sink", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
        assert client.answer().status == 400
        assert server.stats()["gone"] == 0


# --- answers before the end -------------------------------------------------------------------------

def test_an_early_answer_is_read_by_a_client_that_is_still_sending():
    with Server("--tcp") as server:
        client = server.connect()
        begin(client, "/early?100000", f"Content-Length: {40 * MIB}\r\n")
        sender = threading.Thread(target=client.send, args=(b"x" * (40 * MIB),))
        sender.start()
        sender.join()
        answer = client.answer()
        assert answer.status == 507 and answer.get("connection") == "close"
        assert answer.body.startswith(b"100000 ")
        assert client.is_closed()


def test_an_early_answer_over_http2():
    with Server("--tcp") as server:
        client = server.h2()
        stream = client.request("/early?100000", b"x" * (8 * MIB), method="PUT")
        assert client.answer(stream).status == 507
        assert client.ask("/info").status == 200


def test_an_early_answer_to_a_stream_that_goes_on_for_ever():
    with Server("--tcp") as server:
        client = server.h2()
        stream = client.request("/early?10", b"x" * 20, method="PUT", end=False)
        client.wait(h2.events.StreamReset, stream)
        assert client.ask("/info").status == 200


# --- answers in pieces ------------------------------------------------------------------------------

@pytest.mark.parametrize("n", [0, 1, 65536, 65537, 5000000])
def test_a_long_answer(n):
    with Server("--tcp") as server:
        for client in (server.connect(), server.h2()):
            answer = client.ask(f"/file?{n}")
            assert answer.get("content-length") == str(n) and len(answer.body) == n
            assert answer.get("transfer-encoding") is None
            answer = client.ask(f"/file?{n}", method="HEAD")
            assert answer.get("content-length") == str(n) and answer.body == b""
            assert client.ask("/info").status == 200


def test_to_http_1_0():
    with Server("--tcp") as server:
        client = server.connect()
        client.send("GET /file?100000 HTTP/1.0\r\nHost: test\r\n\r\n")
        assert len(client.answer().body) == 100000
        assert client.is_closed()


def test_a_client_that_reads_nothing_has_little_queued():
    with Server("--tcp") as server:
        before = server.status("VmRSS")
        stuck = [server.connect() for _ in range(8)]
        for client in stuck:
            client.send("GET /file?1000000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        other = server.h2()
        for _ in range(8):
            other.conn.send_headers(other.conn.get_next_available_stream_id(), [
                (":method", "GET"), (":scheme", "http"), (":authority", "test"),
                (":path", "/file?1000000000")], end_stream=True)
        other.flush()
        until(server, exchanges=17)
        if not sanitized():
            assert server.status("VmRSS") - before < 16 * 200
        # and goes on when they read
        for client in stuck:
            client.until(b"\r\n\r\n")
            for _ in range(30):
                client.exactly(MIB)


def test_one_that_is_broken_off_is_seen_to_be():
    with Server("--tcp") as server:
        client = server.connect()
        client.send("GET /short?1000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        with pytest.raises((EOFError, ConnectionResetError)):
            client.answer()
        client = server.h2()
        stream = client.request("/short?1000000")
        client.wait(h2.events.StreamReset, stream)
        assert not client.find(h2.events.StreamEnded, stream)
        assert client.ask("/info").status == 200


def test_a_client_that_leaves_in_the_middle():
    with Server("--tcp") as server:
        client = server.connect()
        client.send("GET /file?1000000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        client.exactly(MIB)
        client.close()
        other = server.h2()
        stream = other.request("/file?1000000000")
        other.wait(h2.events.DataReceived, stream)
        other.raw(3, 0, stream, b"\0\0\0\10")
        until(server, gone=2, exchanges=1)


def test_one_that_takes_a_byte_now_and_then_is_closed():
    with Server("--tcp", write_ms=400, write_bytes_s=1 << 30) as server:
        client = server.connect()
        client.send("GET /file?1000000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        until(server, gone=1)


def test_draining_lets_them_end():
    with Server("--tcp") as server:
        client, other = server.connect(), server.connect()
        begin(client, "/sink", "Content-Length: 10\r\n")
        client.send("hello")
        other.send("GET /file?5000000 HTTP/1.1\r\nHost: test\r\n\r\n")
        until(server, exchanges=3)
        server.proc.terminate()
        assert server.until_refused()
        client.send("hello")
        answer = client.answer()
        assert answer.body == told(b"hellohello") and answer.get("connection") == "close"
        assert len(other.answer().body) == 5000000
