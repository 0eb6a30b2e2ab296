"""HTTP/2: the same requests, answers and limits, and what its own frames can be abused for."""
import json
import os
import socket
import time

import h2.errors
import h2.events
import h2.settings
import pytest

from httpd import PATIENCE, Server, sanitized

CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
REFUSED = h2.errors.ErrorCodes.REFUSED_STREAM
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


@pytest.fixture(scope="module", name="server")
def shared_server():
    with Server("--tcp") as made:
        yield made


def literal(name, value):
    """Not indexed, not Huffman coded."""
    return b"\0" + length(name) + name + length(value) + value


def length(text):
    """An integer with a prefix of 7 bits (RFC 7541, 5.1)."""
    n = len(text)
    if n < 127:
        return bytes([n])
    n -= 127
    out = b"\x7f"
    while n >= 128:
        out += bytes([n % 128 + 128])
        n //= 128
    return out + bytes([n])


def block(path=b"/info", *more, method=b"GET"):
    return b"".join(literal(n, v) for n, v in [(b":method", method), (b":scheme", b"http"),
                                              (b":path", path), (b":authority", b"test"), *more])


def reset_code(conn, stream):
    return conn.wait(h2.events.StreamReset, stream).error_code


# --- requests and answers -----------------------------------------------------------------------

def test_a_request_is_seen_as_it_was_sent(server):
    fields = [("x-test", "v w"), ("mcp-session-id", "abc"), ("x-test", "u")]
    said = json.loads(server.h2().ask("/info?a=%20b", b"12345", fields=fields).body)
    assert said == {"method": "POST", "path": "/info", "query": "a=%20b", "authority": "test",
                    "peer": "127.0.0.1", "tls": 0, "unix": 0, "cert": 0, "body": 5, "n": 2, "value": "v w"}


def test_many_streams_at_once_do_not_mix(server):
    conn = server.h2()
    streams = {conn.request("/echo", str(n).encode() * 100): n for n in range(90)}
    for stream, n in reversed(streams.items()):
        assert conn.answer(stream).body == str(n).encode() * 100


def test_thousands_of_requests_on_one_connection(server):
    conn = server.h2()
    for n in range(3000):
        assert conn.ask("/echo", b"x").status == 200, n
        conn.events.clear()


def test_large_bodies_both_ways(server):
    data = os.urandom(5000000)
    conn = server.h2()
    assert conn.ask("/echo", data).body == data
    assert len(conn.ask("/big?20000000").body) == 20000000


def test_head_204_and_streams(server):
    conn = server.h2()
    answer = conn.ask("/big?1000", method="HEAD")
    assert (answer.get("content-length"), answer.body) == ("1000", b"")
    assert conn.ask("/empty").status == 204
    answer = conn.ask("/count?3")
    assert answer.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert (answer.get("x-split"), answer.get("transfer-encoding")) == ("a  b: c", None)


def test_answers_come_in_any_order(server):
    conn = server.h2()
    held = conn.request("/hold")
    assert conn.ask("/info").status == 200
    conn.request("/release")
    assert conn.answer(held).body == b"released"


def test_events_of_two_streams(server):
    conn = server.h2()
    streams = [conn.request("/sse"), conn.request("/sse")]
    for stream in streams:
        assert conn.wait(h2.events.DataReceived, stream).data == b"data: open\n\n"
    conn.ask("/emit")
    for stream in streams:
        while len(conn.find(h2.events.DataReceived, stream)) < 2:
            conn.turn()
        assert conn.find(h2.events.DataReceived, stream)[1].data == b"data: event\n\n"


def test_trailers_are_taken_and_dropped(server):
    conn = server.h2()
    stream = conn.request("/echo", b"abc", end=False)
    conn.conn.send_headers(stream, [("x-trailer", "v")], end_stream=True)
    conn.flush()
    assert conn.answer(stream).body == b"abc"


def test_expect_is_told_to_continue(server):
    conn = server.h2()
    stream = conn.request("/echo", method="POST", fields=[("expect", "100-continue")], end=False)
    assert dict(conn.wait(h2.events.InformationalResponseReceived, stream).headers)[":status"] == "100"
    conn.upload(stream, b"abc")
    assert conn.answer(stream).body == b"abc"


