"""bench.py [--json] [PART...]: what a sandboxed run costs beside the same program bare and in plain
bwrap, what a call in a session costs beside a Jupyter kernel, and a request over HTTP beside the
TypeScript SDK's server. PART: runs, sessions, http; all.

All commands of the latency table are run in random order in each round, so that a noisy machine
slows them alike: trust the ratios of one run before the milliseconds of two. Every answer is
checked; a wrong one ends the bench with exit code 1. Nothing is discarded but the warm-up, which is
checked too. No time makes it fail. Results go to build/bench/latest.json as well.
"""
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import over_http
import programs
import report
import servers
import sessions
from spawner import UID, Spawner, Wrong

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "build", "bench")
BINARY = os.environ.get("FUMEHOOD", os.path.join(ROOT, "build", "fumehood"))
PARTS = ("runs", "sessions", "http")
ROUNDS = max(1, int(os.environ.get("BENCH_ROUNDS", "80")))
WARM_UP = 3
AT_ONCE = (1, 2, 4, 8, 16)
WEIGHT = {"python": 2}      # times a round
MAX_RATIO, MAX_ROLE_MIB, MAX_READY_MS = 1.6, 4, 50
OPTION_NAME = {"python": "bare python3 -c", "javascript": "bare node -e", "bash": "bare bash -c"}
NOTES = (
    "p50 p95 p99 by nearest rank; x: ratio of p50s; cpu: ms of CPU a run, all processes",
    "plain bwrap: every namespace, no capability, /usr read-only, two tmpfs; no seccomp filter, "
    "no Landlock, no cgroup, no record",
)


class Bench:
    def __init__(self):
        self.root = os.geteuid() == 0
        self.dir = tempfile.mkdtemp(prefix="fumehood-bench-")
        os.chmod(self.dir, 0o711)
        self.nonce, self.notes, self.opened, self.spawner = 0, [], [], None
        self.bwrap, self.binary, self.out, self.rounds = find_bwrap(), BINARY, OUT, ROUNDS
        self.has_sdk_server = os.path.isdir(
            os.path.join(OUT, "sdk_server", "node_modules", "@modelcontextprotocol", "server"))
        self.busy_percent, self.paths = None, {}

    def next(self, n=1):
        self.nonce += n
        return self.nonce - n + 1

    def say(self, text):
        if sys.stderr.isatty():
            print(text, file=sys.stderr)

    def skip(self, what, why):
        """Leaving something out is said, and fails where everything must run."""
        if os.environ.get("MUST_RUN") == "1":
            raise Wrong(f"{what} cannot run here: {why}")
        self.notes.append(f"left out: {what}: {why}")

    def command(self, state=None):
        """The command line of a server; without `state` on a new folder."""
        state = state or tempfile.mkdtemp(dir=self.dir)
        return [BINARY, "stdio", "--bwrap", self.bwrap, "--state", state]

    def command_of_user(self):
        """The same for a server of UID, who may not reach this tree: from copies."""
        state = tempfile.mkdtemp(dir=self.dir)
        os.chown(state, UID, UID)
        return [shutil.copy(BINARY, f"{self.dir}/fumehood"), "stdio",
                "--bwrap", shutil.copy(self.bwrap, f"{self.dir}/bwrap"), "--state", state]

    def keep(self, thing):
        self.opened.append(thing)
        return thing

    def server(self, command=None, as_user=False):
        made = self.keep(servers.Server(command or self.command(), as_user))
        made.initialize()
        return made

    def sdk(self, command, n=1):
        made = self.keep(servers.Sdk(os.environ["BENCH_NODE"], os.path.join(OUT, "sdk_client.mjs")))
        made.open(command, n)
        return made

    def close(self, *things):
        for thing in things:
            thing.close()
            self.opened.remove(thing)

    def finish(self):
        for thing in self.opened:
            thing.discard()
        if self.spawner:
            self.spawner.discard()
        shutil.rmtree(self.dir, ignore_errors=True)


