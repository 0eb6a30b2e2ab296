"""latency.py: one run at a time, all ways of it in random order in each round, so that a noisy machine slows
them alike. Rounds go on until their time is over: the more a machine does in it, the better its
percentiles. And how far into it the program's first instruction comes.
"""
import json
import os
import random
import re
import time

import programs
import report
import servers
from spawner import Wrong

WARM_UP = 3
WEIGHT = {"python": 4, "javascript": 2, "bash": 1}      # times a round
PEER_MS = 60        # a peer gets this much of each round, and at most one run
OPTION_NAME = {"python": "bare python3 -c", "javascript": "bare node -e", "bash": "bare bash -c"}
TIMED = ("python", "javascript")
# asks for, and finds, what the server itself says of a call's stages
TRACE = {"fumehood/trace": True}
UNITS = {"_us": 1e-3, "_ms": 1, "_ns": 1e-6}
# of those stages the ones that are the sandbox's and the program's; the others are our own
NOT_OURS = ("cell", "spawn", "first", "run", "exit", "total")
NOTES = (
    "p50 p95 p99 by nearest rank, '-' where there are too few samples for it; x: ratio to the p50 of bare and of "
    "plain bwrap; cpu: ms of CPU a run, all processes; warm: runs that took a sandbox that was ready",
    "plain bwrap: every namespace, no capability, /usr read-only, two tmpfs; no seccomp filter, "
    "no Landlock, no cgroup, no record",
)


class Row:
    def __init__(self, name, kind, language, run):
        self.name, self.kind, self.language, self.run = name, kind, language, run
        self.weight = WEIGHT[language]
        self.ms, self.cpu, self.warm, self.cold = [], [], 0, 0

    def add(self, took):
        if isinstance(took, servers.Took):
            self.warm += took.path == "warm"
            self.cold += took.path == "cold"
            took = took.ms, None
        self.ms.append(took[0])
        self.cpu.append(took[1])

    def about(self, p50):
        """p50: kind -> that of its language"""
        mine = report.summary(self.ms)
        cpu = None if self.cpu[0] is None else round(sum(self.cpu) / len(self.cpu), 3)
        return {"name": self.name, "language": self.language, "kind": self.kind, **mine, "cpu_ms": cpu,
                "to_bare": round(mine["p50"] / p50["bare"], 4),
                "to_bwrap": round(mine["p50"] / p50["bwrap"], 4),
                "p99_to_bare": mine["p99"] and round(mine["p99"] / p50["bare"], 4),
                "warm": self.warm, "cold": self.cold}


def rows_of(b, languages):
    rows = []

    def add(name, kind, run, of=languages):
        rows.extend(Row(name.format(OPTION_NAME[lang]), kind, lang, run(lang)) for lang in of)

    def plain(kind):
        return lambda lang: lambda nonce: b.spawner.ask("once", kind=kind, language=lang, nonce=nonce)

    def calls(client):
        return lambda lang: lambda nonce: client.call(lang, nonce)

    timed = [lang for lang in TIMED if lang in languages]
    add("{}", "bare", plain("bare"))
    add("plain bwrap", "bwrap", plain("bwrap"))
    for peer in b.peers:
        add(peer.name, "peer", lambda lang, peer=peer: lambda nonce: peer.run(lang, nonce),
            [lang for lang in timed if lang in peer.languages])
    if b.has_sdk:
        add("run_code, TypeScript SDK", "sdk", calls(b.sdk(b.command())), timed)
    raw = b.server()
    add("run_code, raw lines", "raw", calls(raw))
    if b.root:
        if b.has_sdk:
            add("run_code, TypeScript SDK, as a user", "sdk-user", calls(b.sdk(b.command_by_user())), timed)
        user = b.server(b.command_of_user(), as_user=True)
        add("run_code, raw lines, as a user", "raw-user", calls(user), timed)
    add("run_code, raw lines, kept cold", "raw-cold",
        lambda lang: lambda nonce: raw.call_cold(lang, nonce), timed)
    return rows


def warm_up(b, rows):
    for row in rows:
        # a peer has had its first runs when it was looked for
        took = [row.run(b.next()) for _ in range(1 if row.kind == "peer" else WARM_UP)]
        if row.kind == "peer":
            row.weight = min(1, PEER_MS / min(ms for ms, _ in took))


def dealt(rows):
    """The rows of one round; a weight below one is a chance."""
    deck = [row for row in rows for _ in range(int(row.weight) + (random.random() < row.weight % 1))]
    random.shuffle(deck)
    return deck