def test_frames_that_mean_nothing_are_ignored(server):
    conn = server.h2()
    conn.raw(0x77, 0xff, 0, b"unknown")
    conn.raw(PRIORITY, 0, 1, b"\0\0\0\0\x10")
    assert conn.ask("/info").status == 200


def test_a_stream_that_is_broken_off_is_reset(server):
    conn = server.h2()
    stream = conn.request("/abort")
    assert reset_code(conn, stream) == h2.errors.ErrorCodes.INTERNAL_ERROR
    assert conn.ask("/info").status == 200


@pytest.mark.parametrize("step", [1, 7, 23])
def test_the_preface_in_pieces(server, step):
    conn = server.h2(start=False)
    conn.conn.initiate_connection()
    data = conn.conn.data_to_send()
    for at in range(0, len(data), step):
        conn.client.send(data[at:at + step])
    assert conn.ask("/info").status == 200


# --- leaving ------------------------------------------------------------------------------------

def test_resetting_a_stream_is_leaving_it(server):
    conn = server.h2()
    stream = conn.request("/sse")
    conn.wait(h2.events.DataReceived, stream)
    before = server.stats()["gone"]
    conn.conn.reset_stream(stream, 8)
    conn.flush()
    server.until(lambda s: s["gone"] == before + 1)
    assert conn.ask("/info").status == 200


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_closing_the_connection_is_leaving_all_streams(server, how):
    conn = server.h2()
    for _ in range(5):
        conn.wait(h2.events.DataReceived, conn.request("/sse"))
    before = server.stats()["gone"]
    conn.client.sock.shutdown(how)
    server.until(lambda s: s["gone"] == before + 5)


def test_draining_says_goaway_and_finishes_what_was_begun():
    with Server("--tcp") as server:
        idle, busy, releaser = server.h2(), server.h2(), server.connect()
        idle.ask("/info")
        stream = busy.request("/hold")
        server.until(lambda s: s["held"] == 1)
        releaser.send("GET /release HTTP/1.1\r\nHo")
        server.stats()
        server.proc.terminate()
        assert idle.goodbye() == 0
        assert idle.until_closed().ended
        assert busy.goodbye() == 0
        releaser.send("st: test\r\n\r\n")
        assert busy.answer(stream).body == b"released"
        assert busy.until_closed().ended
        assert server.proc.wait(20) == 0


def test_who_comes_while_it_drains_is_served_once():
    """Its first bytes came before: what it had begun is answered, and then it is goodbye."""
    with Server("--tcp") as server:
        conn, hold = server.h2(start=False), server.connect()
        hold.send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n")
        conn.conn.initiate_connection()
        head = conn.conn.data_to_send()
        conn.client.send(head[:10])
        server.until(lambda s: s["held"] == 1)
        server.proc.terminate()
        assert server.until_refused()
        flush, conn.flush = conn.flush, lambda: None
        stream = conn.request("/release")
        conn.flush = flush
        conn.client.send(head[10:] + conn.conn.data_to_send())
        assert conn.answer(stream).body == b"done"
        assert conn.goodbye() == 0
        assert conn.until_closed().ended
        assert hold.answer().body == b"released"
        assert server.proc.wait(20) == 0


# --- refusals -----------------------------------------------------------------------------------

