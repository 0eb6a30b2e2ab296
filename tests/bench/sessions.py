"""Sessions: a call beside a Jupyter kernel, and what many that wait cost.

A call is NONCE+1 in an interpreter that is there, answered when its value has come; no client decodes
anything while the clock runs, but jupyter_client's. All are made in random order in each round, so that a noisy machine slows them alike. The memory is PSS, in which what
processes share is counted once: of all processes of a server with IDLE sessions, each with an interpreter
that has had a call and then nothing for SETTLE_S; the kernel's own memory is not in it. Beside it, as a
floor, bare interpreters that have started and wait.
"""
import json
import os
import random
import subprocess
import tempfile
import time

import kernel
import report
import servers
from spawner import PATIENCE, Wrong

IDLE = max(2, int(os.environ.get("BENCH_SESSIONS", "20" if os.environ.get("BENCH_QUICK") == "1" else "200")))
BARE = 20
SETTLE_S = 6        # the JavaScript driver's helper thread goes after 5
MAX_RATIO, MAX_CALL_MS, MAX_IDLE_MIB = 0.2, 0.5, 8
TITLES = {"python": "session, python", "javascript": "session, javascript"}
WAITING = {"python": ["-c", "import sys; print(flush=True); sys.stdin.read()"],
           "javascript": ["-e", "console.log(); process.stdin.resume()"]}
NOTES = ("session calls: NONCE+1; x: ratio of p50s to the raw client's of ipykernel, which keeps no "
         "history and is spoken to over Unix sockets",)


class Session:
    """One session of a server, in one language."""

    def __init__(self, server, language, **more):
        self.server, self.language = server, language
        self.id = tool(server, "session_create", **more)["session_id"]

    def call(self, nonce):
        """-> milliseconds for NONCE+1"""
        server = self.server
        server.ident += 1
        line = json.dumps({"jsonrpc": "2.0", "id": server.ident, "method": "tools/call", "params": {
            "name": "run_code", "arguments": {"language": self.language, "code": f"{nonce}+1",
                                              "session_id": self.id}}}).encode() + b"\n"
        answer = b'"id":%d,' % server.ident      # it may tell other things as well
        began = time.perf_counter()
        os.write(server.process.stdin.fileno(), line)
        while answer not in server.buffer or not server.buffer.endswith(b"\n"):
            server.fill()
        took = time.perf_counter() - began
        message = server.read()
        got = message.get("result", {}).get("structuredContent", {})
        values = [each["text"] for each in got.get("outputs", []) if each["type"] == "result"]
        if message.get("id") != server.ident or got.get("exit_code") != 0 or \
                values != [str(nonce + 1)]:
            raise Wrong(f"a wrong answer: {json.dumps(message)[:1500]}")
        return took * 1e3


def tool(server, name, **arguments):
    ident = server.ask("tools/call", {"name": name, "arguments": arguments})
    message = server.read()
    result = message.get("result", {})
    if message.get("id") != ident or result.get("isError") or "structuredContent" not in result:
        raise Wrong(f"{name}: {json.dumps(message)[:1500]}")
    return result["structuredContent"]


# --- calls --------------------------------------------------------------------------------------

def measure_calls(b, languages, rounds):
    rows, first = {}, None
    lacks = kernel.missing()
    if lacks:
        b.skip("a Jupyter kernel", lacks)
    else:
        raw = b.keep(kernel.Raw(tempfile.mkdtemp(dir=b.dir)))
        first = raw.first_ms
        rows["ipykernel, raw ZeroMQ"] = raw
        rows["ipykernel, jupyter_client"] = b.keep(kernel.Blocking(tempfile.mkdtemp(dir=b.dir)))
    server = b.server()
    for language in languages:
        rows[TITLES[language]] = Session(server, language)
    for caller in rows.values():
        for _ in range(20):
            caller.call(b.next())
    taken = {name: [] for name in rows}
    for _ in range(rounds):
        for name in random.sample(list(rows), len(rows)):
            taken[name].append(rows[name].call(b.next()))
    b.close(*b.opened)
    base = taken.get("ipykernel, raw ZeroMQ")
    return [{"name": name, **report.summary(ms), "to_kernel": None if not base else round(
        report.percentile(ms, 50) / report.percentile(base, 50), 4)}
        for name, ms in taken.items()], first


# --- memory -------------------------------------------------------------------------------------

