#!/usr/bin/python3
"""How long a refusal takes, for guesses that are more and less right: a report, not a test.

    FUMEHOOD=build/fumehood python3 tests/bench/timing.py [--rounds N] [--json]

Each row compares two sorts of guesses over one connection, in random order. `t` is Welch's, of the times
below the 90th percentile (as dudect does it): |t| under 4.5 is no difference that shows. The control,
a right against a wrong key, must show one, or the measurement is worth nothing.
"""
import argparse
import json
import os
import random
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mcp_http  # noqa: E402

SHOWS = 4.5


class Connection:
    def __init__(self, server):
        host, _, port = server.address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f"POST /mcp HTTP/1.1\r\nhost: {server.authority}\r\n".encode()

    def request(self, message, headers):
        body = json.dumps(message).encode()
        fields = {**mcp_http.headers_for(message), **headers, "content-length": str(len(body))}
        return self.head + "".join(f"{k}: {v}\r\n" for k, v in fields.items()).encode() + b"\r\n" + body

    def ask(self, data):
        """The status and the microseconds to the end of the answer."""
        begin = time.perf_counter_ns()
        self.sock.sendall(data)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.sock.recv(65536)
        head, rest = got.split(b"\r\n\r\n", 1)
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n")
                       if line.startswith(b"content-length:")), 0)
        while len(rest) < length:
            rest += self.sock.recv(65536)
        return int(head.split()[1]), (time.perf_counter_ns() - begin) / 1000


def welch(a, b):
    limit = sorted(a + b)[len(a + b) * 9 // 10]
    a, b = ([x for x in times if x <= limit] for times in (a, b))
    error = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
    return (statistics.mean(a) - statistics.mean(b)) / error if error else 0.0


def compare(connection, name, message, sorts, rounds):
    """sorts: two of (headers of a guess, the status it must get). All requests are made before the first
    is sent: what happens between two would be measured, too."""
    times, asked = ([], []), []
    for which in random.sample([0, 1] * rounds, 2 * rounds):
        asked.append((which, connection.request(message, sorts[which][0]())))
    for which, data in asked:
        status, took = connection.ask(data)
        if status != sorts[which][1]:
            raise SystemExit(f"{name}: status {status}, not {sorts[which][1]}")
        times[which].append(took)
    return {"name": name, "rounds": rounds, "median_us": [round(statistics.median(t), 1) for t in times],
            "t": round(welch(*times), 1)}


def other_digits(text, start, digits="0123456789abcdef"):
    """text with another digit at start and random ones after it."""
    other = random.choice([c for c in digits if c != text[start]])
    return text[:start] + other + "".join(random.choice(digits) for _ in text[start + 1:])


def rows(server, rounds):
    key, theirs = server.key("mine"), server.key("theirs")
    mine = mcp_http.Session(server, authorization=key)
    connection = Connection(server)
    listing, ping = mcp_http.modern("tools/list"), mcp_http.request("ping")
    base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    at = len("Bearer fh_")

    def auth(value):
        return {"authorization": value}

    def guess(start):   # the last character has bits that must be zero: it stays
        return lambda: auth(other_digits(key[:-1], start, base64) + key[-1])

    def unknown():
        return auth(key[:at] + "".join(random.choice("bcdfg") for _ in range(8)) + key[at + 8:])

    def session(start, who):
        return lambda: dict(auth(who), **{"mcp-session-id": other_digits(mine.id, start),
                                          "mcp-protocol-version": mine.version})

    def stolen():
        return dict(auth(theirs), **{"mcp-session-id": mine.id, "mcp-protocol-version": mine.version})
    yield compare(connection, "control: a wrong key, the right key", listing,
                  [(guess(at + 9), 401), (lambda: auth(key), 200)], rounds)
    yield compare(connection, "key: secret wrong at once, wrong late", listing,
                  [(guess(at + 9), 401), (guess(len(key) - 3), 401)], rounds)
    yield compare(connection, "key: unknown id, known id", listing, [(unknown, 401), (guess(at + 9), 401)], rounds)
    yield compare(connection, "session: wrong at once, wrong late", ping,
                  [(session(0, key), 404), (session(62, key), 404)], rounds)
    yield compare(connection, "session: another's, nobody's", ping,
                  [(stolen, 404), (session(0, theirs), 404)], rounds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with mcp_http.HttpServer(auth=True) as server:
        for row in rows(server, wanted.rounds):
            if wanted.json:
                print(json.dumps(row), flush=True)
                continue
            shows = "shows" if abs(row["t"]) >= SHOWS else "does not show"
            print("{:<40} {:>8} us {:>8} us   t = {:>6}  {}".format(row["name"], *row["median_us"], row["t"], shows),
                  flush=True)


if __name__ == "__main__":
    main()
