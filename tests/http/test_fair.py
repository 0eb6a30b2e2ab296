"""One client alone cannot lock out the others: connections, bodies and answers that nobody reads are
counted by address, and a reader has a pace to keep."""
import select
import socket
import time

import pytest

from httpd import PATIENCE, Client, Server

GREEDY, MODEST = "127.0.0.2", "127.0.0.3"
GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"
POST = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n"


def connect(server, address, rcvbuf=None):
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", server.port))
    client = Client(sock)
    server.clients.append(client)
    return client


def until_read(server, client):
    """Until the server has taken all that the client has sent (proc(5), /proc/net/tcp: queues)."""
    here, there = (f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"
                   for address, port in (("127.0.0.1", server.port), client.sock.getsockname()))
    end = time.monotonic() + PATIENCE
    while True:
        with open("/proc/net/tcp") as table:
            rows = [line.split() for line in table]
        # a row may come twice while others come and go
        queues = [row[4].split(":")[0] for row in rows if row[1:3] == [there, here]]
        queues += [row[4].split(":")[1] for row in rows if row[1:3] == [here, there]]
        if len(queues) >= 2 and not any(int(n, 16) for n in queues):
            return
        assert time.monotonic() < end
        time.sleep(0.001)


# --- connections --------------------------------------------------------------------------------

def besieged(server, text, n):
    """Connections with a request each that does not end."""
    clients = [connect(server, GREEDY) for _ in range(n)]
    for client in clients:
        client.send(text)
    for _ in range(2):
        assert server.stats()["connections"] == n + 1
    return clients


@pytest.mark.parametrize("text", ["GET / HT", POST.format(10) + "abc", POST.format(10)])
def test_unfinished_requests_make_room_for_other_addresses(text):
    with Server("--tcp", max_connections=20, header_ms=60000, body_ms=60000) as server:
        siege = besieged(server, text, 19)
        modest = [connect(server, MODEST) for _ in range(5)]
        for n, client in enumerate(modest):
            client.send(GET.format("/hold"))
            server.until(lambda s, held=n + 1: s["held"] == held)
        assert siege[0].is_closed(), "the oldest goes"
        assert siege[-1].says_nothing()
        server.connect().ask("/release")
        assert [client.answer().body for client in modest] == [b"released"] * 5


def test_the_address_that_has_most_is_turned_away():
    with Server("--tcp", max_connections=20, header_ms=60000) as server:
        modest = connect(server, MODEST)
        modest.send("GET / HT")
        assert server.stats()["connections"] == 2
        greedy = [connect(server, GREEDY) for _ in range(19)]
        for client in greedy:
            client.send(GET.format("/sse"))
            client.until(b"data: open\n\n")
        late = connect(server, GREEDY)
        assert late.answer().status == 503
        assert late.is_closed()
        modest.send("TP/1.1\r\nHost: test\r\n\r\n")
        assert modest.answer().status == 404


def test_who_is_being_served_is_not_put_out():
    with Server("--tcp", max_connections=20) as server:
        served = [connect(server, GREEDY) for _ in range(20)]
        for client in served:
            client.send(GET.format("/sse"))
            client.until(b"data: open\n\n\r\n")
        modest = connect(server, MODEST)
        assert modest.answer().status == 503
        assert all(client.says_nothing() for client in served)


# --- bodies -------------------------------------------------------------------------------------

def test_bodies_of_one_address_leave_as_much_for_others():
    with Server("--tcp", all_bodies_bytes=3000000) as server:
        greedy = [connect(server, GREEDY) for _ in range(2)]
        for client in greedy:
            client.send(POST.format(1400000) + "x" * 1300000)
        told = select.select([c.sock for c in greedy], [], [], PATIENCE)[0]
        assert len(told) == 1, "which of them comes last is open"
        first, second = sorted(greedy, key=lambda c: c.sock in told)
        assert second.answer().status == 503
        until_read(server, first)
        modest = connect(server, MODEST)
        modest.send(POST.format(500000) + "y" * 500000)
        assert len(modest.answer().body) == 500000
        first.send("x" * 100000)
        assert len(first.answer().body) == 1400000
        assert connect(server, GREEDY).ask("/echo", b"x" * 1400000).status == 200, "and all of it comes back"


# --- answers ------------------------------------------------------------------------------------

def test_answers_nobody_reads_have_a_ceiling_together():
    """Each far below its own ceiling; the address that holds most is cut first."""
    with Server("--tcp", all_queues_bytes=20000000) as server:
        greedy = [connect(server, GREEDY, 4096) for _ in range(10)]
        for client in greedy:
            client.send(GET.format("/flood?5000000"))
        server.until(lambda s: s["gone"] >= 7)
        assert server.stats()["streams"] in (1, 2, 3)
        assert server.status("VmRSS") < 60000
        modest = connect(server, MODEST, 4096)
        modest.send(GET.format("/flood?2000000"))
        modest.until(b"\r\n\r\n")
        assert sum(len(modest.chunk()) for _ in range(32)) > 2000000
        for client in greedy:
            client.close()
        server.until(lambda s: s["streams"] == 1)
        assert len(connect(server, GREEDY).ask("/big?9000000").body) == 9000000


def test_a_reader_that_takes_a_little_in_time_is_not_waited_for():
    """Something is taken within any write_ms, but at this pace the answer would take hours."""
    with Server("--tcp", write_ms=2000, write_bytes_s=1000000) as server:
        client = connect(server, GREEDY, 2048)
        client.send(GET.format("/flood?7000000"))
        end = time.monotonic() + PATIENCE
        try:
            while client.sock.recv(2048):
                assert time.monotonic() < end
                time.sleep(0.02)
        except ConnectionResetError:
            pass
        server.until(lambda s: s["gone"] == 1)


def test_a_large_answer_may_take_longer_than_an_idle_connection():
    """Its end is no idle time, nor is the next request late before it has begun."""
    with Server("--tcp", idle_ms=200, header_ms=200) as server:
        client = connect(server, MODEST, 65536)
        client.send(GET.format("/big?8000000"))
        time.sleep(1)
        for _ in range(3):
            assert len(client.answer().body) == 8000000
            client.send(GET.format("/big?8000000"))
            time.sleep(0.5)
