"""HTTP/1.1 as clients use it: keep-alive, pipelining, chunks, Expect, streams, the peer's end."""
import json
import os
import socket
import subprocess

import pytest

from httpd import Server

GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module", name="server")
def shared_server():
    with Server("--tcp") as made:
        yield made


def test_a_request_is_seen_as_it_was_sent(server):
    said = json.loads(server.connect().ask("/info?a=%20b&c", b"12345", fields="X-Test: v w \r\nx-test: u\r\n").body)
    assert said == {"method": "POST", "path": "/info", "query": "a=%20b&c", "authority": "test",
                    "peer": "127.0.0.1", "tls": 0, "unix": 0, "cert": 0, "body": 5, "n": 2, "value": "v w"}


def test_a_connection_serves_many_requests(server):
    client = server.connect()
    for n in range(50):
        assert client.ask("/echo", str(n).encode()).body == str(n).encode()


def test_an_answer_has_a_date_and_a_length(server):
    answer = server.connect().ask("/echo", b"abc")
    assert answer.get("content-length") == "3"
    assert answer.get("date").endswith(" GMT")
    assert answer.get("connection") is None


def test_connection_close_is_honoured(server):
    client = server.connect()
    answer = client.ask("/echo", b"abc", fields="Connection: close\r\n")
    assert (answer.body, answer.get("connection")) == (b"abc", "close")
    assert client.is_closed()