def find_bwrap():
    """As the server does, when it is not told."""
    beside = os.path.dirname(BINARY)
    for path in (os.environ.get("FUMEHOOD_BWRAP"), f"{beside}/deps/bin/bwrap",
                 f"{beside}/../deps/bin/bwrap", f"{beside}/../libexec/fumehood/bwrap",
                 "/usr/bin/bwrap", "/usr/local/bin/bwrap"):
        if path and os.access(path, os.X_OK):
            return os.path.realpath(path)
    raise Wrong("bubblewrap (bwrap) is not installed: make deps")


def version_of(bwrap):
    shown = subprocess.run(["grep", "-aoE", "bubblewrap [0-9.]+", bwrap], capture_output=True,
                           text=True).stdout
    return shown.split()[1] if shown else "?"


# --- latency ------------------------------------------------------------------------------------

def latency_rows(b, languages):
    """[{name, language, kind, run}]; run(nonce) -> milliseconds, or (milliseconds, CPU's)"""
    rows = []

    def add(name, kind, make_run):
        rows.extend({"name": name.format(OPTION_NAME[lang]), "kind": kind, "language": lang,
                     "run": make_run(lang), "ms": [], "cpu": []} for lang in languages)

    def plain(kind):
        return lambda lang: lambda nonce: b.spawner.ask(kind=kind, language=lang, nonce=nonce)

    def calls(client):
        return lambda lang: lambda nonce: client.call(lang, nonce)

    add("{}", "bare", plain("bare"))
    add("plain bwrap", "bwrap", plain("bwrap"))
    if b.has_sdk:
        add("run_code, TypeScript SDK", "sdk", calls(b.sdk(b.command())))
    add("run_code, raw lines", "raw", calls(b.server()))
    if b.root:
        add("run_code, raw lines, as a user", "user",
            calls(b.server(b.command_of_user(), as_user=True)))
    return rows


def others_running():
    """Runnable tasks but for this one, once those of the last round have had time to end."""
    time.sleep(0.01)
    with open("/proc/loadavg") as f:
        return int(re.match(r"\S+ \S+ \S+ (\d+)/", f.read()).group(1)) - 1


def measure_latency(b, languages):
    rows = latency_rows(b, languages)
    for row in rows:
        for _ in range(WARM_UP):
            row["run"](b.next())
    deck = [row for row in rows for _ in range(WEIGHT.get(row["language"], 1))]
    busy = 0
    for done in range(ROUNDS):
        busy += others_running() > 0
        for row in random.sample(deck, len(deck)):
            took = row["run"](b.next())
            ms, cpu = took if isinstance(took, list) else (took, None)
            row["ms"].append(ms)
            row["cpu"].append(cpu)
        if done % 10 == 9:
            b.say(f"latency: {done + 1} of {ROUNDS} rounds")
    b.close(*b.opened)
    b.busy_percent = round(100 * busy / ROUNDS)
    return [finish_row(row, rows) for row in rows]


def finish_row(row, rows):
    p50 = {r["kind"]: report.percentile(r["ms"], 50) for r in rows
           if r["language"] == row["language"]}
    cpu = None if row["cpu"][0] is None else round(sum(row["cpu"]) / len(row["cpu"]), 3)
    return {"name": row["name"], "language": row["language"], "kind": row["kind"],
            **report.summary(row["ms"]), "cpu_ms": cpu,
            "to_bare": round(p50[row["kind"]] / p50["bare"], 3),
            "to_bwrap": round(p50[row["kind"]] / p50["bwrap"], 3)}


# --- calls per second -----------------------------------------------------------------------------

def rate_bwrap(b, n, seconds):
    rate, used = b.spawner.ask(kind="bwrap", language="python", nonce=b.next(), at_once=n,
                               seconds=seconds)
    b.next(used)
    return rate


def rate_raw(b, n_servers, in_flight, seconds):
    command = b.command()
    made = [b.keep(servers.Server(command)) for _ in range(n_servers)]
    for server in made:
        server.initialize()
    for server in made:
        server.call("python", b.next())
    rate, used = servers.rate(made, in_flight, "python", b.next(), seconds)
    b.next(used)
    b.close(*made)
    return rate


def rate_sdk(b, n, seconds):
    made = b.sdk(b.command(), n)
    made.call("python", b.next())
    rate, used = made.rate("python", b.next(), seconds)
    b.next(used)
    b.close(made)
    return rate