REFUSALS = {
    "a length over the limit": (413, {"body": b"x", "fields": [("content-length", "16777217")], "end": False}),
    "a compressed body": (415, {"body": b"x", "fields": [("content-encoding", "gzip")]}),
    "an expectation": (417, {"body": b"x", "fields": [("expect", "what")]}),
    "another host": (400, {"fields": [("host", "evil")]}),
    "a host twice": (400, {"fields": [("host", "test"), ("host", "test")]}),
    "a long header": (431, {"fields": [("x", "y" * 40000)]}),
    "101 fields": (431, {"fields": [("x", "y")] * 101}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused(server, name):
    status, request = REFUSALS[name]
    conn = server.h2()
    before = server.stats()["refused"]
    stream = conn.request("/echo", **request)
    if name == "a host twice" and not conn.find(h2.events.ResponseReceived, stream):
        while not conn.is_over(stream):
            conn.turn()
        if conn.find(h2.events.StreamReset, stream):
            return  # nghttp2 knows it for malformed itself
    answer = conn.answer(stream)
    assert answer.status == status
    answer.refusal()
    assert server.stats()["refused"] == before + 1
    assert conn.ask("/info").status == 200, "the others go on"


@pytest.mark.parametrize("path", ["x", "/a#b", "/%zz", "*"])
def test_a_bad_path_is_refused(server, path):
    conn = server.h2()
    stream = conn.request(path)
    while not conn.is_over(stream):
        conn.turn()
    assert conn.find(h2.events.StreamReset, stream) or conn.answer(stream).status == 400
    assert conn.ask("/info").status == 200


def test_a_long_path_is_refused(server):
    assert server.h2().ask("/" + "x" * 9000).status == 414


def test_a_body_over_the_limit_is_refused_and_the_answer_can_be_read():
    with Server("--tcp", body_bytes=100000) as server:
        conn = server.h2()
        answer = conn.ask("/echo", b"x" * 1000000)
        assert answer.status == 413
        assert conn.ask("/echo", b"x" * 100000).status == 200


def test_an_upload_without_end_after_the_refusal_is_reset():
    with Server("--tcp", body_bytes=1000) as server:
        conn = server.h2()
        stream = conn.request("/echo", b"x" * 2000, end=False)
        assert conn.wait(h2.events.ResponseReceived, stream)
        assert reset_code(conn, stream) == 0
        assert conn.ask("/info").status == 200


MALFORMED = {
    "upper case": [(b"X-Up", b"v")],
    "a control character": [(b"x", b"a\x01b")],
    "a line break": [(b"x", b"a\r\nb: c")],
    "NUL": [(b"x", b"a\0b")],
    "a field without a name": [(b"", b"v")],
    "a blank in a name": [(b"a b", b"v")],
    "connection": [(b"connection", b"close")],
    "transfer-encoding": [(b"transfer-encoding", b"chunked")],
    "a pseudo field nobody knows": [(b":x", b"v")],
    "te: gzip": [(b"te", b"gzip")],
    "two paths": [(b":path", b"/other")],
    "a length that is none": [(b"content-length", b"+3")],
    "two lengths": [(b"content-length", b"0"), (b"content-length", b"0")],
    "a blank before a value": [(b"x", b" v")],
    "a tab behind a value": [(b"x", b"v\t")],
    "a pseudo field behind the others": [(b"x", b"v"), (b":path", b"/")],
    "a status in a request": [(b":status", b"200")],
    "upgrade": [(b"upgrade", b"h2c")],
    "keep-alive": [(b"keep-alive", b"timeout=5")],
    "proxy-connection": [(b"proxy-connection", b"close")],
    "a protocol without CONNECT": [(b":protocol", b"websocket")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_field_is_fatal_for_its_stream(server, name):
    conn = server.h2()
    conn.turn()
    before = server.stats()["requests"]
    conn.raw(HEADERS, END_HEADERS | END_STREAM, 1, block(b"/info", *MALFORMED[name]))
    conn.conn.get_next_available_stream_id()
    answer = b""
    while len(answer) < 1000:
        frame = conn.client.exactly(9)
        payload = conn.client.exactly(int.from_bytes(frame[:3], "big"))
        assert frame[3] != HEADERS, "it was answered"
        if frame[3] == RST:
            assert int.from_bytes(payload, "big") != 0
            break
    assert server.stats()["requests"] == before + 1


BLOCKS = {
    "no path": [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"test")],
    "an empty path": [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"test"), (b":path", b"")],
    "no method": [(b":scheme", b"http"), (b":path", b"/info"), (b":authority", b"test")],
    "no scheme": [(b":method", b"GET"), (b":path", b"/info"), (b":authority", b"test")],
    "no authority": [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/info")],
    "an authority with a user": [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/info"),
                                 (b":authority", b"a@test")],
    "an absolute path": [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"http://evil/info"),
                         (b":authority", b"test")],
    "CONNECT": [(b":method", b"CONNECT"), (b":authority", b"test:443")],
    "CONNECT to a protocol": [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"),
                              (b":path", b"/info"), (b":authority", b"test")],
    "nothing": [],
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_request_that_lacks_what_it_must_have_is_not_handed_out(server, name):
    conn = server.h2()
    conn.turn()
    before = server.stats()["requests"]
    conn.raw(HEADERS, END_HEADERS | END_STREAM, 1, b"".join(literal(*f) for f in BLOCKS[name]))
    conn.raw(PING, 0, 0, b"12345678")
    pong = False
    while not pong:
        frame = conn.client.exactly(9)
        payload = conn.client.exactly(int.from_bytes(frame[:3], "big"))
        assert frame[3] != HEADERS or b"\x0340" in payload or 0x8c in payload, "it was answered"
        pong = frame[3] == PING and frame[4] == 1 or frame[3] == GOAWAY
    assert server.stats()["requests"] == before + 1


def test_a_length_that_is_not_the_body_s_is_fatal_for_its_stream(server):
    conn = server.h2()
    stream = conn.request("/echo", b"abc", fields=[("content-length", "4")])
    assert reset_code(conn, stream) == h2.errors.ErrorCodes.PROTOCOL_ERROR


def test_streams_over_the_limit_end_the_connection():
    with Server("--tcp", max_streams=5) as server:
        conn = server.h2()
        conn.turn()
        conn.conn.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        conn.conn.remote_settings.acknowledge()
        held = [conn.request("/hold") for _ in range(5)]
        server.until(lambda s: s["held"] == 5)
        conn.request("/hold")
        # it knows the limit, as it has acknowledged the settings: that is an error, not bad luck
        assert conn.goodbye() == h2.errors.ErrorCodes.PROTOCOL_ERROR
        assert conn.until_closed().ended
        server.until(lambda s: s["gone"] == len(held) and s["held"] == 0)


def test_streams_over_the_limit_before_it_is_known_are_refused():
    with Server("--tcp", max_streams=5) as server:
        conn = server.h2(start=False)
        conn.conn.initiate_connection()
        held = [conn.request("/hold") for _ in range(8)]
        refused = 0
        for stream in held[5:]:
            refused += reset_code(conn, stream) == REFUSED
        assert refused == 3
        assert server.until(lambda s: s["held"] == 5)


# --- abuse --------------------------------------------------------------------------------------

def flooded(conn, send):
    """Sends until the server has had enough; the error it leaves with. Frames are read by hand, as
    hyper-h2 does not know what was sent in raw ones."""
    try:
        for n in range(100000):
            send(n)
    except (BrokenPipeError, ConnectionResetError):
        pass
    code = None
    try:
        while True:
            head = conn.client.exactly(9)
            payload = conn.client.exactly(int.from_bytes(head[:3], "big"))
            if head[3] == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
    except (EOFError, ConnectionResetError):
        return code


def test_rapid_reset(server):
    conn = server.h2()
    before = server.stats()["requests"]

    def send(n):
        conn.raw(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block(b"/hold"))
        conn.raw(RST, 0, 2 * n + 1, b"\0\0\0\x08")

    assert flooded(conn, send) in (CALM, None)
    stats = server.until(lambda s: s["held"] == 0)
    assert stats["requests"] - before < 2000


def test_a_few_resets_are_no_flood(server):
    conn = server.h2()
    for _ in range(100):
        stream = conn.request("/hold")
        conn.conn.reset_stream(stream, 8)
        conn.flush()
    assert conn.ask("/info").status == 200


def reset_by_window(conn, stream):
    conn.raw(HEADERS, END_HEADERS | END_STREAM, stream, block(b"/hold"))
    conn.raw(WINDOW, 0, stream, b"\x7f\xff\xff\xff")


def reset_by_length(conn, stream):
    conn.raw(HEADERS, END_HEADERS, stream, block(b"/echo", (b"content-length", b"1"), method=b"POST"))
    conn.raw(DATA, 0, stream, b"xx")


def reset_by_trailers(conn, stream):
    conn.raw(HEADERS, END_HEADERS, stream, block(b"/echo", method=b"POST"))
    conn.raw(HEADERS, END_HEADERS, stream, literal(b"x", b"y"))


def reset_by_field(conn, stream):
    conn.raw(HEADERS, END_HEADERS | END_STREAM, stream, block(b"/hold", (b"X", b"y")))


def reset_by_bomb(conn, stream):
    conn.raw(HEADERS, END_HEADERS, stream, block(b"/echo", method=b"POST"))
    conn.raw(HEADERS, END_HEADERS | END_STREAM, stream, literal(b"x", b"y") * 3000)


@pytest.mark.parametrize("provoke", [reset_by_window, reset_by_length, reset_by_trailers, reset_by_field,
                                     reset_by_bomb])
@pytest.mark.parametrize("reads", [True, False])
def test_making_the_server_reset(server, provoke, reads):
    """Each stream ends in a reset of the server's; also when nobody takes these resets."""
    conn = server.h2()
    before = server.stats()["requests"]
    rss = server.status("VmRSS")
    if not reads:
        conn.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert flooded(conn, lambda n: provoke(conn, 2 * n + 1)) in (CALM, h2.errors.ErrorCodes.PROTOCOL_ERROR, None)
    stats = server.until(lambda s: s["held"] == 0)
    assert stats["requests"] - before < 2000
    assert sanitized() or server.status("VmRSS") - rss < 4096


@pytest.mark.parametrize("kind, payload", [(PING, b"12345678"), (SETTINGS, b""), (SETTINGS, b"\0\3\0\0\0\x64" * 30)])
def test_floods_of_control_frames(server, kind, payload):
    conn = server.h2()
    assert flooded(conn, lambda n: conn.raw(kind, 0, 0, payload)) in (CALM, None)


def test_frames_that_cost_nothing_are_just_read(server):
    conn = server.h2()
    for _ in range(20000):
        conn.raw(PRIORITY, 0, 1, b"\0\0\0\0\x10")
    assert conn.ask("/info").status == 200


def test_a_flood_of_empty_data(server):
    conn = server.h2()
    conn.raw(HEADERS, END_HEADERS, 1, block(b"/echo", method=b"POST"))
    assert flooded(conn, lambda n: conn.raw(DATA, 0, 1)) in (CALM, None)


@pytest.mark.parametrize("payload", [b"", literal(b"x", b"y" * 100)])
def test_continuation_without_end(server, payload):
    conn = server.h2()
    rss = server.status("VmRSS")
    conn.raw(HEADERS, END_STREAM, 1, block())
    flooded(conn, lambda n: conn.raw(CONTINUATION, 0, 1, payload))
    assert server.status("VmRSS") - rss < 2048
    assert server.connect().ask("/info").status == 200


def test_a_header_bomb(server):
    """4 KiB go into the dynamic table once, then each byte stands for all of them."""
    conn = server.h2()
    rss = server.status("VmRSS")
    conn.raw(HEADERS, END_HEADERS | END_STREAM, 1,
             block() + b"\x40" + length(b"x") + b"x" + length(b"y" * 3900) + b"y" * 3900)
    conn.raw(HEADERS, END_HEADERS | END_STREAM, 3, block() + b"\xbe" * 15000)
    server.stats()
    assert server.status("VmRSS") - rss < 4096
    assert server.connect().ask("/info").status == 200


def shut(server):
    """A client that takes no byte of any answer."""
    conn = server.h2(start=False)
    conn.conn.initiate_connection()
    conn.conn.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    conn.flush()
    return conn


def test_a_window_that_stays_shut_bounds_the_queue():
    with Server("--tcp", queue_bytes=1000000) as server:
        conn = shut(server)
        conn.request("/flood?5000000")
        server.until(lambda s: s["gone"] == 1 and s["streams"] == 0)


def test_a_window_that_stays_shut_ends_by_the_clock():
    with Server("--tcp", write_ms=300) as server:
        conn = shut(server)
        stream = conn.request("/sse")
        conn.wait(h2.events.ResponseReceived, stream)
        # answering pings is no sign that the answer is wanted
        while not conn.ended:
            conn.raw(PING, 0, 0, b"12345678")
            conn.turn()
        server.until(lambda s: s["gone"] == 1)


def test_a_window_that_opens_late():
    with Server("--tcp") as server:
        conn = shut(server)
        stream = conn.request("/count?3")
        conn.wait(h2.events.ResponseReceived, stream)
        assert not conn.find(h2.events.DataReceived, stream)
        for _ in range(27):
            conn.conn.increment_flow_control_window(1, stream)
            conn.flush()
        assert conn.answer(stream).body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_a_window_that_opens_byte_by_byte():
    """Each byte is taken well in time, but at this pace all of it would take a day."""
    with Server("--tcp", write_ms=1000) as server:
        conn = shut(server)
        stream = conn.request("/flood?100000")
        conn.wait(h2.events.ResponseReceived, stream)
        conn.conn.increment_flow_control_window(1, stream)
        conn.flush()
        end = time.monotonic() + PATIENCE
        while conn.turn():  # which opens it by what has come
            assert time.monotonic() < end
            time.sleep(0.05)
        server.until(lambda s: s["gone"] == 1)


def test_a_slow_reader_that_keeps_the_pace():
    """Longer than write_ms in all, but never without progress worth the time."""
    with Server("--tcp", write_ms=400) as server:
        conn = shut(server)
        stream = conn.request("/big?20000")
        conn.wait(h2.events.ResponseReceived, stream)
        for _ in range(20):
            conn.conn.increment_flow_control_window(1000, stream)
            conn.flush()
            time.sleep(0.05)
        assert len(conn.answer(stream).body) == 20000


def test_what_a_stream_owed_is_forgotten_with_it():
    """A reset stream takes its queue along; the others are not ended for what it did not take."""
    with Server("--tcp", write_ms=300, idle_ms=900) as server:
        conn = shut(server)
        held, stream = conn.request("/hold"), conn.request("/sse")
        conn.wait(h2.events.ResponseReceived, stream)
        conn.conn.reset_stream(stream, 8)
        conn.flush()
        clock = server.connect()
        clock.ask("/info")
        assert clock.is_closed()  # more than write_ms has passed
        conn.conn.increment_flow_control_window(100, held)
        conn.flush()
        server.connect().ask("/release")
        assert conn.answer(held).body == b"released"


def test_a_client_that_does_not_read():
    with Server("--tcp", write_ms=300) as server:
        conn = server.h2()
        conn.conn.increment_flow_control_window(50000000)
        stream = conn.request("/big?16000000")
        conn.conn.increment_flow_control_window(50000000, stream)
        conn.flush()
        server.until(lambda s: s["requests"] >= 1)
        server.until(lambda s: s["connections"] == 1)


def test_a_body_that_stalls_has_its_stream_refused():
    with Server("--tcp", body_ms=300) as server:
        conn = server.h2()
        stream = conn.request("/echo", b"abc", end=False)
        assert conn.answer(stream).status == 408
        assert conn.ask("/info").status == 200


def test_a_header_block_that_stalls_ends_the_connection():
    with Server("--tcp", header_ms=300) as server:
        conn = server.h2()
        assert conn.ask("/info").status == 200
        conn.raw(HEADERS, END_STREAM, 3, block())
        assert conn.goodbye() == CALM
        assert conn.until_closed().ended


@pytest.mark.parametrize("said", [b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_a_preface_that_stalls_ends_the_connection(said):
    with Server("--tcp", header_ms=300) as server:
        client = server.connect()
        client.send(said)
        while client.more():
            pass


def test_an_idle_connection_is_ended_pings_or_not():
    with Server("--tcp", idle_ms=500) as server:
        conn = server.h2()
        assert conn.ask("/info").status == 200
        while not conn.ended:
            conn.raw(PING, 0, 0, b"12345678")
            conn.turn()
            time.sleep(0.02)  # not so many that they are a flood
        assert conn.find(h2.events.ConnectionTerminated)[0].error_code == 0


def test_an_open_stream_keeps_the_connection():
    with Server("--tcp", idle_ms=200, header_ms=200, body_ms=200) as server:
        conn, idle = server.h2(), server.connect()
        stream = conn.request("/hold")
        server.until(lambda s: s["held"] == 1)
        assert idle.is_closed()  # the limits have passed
        server.connect().ask("/release")
        assert conn.answer(stream).body == b"released"


@pytest.mark.parametrize("frame", [
    (DATA, 0, 0, b"x"), (HEADERS, END_HEADERS, 0, b""), (HEADERS, END_HEADERS, 2, block()),
    (SETTINGS, 0, 1, b""), (SETTINGS, 0, 0, b"x"), (PING, 0, 0, b"short"), (WINDOW, 0, 0, b"\0\0\0\0"),
    (CONTINUATION, END_HEADERS, 1, b""), (RST, 0, 1, b"\0\0\0\0"), (HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
    (5, 4, 1, b"\0\0\0\2"), (HEADERS, END_HEADERS | 8, 1, b"\xff"), (DATA, 8, 1, b"\xff")])
def test_a_broken_frame_ends_the_connection_and_no_more(server, frame):
    conn = server.h2()
    conn.raw(*frame)
    conn.until_closed()
    assert conn.find(h2.events.ConnectionTerminated)[0].error_code != 0
    assert server.connect().ask("/info").status == 200


def test_nothing_is_left_open(server):
    for client in list(server.clients):
        client.close()
    server.until(lambda s: s["connections"] == 1 and s["exchanges"] == 1 and not s["streams"] and not s["held"])
