"""burst.py: many one-shots at once, and how long until all are done. An answer with another call's number
ends the bench; a call that was refused is counted as an error."""
import json
import os
import random
import selectors
import time

import programs
import report
from servers import check, path_of
from spawner import PATIENCE, Wrong

WORKERS = 64        # of plain bwrap, at a time
NOTES = (f"burst: all calls sent at once by one client; beside it plain bwrap + python3, {WORKERS} at a time; an "
         "error is a call that was refused, which is no answer of another call: that would end the bench",)


class Calls:
    """n calls of one server, all on their way before the first answer is waited for."""

    def __init__(self, b, server, n):
        self.server, self.n = server, n
        first = b.next(n)
        self.nonce = {server.ident + 1 + i: first + i for i in range(n)}
        server.ident += n
        self.lines = b"".join(self.line(ident, nonce) for ident, nonce in self.nonce.items())
        self.ends, self.last, self.warm, self.errors, self.error = [], 0.0, 0, 0, None

    @staticmethod
    def line(ident, nonce):
        return json.dumps({"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": {
            "name": "run_code", "arguments": {
                "language": "python", "code": programs.code("python", nonce)}}}).encode() + b"\n"

    def write(self, fd):
        """-> whether there is more to write"""
        try:
            self.lines = self.lines[os.write(fd, self.lines[:1 << 16]):]
        except BlockingIOError:
            pass
        return bool(self.lines)

    def answered(self, message, ms):
        ident, result = message["id"], message.get("result", {})
        if ident not in self.nonce:
            raise Wrong(f"an answer to nothing: {message}")
        nonce = self.nonce.pop(ident)
        self.last = ms
        if "error" in message or result.get("isError"):
            self.errors += 1
            self.error = self.error or json.dumps(message)[:500]
            return
        check(message, ident, nonce)
        self.ends.append(ms)
        self.warm += path_of(result) == "warm"

    def run(self):
        into = self.server.process.stdin.fileno()
        os.set_blocking(into, False)
        chosen = selectors.DefaultSelector()
        began = time.perf_counter()
        chosen.register(self.server.out, selectors.EVENT_READ)
        chosen.register(into, selectors.EVENT_WRITE)
        while self.nonce:
            ready = chosen.select(PATIENCE)
            if not ready:
                raise Wrong(f"{len(self.nonce)} of {self.n} calls have no answer after {PATIENCE} s")
            for key, _ in ready:
                if key.fd == into and not self.write(into):
                    chosen.unregister(into)
                elif key.fd == self.server.out:
                    self.server.fill()
                    while (message := self.server.line()) is not None:
                        self.answered(message, (time.perf_counter() - began) * 1e3)
        os.set_blocking(into, True)
        return {"ends": self.ends, "last": self.last, "warm": self.warm, "errors": self.errors, "error": self.error}


def of_raw(b, n):
    server = b.server()
    server.call("python", b.next())
    found = Calls(b, server, n).run()
    b.close(server)
    return found


def of_sdk(b, n):
    client = b.sdk(b.command())
    client.call("python", b.next())
    found = client.burst("python", b.next(n), n)
    b.close(client)
    return found


def of_bwrap(b, n):
    ends = b.spawner.ask("burst", kind="bwrap", language="python", nonce=b.next(n), n=n, at_once=WORKERS)
    return {"ends": ends, "last": max(ends), "warm": 0, "errors": 0, "error": None}


def about(name, n, found):
    """Of the calls that were run; only the time to the last answer is of the refused as well."""
    ends, done = found["ends"], n - found["errors"]
    if not ends:
        raise Wrong(f"{name}: none of {n} calls was run: {found['error']}")
    return {"name": name, "n": n, "all_ms": round(found["last"], 1), "p50_ms": round(report.percentile(ends, 50), 1),
            "done": done, "done_per_second": round(done / max(ends) * 1e3, 1), "errors": found["errors"],
            "error": found["error"], "warm": found["warm"], "ends_ms": sorted(round(ms, 2) for ms in ends)}


def measure(b):
    """The worst single call is the last that is done: all begin with the burst."""
    kinds = {"plain bwrap": of_bwrap, "run_code, raw lines": of_raw}
    if b.has_sdk:
        kinds["run_code, TypeScript SDK"] = of_sdk
    rows = []
    for n in b.bursts:
        for name in random.sample(list(kinds), len(kinds)):
            b.say(f"burst of {n}: {name}")
            rows.append(about(name, n, kinds[name](b, n)))
    order = list(kinds)
    rows.sort(key=lambda row: (row["n"], order.index(row["name"])))
    for row in rows:
        base = next(r for r in rows if r["n"] == row["n"] and r["name"] == "plain bwrap")
        row["to_bwrap"] = None if row["errors"] else round(row["all_ms"] / base["all_ms"], 4)
    return rows