def measure_rates(b):
    seconds = min(5.0, max(0.3, 1.2 * ROUNDS / 100))
    kinds = {
        "plain bwrap, N at once": rate_bwrap,
        "run_code, one server, N calls in flight": lambda b, n, s: rate_raw(b, 1, n, s),
        "run_code, N clients, a server each": lambda b, n, s: rate_raw(b, n, 1, s),
    }
    if b.has_sdk:
        kinds["run_code, N TypeScript SDK clients"] = rate_sdk
    found = {name: {} for name in kinds}
    cells = [(name, n) for name in kinds for n in AT_ONCE]
    for name, n in random.sample(cells, len(cells)):
        b.say(f"calls per second: {name}: {n}")
        found[name][n] = round(kinds[name](b, n, seconds), 1)
    return [{"name": name, "per_second": found[name]} for name in kinds]


# --- start ----------------------------------------------------------------------------------------

def measure_start(b):
    """From before the fork to the reply to `initialize`, sent at once; and to the first result."""
    ready, reopened, first = [], [], []
    known = tempfile.mkdtemp(dir=b.dir)
    for _ in range(max(5, ROUNDS // 4)):
        for state, ms in random.sample([(None, ready), (known, reopened)], 2):
            server = b.keep(servers.Server(b.command(state)))
            ms.append(server.initialize())
            server.call("python", b.next())
            if state is None:
                first.append((time.perf_counter() - server.began) * 1e3)
            b.close(server)
    rows = {"initialize answered, new state folder": ready,
            "initialize answered, existing state folder": reopened,
            "first run_code answered, new state folder": first}
    return [{"name": name, **report.summary(ms)} for name, ms in rows.items()]


# --- memory ---------------------------------------------------------------------------------------

def sample(named):
    return {name: servers.memory_kib(pid) for name, pid in named.items()}


def running_sandbox(b, server, keeper):
    """The processes of one run, while its program waits."""
    nonce = b.next()
    ident = server.ask_run("bash", f"sleep 1; {programs.code('bash', nonce)}")
    found, end = {}, time.monotonic() + servers.PATIENCE
    while not {"bwrap", "guest", "room", "sleep"} <= set(found):
        if time.monotonic() > end:
            raise Wrong(f"the sandbox did not come up: {sorted(found)}")
        try:
            found = {servers.read_proc(pid, "comm").strip(): pid
                     for pid in servers.descendants(keeper)}
            named = {name: servers.memory_kib(found[name]) for name in ("bwrap", "guest", "room")
                     if name in found}
        except (OSError, KeyError):
            found = {}      # one has just ended, or is not yet what it will be
    servers.check(server.read(), ident, nonce)
    return {f"{name}, one per run": value for name, value in named.items()}


def measure_memory(b):
    calls = 100
    server = b.server()
    server.tool("sandbox_info")
    named = servers.roles(server)
    if set(named) != {"main", "front", "keeper", "ledger"}:
        raise Wrong(f"the server's processes are {named}")
    idle = sample(named)
    cpu = servers.cpu_ms(named.values())
    for _ in range(calls):
        server.call("python", b.next())
    cpu = (servers.cpu_ms(named.values()) - cpu) / calls
    used = sample(named)
    run = running_sandbox(b, server, named["keeper"])
    b.close(server)
    if "pss" not in idle["front"]:
        b.notes.append("PSS of a process that is not dumpable is shown to root only; RSS is its "
                       "upper bound")
    return {"calls": calls, "idle": idle, "used": used, "run": run}, round(cpu, 3)


# --- all together ---------------------------------------------------------------------------------

def judge_runs(r):
    def p50(rows, **want):
        return next((row["p50"] for row in rows
                     if all(row[k] == v for k, v in want.items())), None)

    kind = "sdk" if any(row["kind"] == "sdk" for row in r["latency"]) else "raw"
    python = p50(r["latency"], language="python", kind=kind)
    bwrap = p50(r["latency"], language="python", kind="bwrap")
    ratio = f"run_code python p50 / plain bwrap + python3 ({'SDK' if kind == 'sdk' else 'raw'})"
    found = [report.target(ratio, python / bwrap, MAX_RATIO, "x")]
    roles = {**r["memory"]["used"], "guest": r["memory"]["run"]["guest, one per run"]}
    for name, has in roles.items():
        kind = "pss" if "pss" in has else "rss"
        mib = has[kind] / 1024
        # an upper bound above the limit says nothing
        known = kind == "pss" or mib <= MAX_ROLE_MIB
        found.append(report.target(f"{name}: {kind.upper()}", mib if known else None,
                                   MAX_ROLE_MIB, "MiB"))
    found.append(report.target("ready after start (initialize answered), p50",
                               p50(r["start"], name="initialize answered, new state folder"),
                               MAX_READY_MS, "ms"))
    return found


def prepare(b):
    """What is there to measure with."""
    probe = b.server()
    info = probe.tool("sandbox_info")
    b.close(probe)
    paths = {r["name"]: r["path"] for r in info["runtimes"] if r["available"]}
    languages = [name for name in programs.CODE if name in paths]
    for name in set(programs.CODE) - set(paths):
        b.skip(name, "not available to sandboxes")
    if info["isolation"]["bwrap_version"] != version_of(b.bwrap):
        b.notes.append(f"{b.bwrap} says {version_of(b.bwrap)}, the server "
                       f"{info['isolation']['bwrap_version']}")
    b.spawner, b.paths = Spawner(b.bwrap, paths), paths
    b.has_sdk = bool(os.environ.get("BENCH_NODE")) and os.path.isdir(
        os.path.join(OUT, "node_modules", "@modelcontextprotocol", "sdk"))
    if not b.has_sdk:
        b.skip("the TypeScript SDK's client", "it could not be installed")
    who = "root" if b.root else f"uid {os.geteuid()}"
    return languages, {"version": info["server"]["version"], "cpus": os.cpu_count(),
                       "as": f"{who}, cgroup {info['isolation']['cgroup']}",
                       "kernel": platform.release(), "bwrap": info["isolation"]["bwrap_version"]}


def measure_runs(b, languages):
    r = {"latency": measure_latency(b, languages), "rates": measure_rates(b),
         "start": measure_start(b)}
    r["memory"], cpu = measure_memory(b)
    for row in r["latency"]:
        if row["kind"] == "raw" and row["language"] == "python":
            row["cpu_ms"] = cpu
    r["targets"] = judge_runs(r)
    return r


def measure(b, parts):
    began, load = time.monotonic(), os.getloadavg()[0]
    languages, about = prepare(b)
    r = {"about": about, "rounds": ROUNDS, "targets": [], "notes": []}
    if "http" in parts:
        if not b.has_sdk_server:
            b.skip("the TypeScript SDK's server", "it could not be installed")
        r["http"] = over_http.measure(b)
        r["notes"] += over_http.NOTES
    if "runs" in parts:
        r.update(measure_runs(b, languages))
        r["notes"] = [*NOTES, *r["notes"]]
    if "sessions" in parts:
        r["sessions"] = sessions.measure(b, languages, 3 * ROUNDS)
        r["targets"] += sessions.targets(r["sessions"])
        r["notes"] += sessions.NOTES
    if "http" in parts:
        r["targets"] += over_http.targets(r["http"])
    r["notes"] += b.notes
    about.update(load=[f"{load:.1f}", f"{os.getloadavg()[0]:.1f}"], busy_percent=b.busy_percent,
                 seconds=round(time.monotonic() - began))
    return r


def main():
    words = sys.argv[1:]
    parts = [word for word in words if word != "--json"] or PARTS
    if not set(parts) <= set(PARTS):
        sys.exit(__doc__)
    # what was started ends with us, also when we are told to end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: told to end"))
    b = Bench()
    try:
        r = measure(b, parts)
    except (Wrong, OSError, subprocess.SubprocessError) as why:
        sys.exit(f"bench: {why}")
    finally:
        b.finish()
    text = json.dumps(r, indent=1)
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "latest.json"), "w") as f:
        f.write(text + "\n")
    if "--json" in words:
        print(text)
    else:
        more = sessions.tables(r["sessions"]) if "sessions" in r else []
        print(report.everything(r, more + (over_http.tables(r["http"]) if "http" in r else [])))


main()
