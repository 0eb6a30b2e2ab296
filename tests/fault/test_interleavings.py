"""Random interleavings of runs, sessions, cancels, timeouts and deaths: nothing is left behind, nothing unrecorded.

Each round starts a server, sends it a random mix of calls, some when there are copies of an interpreter for them,
some while a process of a sandbox is killed from outside; then lets it end in a random way: its stdin closes, a signal,
or SIGKILL to one of its processes. Afterwards, with nobody's help:

  - no process of it lives: neither role nor sandbox
  - no cgroup of it is left; only when its first process itself was killed, the next server's start
    is what removes them (there is nobody else)
  - the host's mounts and the state folder hold nothing new
  - every run whose id a client was told has its intent in the record, and every intent has an
    outcome or was closed as unknown; `audit verify` passes

FAULT_ROUNDS (1000) are shared between root and an ordinary user; FAULT_SEED repeats a sequence.
"""
import glob
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from mcp import BINARY  # noqa: E402

# whoever started the tests in the background had it ignored (POSIX sh, 2.11), and so would servers
signal.signal(signal.SIGINT, signal.default_int_handler)

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1000"))
SEED = int(os.environ.get("FAULT_SEED", str(random.SystemRandom().randrange(1 << 32))))
UID_BASE = 310000       # of the sandboxes of this test alone, when root
UIDS = 8192             # and of the copies of interpreters in them
USER = 43117            # an ordinary user nobody else is
GONE_SECONDS = 5.0

PROGRAMS = [
    ("python", "print('hello')"),
    ("python", "import time\ntime.sleep(30)"),
    ("python", "import os, time\nfor i in range(5):\n    if not os.fork(): os.setsid()\ntime.sleep(0.01)\nos._exit(i)"),
    ("python", "import os\nwhile os.write(1, b'x' * 4096): pass"),
    ("python", "import os\nos.kill(os.getpid(), 9)"),
    ("bash", "echo out; echo err >&2; exit 3"),
    ("bash", "sleep 30"),
    ("bash", "(setsid sleep 30 &) ; (setsid sleep 30 &) ; echo left some"),
    ("bash", "trap '' TERM INT HUP; while :; do :; done"),
    ("bash", "for i in $(seq 20); do (sleep 30 &) ; done; wait; sleep 30"),
    ("bash", "head -c 300000 /dev/zero | tr '\\0' x"),
    ("bash", "exec 1>&- 2>&-; sleep 30"),
    ("bash", "head -c 20000000 /dev/zero > big; sleep 30"),
    ("bash", "kill -9 $$"),
    ("python", "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(30)"),
]
ENDS = ["eof", "eof", "sigterm", "sigint", "kill front", "kill keeper", "kill ledger", "kill main"]