def pss_kib(pids):
    """(of these processes together, whether it is exact: RSS is more)"""
    found = [servers.memory_kib(pid) for pid in pids]
    return sum(has.get("pss", has["rss"]) for has in found), all("pss" in has for has in found)


def interpreters(pids, language):
    names = {"python": "python", "javascript": "node"}
    return [pid for pid in pids if servers.read_proc(pid, "comm").startswith(names[language])]


def measure_idle(b, language):
    command = [*b.command(), "--max-sessions", str(IDLE)]
    server = b.server(command)
    made, first = [], []
    for done in range(IDLE):
        began = time.perf_counter()
        session = Session(server, language)
        made.append((time.perf_counter() - began) * 1e3)
        session.call(b.next())
        first.append((time.perf_counter() - began) * 1e3)
        if done % 50 == 49:
            b.say(f"idle sessions, {language}: {done + 1} of {IDLE}")
    time.sleep(SETTLE_S)
    pids = servers.descendants(server.process.pid)
    own = interpreters(pids, language)
    if len(own) < IDLE:
        raise Wrong(f"{len(own)} of {IDLE} interpreters are there")
    all_kib, exact = pss_kib([server.process.pid, *pids])
    own_kib, _ = pss_kib(own)
    b.close(server)
    return {"language": language, "n": IDLE, "kib": round(all_kib / IDLE, 1), "exact": exact,
            "interpreter_kib": round(own_kib / IDLE, 1), "bare_kib": bare_kib(b, language),
            "create": report.summary(made), "first": report.summary(first)}


def bare_kib(b, language):
    """Of one of BARE that wait."""
    waiting = []
    try:
        for _ in range(BARE):
            waiting.append(subprocess.Popen([b.paths[language], *WAITING[language]],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"))
        for each in waiting:
            if each.stdout.readline() != b"\n":
                raise Wrong(f"bare {language} did not start")
        return round(pss_kib([each.pid for each in waiting])[0] / BARE, 1)
    finally:
        for each in waiting:
            each.stdin.close()
        for each in waiting:
            each.wait(PATIENCE)
            each.stdout.close()


def measure(b, languages, rounds):
    languages = [language for language in TITLES if language in languages]
    calls, kernel_first = measure_calls(b, languages, rounds)
    return {"calls": calls, "kernel_first_ms": kernel_first and round(kernel_first, 1),
            "idle": [measure_idle(b, language) for language in languages]}


# --- the report ---------------------------------------------------------------------------------

def tables(r):
    calls = [["  " + row["name"], str(row["n"]),
              *(report.number(row[f"p{p}"], 2) for p in report.PERCENTILES),
              report.number(row["min"], 2), report.number(row["to_kernel"], 3)]
             for row in r["calls"]]
    idle = []
    for row in r["idle"]:
        idle.append(["  " + row["language"], str(row["n"]),
                     ("" if row["exact"] else "<= ") + report.number(row["kib"] / 1024, 2),
                     report.number(row["interpreter_kib"] / 1024, 2),
                     report.number(row["bare_kib"] / 1024, 2), report.number(row["create"]["p50"]),
                     report.number(row["first"]["p50"]), report.number(row["first"]["p95"])])
    if r["kernel_first_ms"]:
        idle.append(["  ipykernel, raw ZeroMQ", "1", "", "", "", "",
                     report.number(r["kernel_first_ms"]), ""])
    return [report.table(["session call, ms", "n", "p50", "p95", "p99", "min", "x"], calls),
            report.table(["idle sessions, MiB each", "n", "all of it", "interpreter",
                          f"{BARE} bare ones", "create, ms", "to first result", "p95"], idle)]


def targets(r):
    p50 = {row["name"]: row for row in r["calls"]}
    found = []
    for language, title in TITLES.items():
        row = p50.get(title)
        found.append(report.target(f"session call, {language}: p50 / ipykernel's (raw ZeroMQ)",
                                   row and row["to_kernel"], MAX_RATIO, "x"))
        found.append(report.target(f"session call, {language}: p50", row and row["p50"],
                                   MAX_CALL_MS, "ms"))
    for row in r["idle"]:
        mib = row["kib"] / 1024
        known = row["exact"] or mib <= MAX_IDLE_MIB
        found.append(report.target(f"{row['n']} idle sessions, {row['language']}: PSS each",
                                   mib if known else None, MAX_IDLE_MIB, "MiB"))
    return found
