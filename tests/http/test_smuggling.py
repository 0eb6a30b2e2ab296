"""Requests that two servers could read in two ways: each is refused, and what follows it on the
connection is not read as a request."""
import pytest

from httpd import Server

HOST = "Host: test\r\n"
CHUNKED = f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n"

CASES = {
    "length and coding": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "coding and length": (400, f"{CHUNKED}Content-Length: 4\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    "the same length twice": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 3, 3\r\n\r\nabc"),
    "a length with a sign": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: +5\r\n\r\nabcde"),
    "a length in hexadecimal": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 0x3\r\n\r\nabc"),
    "a length past 64 bits": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 18446744073709551619\r\n\r\nabc"),
    "an empty length": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: \r\n\r\nabc"),
    "a folded coding": (400, f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "a vertical tab before chunked": (400, f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "two codings": (400, f"{CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    "a coding nobody has": (501, f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "a coding twice": (501, f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "a coding in HTTP/1.0": (400, f"POST /echo HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "bare LF": (400, "GET /info HTTP/1.1\nHost: test\n\n"),
    "one bare LF": (400, f"GET /info HTTP/1.1\r\n{HOST}A: b\n\r\n"),
    "bare CR": (400, f"GET /info HTTP/1.1\r\n{HOST}A: b\rC: d\r\n\r\n"),
    "a blank before the colon": (400, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length : 3\r\n\r\nabc"),
    "a folded field": (400, f"GET /info HTTP/1.1\r\n{HOST}A: b\r\n c: d\r\n\r\n"),
    "NUL in a value": (400, f"GET /info HTTP/1.1\r\n{HOST}A: b\0c\r\n\r\n"),
    "NUL in the target": (400, f"GET /info\0 HTTP/1.1\r\n{HOST}\r\n"),
    "no Host": (400, "GET /info HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, f"GET /info HTTP/1.1\r\n{HOST}{HOST}\r\n"),
    "a Host with a path": (400, "GET /info HTTP/1.1\r\nHost: test/x\r\n\r\n"),
    "a Host with a user": (400, "GET /info HTTP/1.1\r\nHost: a@test\r\n\r\n"),
    "an absolute target of another host": (400, f"GET http://evil/info HTTP/1.1\r\n{HOST}\r\n"),
    "an absolute target with a port Host lacks": (400, f"GET http://test:80/info HTTP/1.1\r\n{HOST}\r\n"),
    "a target with a fragment": (400, f"GET /info#x HTTP/1.1\r\n{HOST}\r\n"),
    "a target that is no path": (400, f"GET info HTTP/1.1\r\n{HOST}\r\n"),
    "CONNECT": (400, f"CONNECT test:443 HTTP/1.1\r\n{HOST}\r\n"),
    "two blanks": (400, f"GET  /info HTTP/1.1\r\n{HOST}\r\n"),
    "no version": (400, f"GET /info\r\n{HOST}\r\n"),
    "HTTP/1.2": (505, f"GET /info HTTP/1.2\r\n{HOST}\r\n"),
    "HTTP/2 that is none": (505, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
    "a preface that is none": (400, "PRI * HTTP/1.1\r\nHost: test\r\n\r\n"),
    "empty lines": (400, f"\r\n\r\nGET /info HTTP/1.1\r\n{HOST}\r\n"),
    "a compressed body": (415, f"POST /echo HTTP/1.1\r\n{HOST}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
    "an expectation": (417, f"POST /echo HTTP/1.1\r\n{HOST}Expect: the unexpected\r\nContent-Length: 3\r\n\r\nabc"),
    "a chunk with a sign": (400, f"{CHUNKED}\r\n+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk in 0x": (400, f"{CHUNKED}\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size past 64 bits": (400, f"{CHUNKED}\r\n10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "a chunk size of 64 bits": (413, f"{CHUNKED}\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "a chunk size with leading zeros without end": (400, f"{CHUNKED}\r\n{'0' * 100}3\r\nabc\r\n0\r\n\r\n"),
    "a chunk line in bare LF": (400, f"{CHUNKED}\r\n3\nabc\r\n0\r\n\r\n"),
    "a chunk extension with a bare LF": (400, f"{CHUNKED}\r\n3;a\nabc\r\n0\r\n\r\n"),
    "a chunk extension with a bare CR": (400, f"{CHUNKED}\r\n3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "a blank after the chunk size": (400, f"{CHUNKED}\r\n3 \r\nabc\r\n0\r\n\r\n"),
    "a chunk extension of 1 MiB": (400, f"{CHUNKED}\r\n3;{'x' * (1 << 20)}\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than said": (400, f"{CHUNKED}\r\n3\r\nabcd\r\n0\r\n\r\n"),
    "a chunk that ends in LF": (400, f"{CHUNKED}\r\n3\r\nabc\n0\r\n\r\n"),
    "a folded trailer": (400, f"{CHUNKED}\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "a trailer without a name": (400, f"{CHUNKED}\r\n0\r\n: b\r\n\r\n"),
    "trailers without end": (431, f"{CHUNKED}\r\n0\r\n{'A: b' * 10000}"),
    "many trailers": (431, f"{CHUNKED}\r\n0\r\n" + "A: b\r\n" * 1000 + "\r\n"),
    "a header of 100 KiB": (431, f"GET /info HTTP/1.1\r\n{HOST}A: {'x' * (100 << 10)}\r\n\r\n"),
    "10,000 fields": (431, f"GET /info HTTP/1.1\r\n{HOST}" + "a: b\r\n" * 10000 + "\r\n"),
    "a target of 100 KiB": (414, f"GET /{'x' * (100 << 10)} HTTP/1.1\r\n{HOST}\r\n"),
    "a long method": (501, f"{'X' * 100} / HTTP/1.1\r\n{HOST}\r\n"),
    "a method that is no token": (400, f"GE(T / HTTP/1.1\r\n{HOST}\r\n"),
    "binary": (400, "\x00\x01\x02\x03\r\n\r\n"),
    "too large a body": (413, f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 16777217\r\n\r\n"),
}
SMUGGLED = "GET /emit HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module", name="server")
def shared_server():
    with Server("--tcp") as made:
        yield made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", ["at once", "in pieces"])
def test_refused(server, name, how):
    status, text = CASES[name]
    data = (text + SMUGGLED).encode("latin-1")
    before = server.stats()
    client = server.connect()
    step = len(data) if how == "at once" else max(7, len(data) // 500)
    try:
        for at in range(0, len(data), step):
            client.send(data[at:at + step])
    except (BrokenPipeError, ConnectionResetError):
        assert len(data) > 10000  # refused before all of it had been sent
    answer = client.answer()
    assert answer.status == status
    assert answer.get("connection") == "close"
    answer.refusal()
    assert client.is_closed(), "something answered what followed"
    after = server.stats()
    assert after["refused"] == before["refused"] + 1
    assert after["requests"] == before["requests"] + 1, "only the second look at the numbers"