def processes():
    """{pid: (parent, uid, command line)} of everything that is not a zombie of somebody else."""
    found = {}
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(path + "/status") as f:
                status = dict(line.split(":", 1) for line in f if ":" in line)
            with open(path + "/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found[int(path[6:])] = (int(status["PPid"]), int(status["Uid"].split()[0]), line)
    return found


def started(pid):
    """A process for good: pids come again, not with the same start time (proc(5), stat, field 22)."""
    with open(f"/proc/{pid}/stat") as stat:
        return pid, stat.read().rpartition(")")[2].split()[19]


def cgroups(process):
    mark = "fumehood-*-{}-{}*".format(*process)
    return sorted(d for top in ("/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*")
                  for d in glob.glob(f"{top}/{mark}"))


def until(condition, seconds=GONE_SECONDS):
    """The first true value of condition, or its last false one."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.002)


class Round:
    """One server, spoken to in raw lines: it will be killed in the middle of things."""

    def __init__(self, rng, uid, state, env, binary):
        self.rng, self.next_id, self.replies, self.rest, self.warm = rng, 1, {}, b"", False
        switch = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        self.process = subprocess.Popen(
            [binary, "stdio", "--state", state, "--log-level", "error"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, bufsize=0, **switch)
        os.set_blocking(self.process.stdout.fileno(), False)

    def send(self, method, **params):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if not method.startswith("notifications/"):
            message["id"] = self.next_id
            self.next_id += 1
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            pass
        return message.get("id")

    def pump(self, seconds):
        """Reads what comes for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            chunk = self.process.stdout.read(65536)
            if chunk == b"":
                return
            if chunk is None:
                time.sleep(0.001)
                continue
            self.rest += chunk
            *lines, self.rest = self.rest.split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "id" in message:
                    self.replies[message["id"]] = message

    def family(self):
        """{role: pid} of the server's processes."""
        roles = {"main": self.process.pid}
        for pid, (parent, _, line) in processes().items():
            if parent == self.process.pid and line.startswith("fumehood-"):
                roles[line.split()[0].split("-")[1]] = pid
        return roles

    def around(self, session_id):
        """What else may happen to a session while calls run in it."""
        what = self.rng.choice([
            ("session_close", {}), ("session_list", None), ("artifact_list", {}),
            ("artifact_upload", {"path": "a/b", "content": "x" * 100000}), ("nothing", {}), ("nothing", {})])
        if what[0] != "nothing":
            arguments = {} if what[1] is None else {"session_id": session_id, **what[1]}
            self.send("tools/call", name=what[0], arguments=arguments)

    def warm_up(self):
        """Until a run was in a copy of an interpreter, or 50 were not."""
        for _ in range(50):
            asked = self.send("tools/call", name="run_code", arguments={"language": "python", "code": "1"})
            if not until(lambda: self.pump(0.002) or asked in self.replies):
                return
            if self.replies[asked].get("result", {}).get("structuredContent", {}).get("path") == "warm":
                self.warm = True
                return

    def kill_inside(self):
        """Somebody kills what the server has started: bwrap, a guest, an interpreter, a copy of it, a program."""
        known = processes()
        below = {pid for pid, (parent, _, line) in known.items() if parent == self.process.pid}
        inside = set()
        while below:
            below = {pid for pid, (parent, _, line) in known.items() if parent in below}
            inside |= below
        if inside:
            try:
                os.kill(self.rng.choice(sorted(inside)), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def play(self):
        self.send("initialize", protocolVersion="2025-11-25", capabilities={},
                  clientInfo={"name": "fault", "version": "1"})
        if self.rng.random() < 0.4:
            self.warm_up()
        calls = []
        for _ in range(self.rng.randrange(0, 6)):
            language, code = self.rng.choice(PROGRAMS)
            arguments = {"language": language, "code": code}
            if self.rng.random() < 0.3:
                self.send("tools/call", name="session_create", arguments={})
                self.pump(self.rng.random() * 0.1)
            sessions = self.told("session_id")
            if sessions and self.rng.random() < 0.7:
                arguments["session_id"] = self.rng.choice(sessions)
                self.around(arguments["session_id"])
            if self.rng.random() < 0.5:
                arguments["timeout_ms"] = self.rng.choice([1, 100, 150, 250])
            calls.append(self.send("tools/call", name="run_code", arguments=arguments))
            if self.rng.random() < 0.3:
                self.pump(self.rng.random() * 0.03)
            if self.rng.random() < 0.25:
                self.send("notifications/cancelled", requestId=self.rng.choice(calls))
            if self.rng.random() < 0.1:
                self.kill_inside()
        self.pump(self.rng.random() * self.rng.choice([0.002, 0.02, 0.1]))

    def end(self, how):
        """Ends the server; returns how long its first process took to go."""
        roles = self.family() if how.startswith("kill") else {}
        began = time.monotonic()
        if how == "eof":
            self.process.stdin.close()
        elif how in ("sigterm", "sigint"):
            self.process.send_signal(getattr(signal, how.upper()))
        elif how.split()[1] in roles:       # else the server has not got that far: then end by EOF
            os.kill(roles[how.split()[1]], signal.SIGKILL)
        else:
            self.process.stdin.close()
        while self.process.poll() is None and time.monotonic() - began < GONE_SECONDS:
            self.pump(0.005)
        took = time.monotonic() - began
        assert self.process.poll() is not None, f"{how}: the server lives on after {took:.1f} s"
        self.pump(0.001)
        self.process.stdin.close()
        self.process.stdout.close()
        return took

    def told(self, member):
        results = (reply.get("result", {}) for reply in self.replies.values())
        contents = (result.get("structuredContent", {}) for result in results)
        return [content[member] for content in contents if member in content]

    def run_ids(self):
        return self.told("run_id")


def left_processes(uid):
    """Live processes under the uids only this test's servers use."""
    found = []
    for path in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(path) as f:
                text = f.read()
        except OSError:
            continue
        owner = int(text.partition("\nUid:")[2].split(None, 1)[0])
        if owner == uid if uid is not None else UID_BASE <= owner < UID_BASE + UIDS:
            found.append(text)
    return found


def roles(state):
    return {pid: line for pid, (_, _, line) in processes().items() if f"--state={state} " in line}


def audit(binary, state, *what):
    return subprocess.run([binary, "audit", *what, "--state", state, "--json", "--limit", "1000000"],
                          capture_output=True, text=True, check=False)


@pytest.fixture
def place():
    """A folder any user may enter; pytest's own are closed again by the next pytest."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="fumehood-fault-"))
    os.chmod(made, 0o755)
    yield made
    shutil.rmtree(made)


def check_record(binary, state, told):
    verdict = audit(binary, state, "verify")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    runs = {}
    for line in audit(binary, state, "list").stdout.splitlines():
        row = json.loads(line)
        runs[row["run_id"]] = row
    missing = [run for run in told if run not in runs]
    assert not missing, f"runs without a record: {missing}"
    return runs


@pytest.mark.parametrize("uid", [None, USER] if os.geteuid() == 0 else [os.geteuid()])
def test_random_interleavings_leave_nothing_behind(uid, place):
    if os.geteuid() == uid:
        uid = None
    binary = str(place / "fumehood")
    subprocess.run(["cp", BINARY, binary], check=True)
    for bwrap in (os.path.join(os.path.dirname(BINARY), p) for p in ("deps/bin", "../deps/bin")):
        if os.path.exists(bwrap + "/bwrap"):
            os.makedirs(place / "deps" / "bin", exist_ok=True)
            subprocess.run(["cp", bwrap + "/bwrap", str(place / "deps/bin/bwrap")], check=True)
            break
    home = place / "home"
    home.mkdir()
    if uid is not None:
        os.chown(home, uid, uid)
    state = str(home / "state")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "FUMEHOOD_UID_BASE": str(UID_BASE)}
    mounts = open("/proc/self/mounts").read()
    rng, told, killed, warm = random.Random(SEED), set(), [], 0
    print(f"\nFAULT_SEED={SEED}")
    for number in range(ROUNDS // 2):
        how = rng.choice(ENDS)
        here = Round(rng, uid, state, env, binary)
        main = started(here.process.pid)
        here.play()
        warm += here.warm
        took = here.end(how)
        told.update(here.run_ids())
        if how == "kill main":
            # sweeps while what was left of this one is still at it
            Round(rng, uid, state, env, binary).end("eof")
        note = f"round {number}, {how}, seed {SEED}"
        assert until(lambda: not left_processes(uid)), f"{note}: {left_processes(uid)}"
        if how == "eof":
            assert took < 2.0, f"{note}: it took {took:.2f} s to end"
        if how == "kill main":
            killed.append(main)
        assert until(lambda: not roles(state)), f"{note}: {roles(state)}"
        if how != "kill main":
            assert until(lambda: not cgroups(main)), f"{note}: {cgroups(main)}"
    # one more start and end in order: it sweeps what killed first processes left
    last = Round(rng, uid, state, env, binary)
    last_main = started(last.process.pid)
    last.send("tools/call", name="run_code", arguments={"language": "bash", "code": "echo hi"})
    until(lambda: last.pump(0.01) or last.replies)
    assert uid is not None or os.geteuid() != 0 or cgroups(last_main), "where they would be"
    last.end("eof")
    told.update(last.run_ids())
    for main in [*killed, last_main]:
        assert until(lambda main=main: not cgroups(main)), cgroups(main)
    assert open("/proc/self/mounts").read() == mounts
    assert sorted(os.listdir(state)) in (["audit.db", "lock"],
                                         ["audit.db", "audit.db-shm", "audit.db-wal", "lock"])
    runs = check_record(binary, state, told)
    open_intents = [run for run, row in runs.items() if row.get("status") in (None, "", "running")]
    assert not open_intents, f"intents never closed: {open_intents}"
    assert warm or ROUNDS < 50, "no round had copies of an interpreter"
    print(f"{ROUNDS // 2} rounds, {warm} with copies, {len(told)} runs told, {len(runs)} recorded")
