"""Many connections: what they cost, and what happens at the ceilings."""
import resource

import pytest

from cannot import cannot
from httpd import Server, sanitized

GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"
IDLE, STREAMS = 10000, 1000
KIB = 1024


@pytest.fixture(name="descriptors")
def many_descriptors():
    """As many as the test and its server need; inherited by the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        cannot(f"{wanted} descriptors are needed, {hard} may be had")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections(descriptors):
    with Server("--tcp", header_ms=600000, idle_ms=600000) as server:
        server.stats()
        before = server.status("VmRSS")
        clients = [server.connect() for _ in range(IDLE)]
        for client in clients:
            client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 200\r\n\r\n" + "x" * 200)
        for client in clients:
            assert client.answer().status == 200
        assert server.stats()["connections"] == IDLE + 1
        each = (server.status("VmRSS") - before) * KIB / IDLE
        print(f"{each:.0f} bytes for an idle connection")
        assert sanitized() or each < KIB
        ticks = server.cpu_ticks()
        for client in clients[::100]:
            assert client.ask("/info").status == 200
        assert server.cpu_ticks() - ticks < 100
        for client in clients:
            client.close()
        server.until(lambda s: s["connections"] == 1)


def test_a_thousand_open_streams(descriptors):
    with Server("--tcp") as server:
        clients = [server.connect() for _ in range(STREAMS)]
        for client in clients:
            client.send("GET /sse HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n"
                        f"Authorization: Bearer {'x' * 500}\r\nMcp-Session-Id: {'y' * 40}\r\n\r\n")
        for client in clients:
            client.until(b"data: open\n\n")
        assert server.connect().ask("/emit").status == 200
        for client in clients:
            client.until(b"data: event\n\n")
        rss = server.status("VmRSS")
        print(f"{rss} KiB with {STREAMS} open streams")
        assert sanitized() or rss < 32 * KIB
        for client in clients:
            client.close()
        server.until(lambda s: s["streams"] == 0 and s["gone"] == STREAMS)


def test_at_the_ceiling_the_one_idle_longest_makes_room():
    with Server("--tcp", max_connections=10) as server:
        clients = [server.connect() for _ in range(10)]
        for client in clients:
            client.ask("/info")
        clients[0].ask("/info")
        late = server.connect()
        assert late.ask("/info").status == 200
        assert clients[1].is_closed()
        assert clients[0].ask("/info").status == 200


def test_at_the_ceiling_of_busy_ones_a_newcomer_is_turned_away():
    with Server("--tcp", max_connections=5) as server:
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            client.send(GET.format("/sse"))
            client.until(b"data: open\n\n")
        late = server.connect()
        answer = late.answer()
        assert (answer.status, answer.refusal()["code"]) == (503, "busy")
        assert late.is_closed()
        clients[0].close()
        while True:
            late = server.connect()
            if late.ask("/info").status == 200:
                break


def test_without_descriptors_it_waits_and_recovers():
    with Server("--tcp", fds=40) as server:
        clients = [server.connect() for _ in range(60)]
        for client in clients:
            client.send(GET.format("/sse"))
        served = clients[0]
        served.until(b"data: open\n\n")
        ticks = server.cpu_ticks()
        for client in clients[1:20]:
            client.until(b"data: open\n\n")
        for client in clients[:30]:
            client.close()
        clients[-1].until(b"data: open\n\n")
        assert server.cpu_ticks() - ticks < 50, "it spins"


def test_without_descriptors_an_idle_connection_makes_room():
    with Server("--tcp", fds=40) as server:
        clients = [server.connect() for _ in range(60)]
        for client in clients:
            try:
                client.ask("/info")
            except (EOFError, ConnectionResetError):
                pass  # it was idle, and made room
        assert server.connect().ask("/info").status == 200