def others_running():
    """Runnable tasks but for this one, once those of the last round have had time to end."""
    time.sleep(0.01)
    with open("/proc/loadavg") as f:
        return int(re.match(r"\S+ \S+ \S+ (\d+)/", f.read()).group(1)) - 1


def take(b, rows, row):
    """One sample. A peer that fails is left out, and named; when we fail, all ends."""
    if row not in rows:
        return
    try:
        row.add(row.run(b.next()))
    except Wrong as why:
        if row.kind != "peer":
            raise
        rows.remove(row)
        b.absent.append({"name": row.name, "why": f"failed ({row.language}): {str(why)[-300:]}"})


def measure(b, languages):
    rows = rows_of(b, languages)
    warm_up(b, rows)
    busy = rounds = 0
    end = time.monotonic() + b.seconds("latency")
    while b.more(rounds, end):
        busy += others_running() > 0
        # each row has at least one sample, however short the time
        for row in dealt(rows) if rounds else list(rows):
            take(b, rows, row)
        rounds += 1
        if rounds % 10 == 0:
            b.say(f"latency: {rounds} rounds")
    b.close(*b.opened)
    b.busy_percent = round(100 * busy / rounds)
    p50 = {}
    for row in rows:
        p50.setdefault(row.language, {})[row.kind] = report.percentile(row.ms, 50)
    return [row.about(p50[row.language]) for row in rows]


# --- to the first instruction -----------------------------------------------------------------------

def call_first(server, language, nonce):
    """-> (ms to the first instruction, ms from there to the answer, the stages of the server's own trace)"""
    server.ident += 1
    line = json.dumps({"jsonrpc": "2.0", "id": server.ident, "method": "tools/call", "params": {
        "name": "run_code", "_meta": TRACE, "arguments": {
            "language": language, "code": programs.code_first(language, nonce)}}}).encode() + b"\n"
    began = time.monotonic_ns()
    os.write(server.process.stdin.fileno(), line)
    message = server.read()
    ended = time.monotonic_ns()
    result = message.get("result", {})
    got = result.get("structuredContent", {})
    first = programs.first_ns(got.get("stdout", ""), nonce)
    if message.get("id") != server.ident or got.get("exit_code") != 0 or first is None:
        raise Wrong(f"a wrong answer: {json.dumps(message)[:1500]}")
    return (first - began) / 1e6, (ended - first) / 1e6, stages(result)


def stages(result):
    """name -> ms, of the trace in a result; {} when it has none"""
    meta = result.get("_meta", {})
    found = {}
    for key, trace in meta.items():
        if not key.endswith("trace") or not isinstance(trace, dict):
            continue
        for name, value in trace.items():
            if isinstance(value, (int, float)) and name[-3:] in UNITS:
                found[name[:-3]] = value * UNITS[name[-3:]]
    return found


def own_ms(trace):
    """What of a call is the server's own; None: it did not say"""
    parts = [ms for name, ms in trace.items() if not name.startswith(NOT_OURS)]
    return sum(parts) if parts else None


def measure_first(b, languages):
    """[{name, language, first, rest, stages, own}]"""
    server = b.server()
    languages = [lang for lang in TIMED if lang in languages]
    taken = {(kind, lang): [] for lang in languages for kind in ("bare", "bwrap", "raw")}

    def run(kind, lang):
        if kind == "raw":
            return call_first(server, lang, b.next())
        return (*b.spawner.ask("first", kind=kind, language=lang, nonce=b.next()), {})

    for kind, lang in taken:
        for _ in range(WARM_UP):
            run(kind, lang)
    end, rounds = time.monotonic() + b.seconds("first"), 0
    while b.more(rounds, end):
        for key in random.sample(list(taken), len(taken)):
            taken[key].append(run(*key))
        rounds += 1
    b.close(server)
    names = {"bare": "bare", "bwrap": "plain bwrap", "raw": "run_code, raw lines"}
    return [first_row(names[kind], lang, samples) for (kind, lang), samples in taken.items()]


def first_row(name, language, samples):
    own = [own for _, _, trace in samples if (own := own_ms(trace)) is not None]
    told = {key: report.summary([trace[key] for _, _, trace in samples if key in trace])
            for key in samples[-1][2]}
    return {"name": name, "language": language,
            "first": report.summary([first for first, _, _ in samples]),
            "rest": report.summary([rest for _, rest, _ in samples]),
            "stages": told, "own": report.summary(own) if own else None}