def test_http_1_0_is_answered_and_closed(server):
    client = server.connect()
    client.send("GET /info HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.get("connection")) == (200, "close")
    assert client.is_closed()


def test_a_stream_to_http_1_0_ends_with_the_connection(server):
    client = server.connect()
    client.send("GET /count?3 HTTP/1.0\r\nHost: test\r\n\r\n")
    answer = client.answer()
    assert answer.get("transfer-encoding") is None
    assert client.exactly(27) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert client.is_closed()


def test_head_has_the_length_and_no_body(server):
    client = server.connect()
    answer = client.ask("/big?1000", method="HEAD")
    assert answer.get("content-length") == "1000"
    assert client.ask("/count?2", method="HEAD").get("transfer-encoding") == "chunked"
    assert client.ask("/echo", b"x").body == b"x"


def test_204_has_neither_length_nor_body(server):
    client = server.connect()
    answer = client.ask("/empty")
    assert (answer.status, answer.get("content-length"), answer.get("transfer-encoding")) == (204, None, None)
    assert client.ask("/echo", b"x").body == b"x"


def test_options_star_is_taken(server):
    answer = server.connect().ask("*", method="OPTIONS")
    assert json.loads(answer.body)["path"] == "*"


def test_an_absolute_target_that_agrees_with_host_is_taken(server):
    answer = server.connect().ask("http://TEST/info?q")
    assert json.loads(answer.body)["path"] == "/info"


def test_upgrade_is_ignored(server):
    client = server.connect()
    answer = client.ask("/info", fields="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
    assert (answer.status, answer.version) == (200, "HTTP/1.1")
    assert client.ask("/info").status == 200


def test_no_value_of_a_response_ends_its_line(server):
    answer = server.connect().ask("/count?0")
    assert answer.get("x-split") == "a  b: c"
    echoed = server.connect().ask("/echo", b"", fields="X-Echo: a\tb\r\n")
    assert echoed.get("x-echoed") == "a\tb"


# --- what libwebsockets 4.3.5 gets wrong --------------------------------------------------------

def test_ten_pipelined_posts_have_ten_answers(server):
    client = server.connect()
    for n in range(10):
        client.send(f"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{n:02}")
    assert [client.answer().body for _ in range(10)] == [f"{n:02}".encode() for n in range(10)]


def test_ten_thousand_pipelined_requests_in_one_write(server):
    client = server.connect()
    pid = os.fork()
    if pid == 0:
        client.send(GET.format("/empty") * 10000)
        os._exit(0)
    for _ in range(10000):
        assert client.answer().status == 204
    assert os.waitpid(pid, 0)[1] == 0


def test_pipelined_requests_behind_one_that_waits(server):
    client = server.connect()
    client.send(GET.format("/hold") + GET.format("/info?second"))
    server.until(lambda s: s["held"] == 1)
    assert client.says_nothing()
    server.connect().ask("/release")
    assert client.answer().body == b"released"
    assert json.loads(client.answer().body)["query"] == "second"


def test_extra_bytes_during_a_pending_answer_are_the_next_request(server):
    client = server.connect()
    client.send(GET.format("/hold"))
    server.until(lambda s: s["held"] == 1)
    for byte in "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nok":
        client.send(byte)
    before = server.cpu_ticks()
    server.until(lambda s: s["held"] == 1)
    server.connect().ask("/release")
    assert client.answer().body == b"released"
    assert client.answer().body == b"ok"
    assert server.cpu_ticks() - before < 50


def test_junk_during_a_pending_answer_is_refused_after_it(server):
    client = server.connect()
    client.send(GET.format("/hold") + "\x00\x01\x02")
    server.until(lambda s: s["held"] == 1)
    server.connect().ask("/release")
    assert client.answer().body == b"released"
    assert client.answer().status == 400
    assert client.is_closed()


def test_a_flood_behind_a_stream_is_bounded_and_its_end_is_seen(server):
    """On TCP the end waits behind the bytes that are not read: it shows when an event is written."""
    client = server.connect()
    client.send(GET.format("/sse"))
    client.until(b"data: open\n\n")
    before = server.until(lambda s: s["streams"] == 1)["gone"]
    rss = server.status("VmRSS")
    client.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            client.send(b"x" * 65536)
    assert server.status("VmRSS") - rss < 4096
    client.close()

    def is_gone(stats):
        server.connect().ask("/emit")
        return stats["gone"] == before + 1 and stats["streams"] == 0

    server.until(is_gone)


def test_half_closing_a_stream_is_leaving_it(server):
    client = server.connect()
    client.send(GET.format("/sse"))
    client.until(b"data: open\n\n")
    before = server.until(lambda s: s["streams"] == 1)["gone"]
    client.half_close()
    server.until(lambda s: s["gone"] == before + 1 and s["streams"] == 0)
    ticks = server.cpu_ticks()
    for _ in range(20):
        server.stats()
    assert server.cpu_ticks() - ticks < 50, "it spins"


def test_closing_a_stream_is_leaving_it(server):
    client = server.connect()
    client.send(GET.format("/sse"))
    client.until(b"data: open\n\n")
    before = server.until(lambda s: s["streams"] == 1)["gone"]
    client.close()
    server.until(lambda s: s["gone"] == before + 1 and s["streams"] == 0)


def test_a_client_that_sends_and_half_closes_has_its_answers(server):
    client = server.connect()
    client.send(GET.format("/info") + GET.format("/info"))
    client.half_close()
    assert [client.answer().status for _ in range(2)] == [200, 200]
    assert client.is_closed()


def test_a_stream_goes_out_event_by_event(server):
    client = server.connect()
    client.send(GET.format("/sse"))
    assert client.until(b"\r\n\r\n")
    assert client.chunk() == b"data: open\n\n"
    for _ in range(3):
        server.connect().ask("/emit")
        assert client.chunk() == b"data: event\n\n"


def test_a_stream_that_ends_leaves_the_connection_usable(server):
    client = server.connect()
    assert client.ask("/count?3").body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert client.ask("/echo", b"x").body == b"x"


def test_a_stream_that_is_broken_off_has_no_end(server):
    client = server.connect()
    client.send(GET.format("/abort"))
    client.until(b"\r\n\r\n")
    assert client.chunk() == b"data: half\n\n"
    assert client.is_closed()


# --- bodies -------------------------------------------------------------------------------------

CHUNKED = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n{}\r\n"


def test_a_chunked_body_is_whole(server):
    client = server.connect()
    client.send(CHUNKED.format("") + "4\r\nwiki\r\n5;a=b\r\npedia\r\n0\r\nTrailer: x\r\n\r\n")
    assert client.answer().body == b"wikipedia"
    assert client.ask("/echo", b"next").body == b"next"


def test_a_chunked_body_may_come_byte_by_byte(server):
    client = server.connect()
    for byte in CHUNKED.format("") + "4\r\nwiki\r\n0\r\n\r\n":
        client.send(byte)
    assert client.answer().body == b"wiki"


def test_a_large_chunked_body(server):
    client = server.connect()
    client.send(CHUNKED.format(""))
    data = os.urandom(1 << 20)
    for at in range(0, len(data), 7777):
        piece = data[at:at + 7777]
        client.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    client.send("0\r\n\r\n")
    assert client.answer().body == data


def test_a_large_counted_body(server):
    data = os.urandom(15 << 20)
    assert server.connect().ask("/echo", data).body == data


def test_expect_is_told_to_continue(server):
    client = server.connect()
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send("abc")
    assert client.answer().body == b"abc"


def test_expect_with_chunks_is_told_to_continue(server):
    client = server.connect()
    client.send(CHUNKED.format("Expect: 100-continue\r\n"))
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send("1\r\na\r\n0\r\n\r\n")
    assert client.answer().body == b"a"


def test_expect_with_the_body_already_there_needs_no_100(server):
    client = server.connect()
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
    assert client.answer().status == 200


def test_expect_without_a_body_is_just_answered(server):
    assert server.connect().ask("/info", fields="Expect: 100-continue\r\n").status == 200


def test_expect_for_too_large_a_body_is_refused_at_once(server):
    client = server.connect()
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.refusal()["code"]) == (413, "limit")
    assert client.is_closed()


def test_curl_does_not_wait_for_100(server, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 2000000)
    done = subprocess.run(["curl", "-sS", "-v", "--http1.1", "-H", "Expect: 100-continue", "--data-binary",
                           f"@{tmp_path}/body", "--expect100-timeout", "60", "-m", "30", "-o",
                           str(tmp_path / "got"), f"http://127.0.0.1:{server.port}/echo"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "HTTP/1.1 100 Continue" in done.stderr
    assert (tmp_path / "got").read_bytes() == (tmp_path / "body").read_bytes()


def test_a_client_that_sends_too_much_can_read_why(server):
    """It is still sending when it is refused; a reset would take the answer from it."""
    client = server.connect()
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(200):
        client.send(b"x" * 100000)
    assert client.answer().status == 413


def test_a_client_that_never_stops_sending_is_cut_off(server):
    client = server.connect()
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999\r\n\r\n")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100000):
            client.send(b"x" * 100000)


# --- the rest -----------------------------------------------------------------------------------

def test_a_large_answer_to_a_slow_reader(server):
    client = server.connect()
    client.send(GET.format("/big?20000000"))
    assert client.answer().body == b"x" * 20000000


def test_pipelined_large_answers_to_a_client_that_reads_late(server):
    client = server.connect()
    client.send(GET.format("/big?5000000") * 8)
    server.until(lambda s: True)
    assert [len(client.answer().body) for _ in range(8)] == [5000000] * 8


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with Server("--unix", path) as server:
        client = server.connect(socket.AF_UNIX, path)
        said = json.loads(client.ask("/info").body)
        assert (said["peer"], said["unix"]) == ("unix", 1)
        # what is all it wants to say, and leaves
        server.port = None
        client.send(GET.format("/info"))
        client.half_close()
        assert client.answer().status == 200
        assert client.is_closed()


def test_tls_to_a_port_in_the_clear_is_refused(server):
    client = server.connect()
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert client.answer().status == 400
    assert client.is_closed()


def test_draining_lets_answers_in_progress_finish():
    with Server("--tcp") as server:
        idle, busy = server.connect(), server.connect()
        idle.ask("/info")
        busy.send(GET.format("/hold"))
        releaser = server.connect()
        server.until(lambda s: s["held"] == 1)
        # a request whose beginning has been sent is one in progress
        releaser.send("GET /release HTTP/1.1\r\nHo")
        server.stats()
        server.proc.terminate()
        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert server.proc.poll() is None
        releaser.send("st: test\r\n\r\n")
        answer = busy.answer()
        assert (answer.body, answer.get("connection")) == (b"released", "close")
        assert releaser.answer().body == b"done"
        assert busy.is_closed() and releaser.is_closed()
        assert server.proc.wait(20) == 0


def test_draining_ends_after_its_time():
    with Server("--tcp") as server:
        client = server.connect()
        client.send(GET.format("/sse"))
        client.until(b"data: open\n\n")
        server.proc.terminate()
        assert server.proc.wait(20) == 0


def test_nothing_is_left_open(server):
    for client in list(server.clients):
        client.close()
    server.until(lambda s: s["connections"] == 1 and s["exchanges"] == 1)
