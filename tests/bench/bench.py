"""bench.py [--json] [PART...]: what a sandboxed run costs beside the same program bare, in plain bwrap and in
other people's sandboxes, one at a time, many at once and for long; what a call in a session costs
beside a Jupyter kernel, and a request over HTTP beside the TypeScript SDK's server. PART: runs,
sessions, http; all, but http when BENCH_QUICK=1.

All commands of the latency table are run in random order in each round, so that a noisy machine
slows them alike: trust the ratios of one run before the milliseconds of two. Every answer is
checked; a wrong one ends the bench with exit code 1. Nothing is discarded but the warm-up, which is
checked too. No time makes it fail. Results go to build/bench/latest.json, .txt, .svg
and .md (the table of README.md), and with the date in their names.
"""
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import burst
import growth
import latency
import over_http
import peers
import plot
import programs
import report
import servers
import sessions
import start
import sustained
import targets
from spawner import UID, Wrong

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "build", "bench")
BINARY = os.environ.get("FUMEHOOD", os.path.join(ROOT, "build", "fumehood"))
QUICK = os.environ.get("BENCH_QUICK") == "1"
PARTS = ("runs", "sessions") if QUICK else ("runs", "sessions", "http")
# 0: as many as their time allows; the parts that are not timed so scale with it
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "0"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "60" if QUICK else "300"))
# of SECONDS; the rest is for what takes the time it takes
SHARES = {"latency": 0.3, "first": 0.03, "sustained": 0.15, "start": 0.04, "growth": 0.1}
CALLS = int(os.environ.get("BENCH_CALLS", "0"))     # 0: as many of these as growth's time allows
MOST_CALLS = 300 if QUICK else 2000


class Bench:
    def __init__(self):
        self.root = os.geteuid() == 0
        self.bwrap = find_bwrap()
        self.dir = tempfile.mkdtemp(prefix="fumehood-bench-")
        os.chmod(self.dir, 0o711)
        # two benches, or one after another, do not count the same
        self.nonce, self.notes, self.opened = random.randrange(1, 1 << 20), [], []
        self.spawner, self.spawners, self.peers, self.absent = None, {}, [], []
        self.binary, self.out = BINARY, OUT
        self.quick, self.rounds, self.calls = QUICK, ROUNDS or (20 if QUICK else 80), max(10, CALLS or MOST_CALLS)
        self.all_calls = CALLS > 0
        self.bursts = (100,) if QUICK else (100, 1000)
        self.in_flight = (1, 4, 16, 64) if QUICK else (1, 2, 4, 8, 16, 32, 64)
        self.has_sdk_server = os.path.isdir(
            os.path.join(OUT, "sdk_server", "node_modules", "@modelcontextprotocol", "server"))
        self.busy_percent, self.paths = None, {}

    @staticmethod
    def seconds(part):
        return SHARES[part] * SECONDS

    @staticmethod
    def more(done, end):
        """Whether there is to be one more round."""
        return done < ROUNDS if ROUNDS else not done or time.monotonic() < end

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
        return [self.copied(BINARY), "stdio", "--bwrap", self.copied(self.bwrap), "--state", state]

    def copied(self, path):
        """Once: what runs cannot be written."""
        copy = os.path.join(self.dir, os.path.basename(path))
        return copy if os.path.exists(copy) else shutil.copy(path, copy)

    def command_by_user(self):
        """The same for a client that is root itself."""
        return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--", *self.command_of_user()]

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
        for peer in self.peers:
            peer.clean()
        for spawner in (self.spawner, *self.spawners.values()):
            if spawner:
                spawner.discard()
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
    b.paths = paths
    peers.make_spawners(b, paths)
    b.has_sdk = bool(os.environ.get("BENCH_NODE")) and os.path.isdir(
        os.path.join(OUT, "node_modules", "@modelcontextprotocol", "sdk"))
    if not b.has_sdk:
        b.skip("the TypeScript SDK's client", "it could not be installed")
    who = "root" if b.root else f"uid {os.geteuid()}"
    return languages, {"version": info["server"]["version"], "cpus": os.cpu_count(), "cpu": cpu_model(),
                       "as": f"{who}, cgroup {info['isolation']['cgroup']}",
                       "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"), "kernel": platform.release(),
                       "versions": versions(info), "absent": []}


def cpu_model():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")),
                    platform.machine())


def versions(info):
    named = {r["name"]: r.get("version") for r in info["runtimes"] if r["available"]}
    return {"bubblewrap": info["isolation"]["bwrap_version"],
            **{name: named[name] for name in latency.TIMED if named.get(name)}}


def measure_runs(b, languages):
    b.peers, b.absent = peers.find(b, languages)
    r = {"latency": latency.measure(b, languages), "first": latency.measure_first(b, languages),
         "bursts": burst.measure(b), "rates": sustained.measure(b),
         "start": start.measure(b, languages), "growth": growth.measure(b)}
    for row in r["latency"]:
        if row["kind"] == "raw" and row["language"] == "python":
            row["cpu_ms"] = r["growth"]["cpu_ms"]
    r["targets"] = targets.judge(r)
    return r


def tables(r):
    found = []
    if "latency" in r:
        found = [report.latency(r["latency"]), report.first(r["first"]), report.bursts(r["bursts"]),
                 sustained.table(r["rates"]), report.starts(r["start"]), report.memory(r["growth"]),
                 report.growth(r["growth"])]
    if "sessions" in r:
        found += sessions.tables(r["sessions"])
    return found + (over_http.tables(r["http"]) if "http" in r else [])


def measure(b, parts):
    began, load = time.monotonic(), os.getloadavg()[0]
    languages, about = prepare(b)
    r = {"about": about, "rounds": b.rounds, "targets": [], "notes": []}
    if "http" in parts:
        if not b.has_sdk_server:
            b.skip("the TypeScript SDK's server", "it could not be installed")
        r["http"] = over_http.measure(b)
        r["notes"] += over_http.NOTES
    if "runs" in parts:
        r.update(measure_runs(b, languages))
        about["absent"] = b.absent
        about["versions"].update((peer.name, peer.version) for peer in b.peers)
        for room in (latency, peers, burst, sustained, growth):
            r["notes"] += room.NOTES
    if "sessions" in parts:
        r["sessions"] = sessions.measure(b, languages, 3 * b.rounds)
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
    b = None
    try:
        b = Bench()
        r = measure(b, parts)
    except (Wrong, OSError, subprocess.SubprocessError) as why:
        sys.exit(f"bench: {why}")
    finally:
        if b:
            b.finish()
    shown = report.everything(r, tables(r))
    write(r, shown)
    print(json.dumps(r, indent=1) if "--json" in words else shown)


def write(r, shown):
    os.makedirs(OUT, exist_ok=True)
    made = {"json": json.dumps(r, indent=1), "txt": shown}
    if "latency" in r:
        made.update(svg=plot.draw(r), md=report.markdown(r))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix, text in made.items():
        for name in ("latest", stamp):
            with open(os.path.join(OUT, f"{name}.{suffix}"), "w") as f:
                f.write(text + "\n")


main()
