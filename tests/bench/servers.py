"""The two clients of a server: lines written and read here, and the TypeScript SDK in a process of
its own; and what the kernel says of a server's processes."""
import json
import os
import select
import selectors
import subprocess
import time
from collections import namedtuple

import programs
from spawner import PATIENCE, UID, Wrong

# path: "warm" when the run took a sandbox that was ready, as its result says; where it says nothing, "cold"
Took = namedtuple("Took", "ms path")
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {},
              "clientInfo": {"name": "fumehood-bench", "version": "1.0.0"}}


class Server:
    """One `stdio` server and the plainest client there can be."""

    def __init__(self, command, as_user=False):
        self.ident, self.buffer = 0, b""
        self.began = time.perf_counter()
        who = {"user": UID, "group": UID, "extra_groups": []} if as_user else {}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        bufsize=0, cwd="/", **who)
        self.out = self.process.stdout.fileno()

    def initialize(self):
        """-> milliseconds since its start"""
        self.ask("initialize", INITIALIZE)
        self.read()
        took = time.perf_counter() - self.began
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return took * 1e3

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def ask(self, method, params):
        self.ident += 1
        self.send({"jsonrpc": "2.0", "id": self.ident, "method": method, "params": params})
        return self.ident

    def ask_run(self, language, code, meta=None, **more):
        return self.ask("tools/call", {"name": "run_code", **({"_meta": meta} if meta else {}),
                                       "arguments": {"language": language, "code": code, **more}})

    def fill(self):
        chunk = os.read(self.out, 1 << 16)
        if not chunk:
            raise Wrong("the server closed its output")
        self.buffer += chunk

    def line(self):
        """The next whole answer, or None; what the server tells of its own accord is no answer."""
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if not newline:
                return None
            self.buffer = rest
            message = json.loads(line)
            if "id" in message:
                return message

    def read(self):
        while (message := self.line()) is None:
            if not select.select([self.out], [], [], PATIENCE)[0]:
                raise Wrong(f"no answer within {PATIENCE} s")
            self.fill()
        return message

    def call(self, language, nonce, **more):
        """From the request to its answer. more: arguments"""
        began = time.perf_counter()
        ident = self.ask_run(language, programs.code(language, nonce), **more)
        message = self.read()
        took = time.perf_counter() - began
        check(message, ident, nonce)
        return Took(took * 1e3, path_of(message["result"]))

    def call_cold(self, language, nonce):
        """With an argument, which nobody reads: such a run takes no sandbox that is ready."""
        return self.call(language, nonce, args=["x"])

    def tool(self, name):
        ident = self.ask("tools/call", {"name": name, "arguments": {}})
        message = self.read()
        result = message.get("result", {})
        if message.get("id") != ident or "structuredContent" not in result:
            raise Wrong(f"{name}: {message}")
        return result["structuredContent"]

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        if code:
            raise Wrong(f"the server ended with code {code}")

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def check(message, ident, nonce):
    got = message.get("result", {}).get("structuredContent", {})
    if (message.get("id") != ident or got.get("status") != "exited" or got.get("exit_code") != 0
            or got.get("stdout") != programs.expected(nonce) or got.get("stderr") != ""):
        raise Wrong(f"a wrong answer: {json.dumps(message)[:1500]}")


def path_of(result):
    """Wherever in the result it is said."""
    meta = result.get("_meta", {})
    for said in (result.get("structuredContent", {}), meta, *meta.values()):
        if isinstance(said, dict) and said.get("path") in ("warm", "cold"):
            return said["path"]
    return "cold"


def rate(servers, in_flight, language, first_nonce, seconds):
    """-> (calls per second, calls, how many were warm): `in_flight` at any time on each server, all to
    their end"""
    warm = 0
    chosen, waiting, nonce = selectors.DefaultSelector(), {}, first_nonce

    def add(server):
        nonlocal nonce
        ident = server.ask_run(language, programs.code(language, nonce))
        waiting[server, ident] = nonce
        nonce += 1

    began = time.perf_counter()
    for server in servers:
        chosen.register(server.out, selectors.EVENT_READ, server)
        for _ in range(in_flight):
            add(server)
    while waiting:
        ready = chosen.select(PATIENCE)
        if not ready:
            raise Wrong(f"no answer within {PATIENCE} s")
        for key, _ in ready:
            server = key.data
            server.fill()
            while (message := server.line()) is not None:
                ident = message.get("id")
                if (server, ident) not in waiting:
                    raise Wrong(f"an answer to nothing: {message}")
                check(message, ident, waiting.pop((server, ident)))
                warm += path_of(message["result"]) == "warm"
                if time.perf_counter() - began < seconds:
                    add(server)
    calls = nonce - first_nonce
    return calls / (time.perf_counter() - began), calls, warm


class Sdk:
    """The SDK's client; n servers with a client each."""

    def __init__(self, node, script):
        self.process = subprocess.Popen([node, script], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, cwd=os.path.dirname(script))

    def ask(self, op, **more):
        self.process.stdin.write(json.dumps({"op": op, **more}) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 10 * PATIENCE)[0]:
            raise Wrong(f"the SDK's client did not answer within {10 * PATIENCE} s")
        reply = json.loads(self.process.stdout.readline() or '{"wrong": "the client ended"}')
        if "wrong" in reply:
            raise Wrong(f"SDK client: {reply['wrong'][:1500]}")
        return reply["reply"]

    def open(self, command, n=1):
        self.ask("open", command=command[0], args=command[1:], n=n)

    def program(self, language):
        return {"language": language, "code": programs.CODE[language], "factor": programs.FACTOR}

    def call(self, language, nonce):
        return Took(*self.ask("call", nonce=nonce, **self.program(language)))

    def rate(self, language, nonce, seconds, in_flight=1):
        """As rate() above; in_flight for each client."""
        return self.ask("rate", nonce=nonce, seconds=seconds, in_flight=in_flight,
                        **self.program(language))

    def burst(self, language, nonce, n):
        return self.ask("burst", nonce=nonce, n=n, **self.program(language))

    def close(self):
        """Its servers end first: the client's own close() waits for them."""
        self.ask("close")
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


# --- processes ----------------------------------------------------------------------------------

def read_proc(pid, name):
    with open(f"/proc/{pid}/{name}") as f:
        return f.read()


def children(pid):
    return [int(word) for word in read_proc(pid, f"task/{pid}/children").split()]


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def roles(server):
    """name -> pid of the processes a server always has"""
    main = server.process.pid
    named = {"main": main}
    for pid in children(main):
        name = read_proc(pid, "cmdline").split("\0")[0]
        named[name.removeprefix("fumehood-").removesuffix("-stdio")] = pid
    return named


def memory_kib(pid):
    """{"rss": n, "pss": n}; without "pss" where the kernel shows it to root only"""
    status = dict(line.split(":", 1) for line in read_proc(pid, "status").splitlines())
    found = {"rss": int(status["VmRSS"].split()[0])}
    try:
        rollup = read_proc(pid, "smaps_rollup")
    except PermissionError:
        return found
    found["pss"] = next(int(line.split()[1]) for line in rollup.splitlines()
                        if line.startswith("Pss:"))
    return found


def cpu_ms(pids):
    """CPU time of these processes and of all they have reaped."""
    total = 0
    for pid in pids:
        fields = read_proc(pid, "stat").rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total * TICK_MS
