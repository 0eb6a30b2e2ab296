"""Clients that take their time: each limit ends them, and nobody else notices."""
import select
import socket
import time

import pytest

from httpd import Server

GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"


def trickle(client, data, again=b""):
    """Sends byte by byte, then `again` over and over, until the server has had enough."""
    client.sock.settimeout(0.02)
    try:
        for byte in data.encode():
            client.send(bytes([byte]))
            time.sleep(0.01)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if again:
                client.send(again)
            try:
                if not client.more():
                    break
            except TimeoutError:
                pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.sock.settimeout(20)


def test_a_head_that_trickles_in():
    with Server("--tcp", header_ms=300) as server:
        client = server.connect()
        trickle(client, "GET / HTTP/1.1\r\nHost: test\r\n", b"x")
        assert client.answer().status == 408
        assert client.is_closed()


def test_a_connection_that_says_nothing():
    with Server("--tcp", header_ms=300) as server:
        client = server.connect()
        assert client.is_closed()


def test_a_second_head_that_trickles_in():
    with Server("--tcp", header_ms=300, idle_ms=60000) as server:
        client = server.connect()
        client.ask("/info")
        trickle(client, "GET", b"x")
        assert client.answer().status == 408


def test_a_body_that_stalls():
    with Server("--tcp", body_ms=300) as server:
        client = server.connect()
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
        assert client.answer().status == 408
        assert client.is_closed()


def test_a_body_that_trickles_in_for_ever():
    with Server("--tcp", body_ms=5000, body_total_ms=500) as server:
        client = server.connect()
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n")
        trickle(client, "", b"x")
        assert client.answer().status == 408


def test_chunks_that_trickle_in_for_ever():
    with Server("--tcp", body_ms=5000, body_total_ms=500) as server:
        client = server.connect()
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        trickle(client, "", b"1\r\nx\r\n")
        assert client.answer().status == 408


def test_a_body_that_is_slow_but_comes():
    with Server("--tcp", body_ms=2000, body_total_ms=60000) as server:
        client = server.connect()
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 30\r\n\r\n")
        for _ in range(30):
            client.send("x")
            time.sleep(0.02)
        assert client.answer().body == b"x" * 30


def test_an_idle_connection():
    with Server("--tcp", idle_ms=300) as server:
        client = server.connect()
        client.ask("/info")
        assert client.is_closed()


def test_a_handler_may_take_longer_than_any_limit():
    with Server("--tcp", idle_ms=200, header_ms=200, body_ms=200, write_ms=200) as server:
        client, other = server.connect(), server.connect()
        client.send(GET.format("/hold"))
        server.until(lambda s: s["held"] == 1)
        assert other.is_closed()  # the limits have passed
        server.connect().ask("/release")
        assert client.answer().body == b"released"


def test_a_client_that_does_not_read():
    with Server("--tcp", write_ms=300) as server:
        client = server.connect()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(GET.format("/big?16000000"))
        server.until(lambda s: s["requests"] >= 1)
        server.until(lambda s: s["connections"] == 1)


def test_a_stream_whose_client_does_not_read():
    with Server("--tcp", write_ms=300) as server:
        client = server.connect()
        client.send(GET.format("/flood?7000000"))
        server.until(lambda s: s["gone"] == 1 and s["streams"] == 0)


def test_a_stream_over_its_ceiling():
    with Server("--tcp", queue_bytes=1000000) as server:
        client = server.connect()
        client.send(GET.format("/flood?7000000"))
        server.until(lambda s: s["gone"] == 1 and s["streams"] == 0)


def test_an_answer_over_the_ceiling_reaches_who_reads_it():
    with Server("--tcp", queue_bytes=1000) as server:
        client = server.connect()
        assert len(client.ask("/big?9000000").body) == 9000000
        assert len(client.ask("/big?9000000").body) == 9000000


def test_slow_clients_do_not_slow_others():
    with Server("--tcp", header_ms=60000) as server:
        for n in range(500):
            client = server.connect()
            client.send("GET / HTTP/1.1\r\nHost: te"[:n % 20 + 1])
        fast = server.connect()
        for _ in range(100):
            assert fast.ask("/info").status == 200
        assert server.stats()["connections"] == 502


def test_all_bodies_together_have_a_ceiling():
    """Half of it for one address: see test_fair.py."""
    with Server("--tcp", all_bodies_bytes=6000000) as server:
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1400000\r\n\r\n")
            client.send("x" * 1300000)
        told = select.select([c.sock for c in clients], [], [], 20)[0]
        assert len(told) == 1, "which of them comes last is open"
        refused = next(c for c in clients if c.sock in told)
        answer = refused.answer()
        assert (answer.status, answer.refusal()["code"]) == (503, "busy")
        for client in clients:
            if client is not refused:
                client.send("x" * 100000)
                assert len(client.answer().body) == 1400000
        assert server.connect().ask("/echo", b"x" * 2900000).status == 200


@pytest.mark.parametrize("limit", ["header_ms", "body_ms", "body_total_ms", "idle_ms", "write_ms"])
def test_any_limit_may_be_tiny(limit):
    with Server("--tcp", **{limit: 1}) as server:
        client = server.connect()
        client.close()
        assert server.proc.poll() is None
