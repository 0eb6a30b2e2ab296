"""Tests of fumehood on a host with cgroup v2 alone and a real systemd; run by root in the guest.

A *seat* is one way to start the server: as a system service, as an ordinary user in a delegated
scope, ... Each seat's server has a control group of its own whose path is known beforehand, so the
tests see from outside what the server says about itself: who is in the group, what is left below
it, what the kernel counted. Output is TAP; the "host" tests come first and prove that the guest
offers what the others rely on, without fumehood.
"""
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

import guest_units
from guest import (
    ALICE, ANSWER_S, CGROUP, FUMEHOOD, PAYLOAD, SETTLE_S, as_alice, command_of, describe, event,
    groups_below, ok, pids_below, plan, read, run, say, until,
)  # fmt: skip

# --- seats ----------------------------------------------------------------------------------------


def user_unit(name):
    manager = f"user.slice/user-{ALICE.pw_uid}.slice/user@{ALICE.pw_uid}.service"
    return CGROUP / manager / "app.slice" / name


class Seat:
    def __init__(self, name, wrap, group=None, uid=0):
        self.name = name
        self.wrap = wrap  # (unit name, argv) -> argv
        self.group = group  # unit name -> cgroup folder, None: no group of its own
        self.uid = uid
        self.used = 0

    def start(self, argv):
        """(argv to execute, cgroup folder) for one more server in this seat."""
        self.used += 1
        unit = f"fh{self.used}-{self.name.replace(' ', '-')}"
        return self.wrap(unit, [str(a) for a in argv]), self.group and self.group(unit)


def service(unit, argv, *more):
    return ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", f"--unit={unit}", *more,
            "--", *argv]  # fmt: skip


def scope(unit, argv, *more):
    return ["systemd-run", "--quiet", "--collect", "--scope", f"--unit={unit}", *more,
            "--", *argv]  # fmt: skip


def by_hand(unit, argv):
    """Delegation as the kernel documents it, without systemd: nobody but fumehood tidies up."""
    group = CGROUP / unit
    group.mkdir()
    for name in (".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
        os.chown(group / name, ALICE.pw_uid, ALICE.pw_gid)
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    return ["sh", "-c", enter, str(group)] + as_alice(argv)


def login(user):
    return lambda unit, argv: ["su", "--login", user, "--command", "exec " + shlex.join(argv)]


DELEGATE = "--property=Delegate=yes"
DELEGATED = [
    Seat(
        "root system service",
        lambda unit, argv: service(unit, argv, DELEGATE),
        lambda unit: CGROUP / "system.slice" / f"{unit}.service",
    ),
    Seat(
        "system service of a user",
        lambda unit, argv: service(unit, argv, DELEGATE, "--uid=alice"),
        lambda unit: CGROUP / "system.slice" / f"{unit}.service",
        ALICE.pw_uid,
    ),
    Seat(
        "user scope",
        lambda unit, argv: as_alice(scope(unit, argv, "--user", DELEGATE)),
        lambda unit: user_unit(f"{unit}.scope"),
        ALICE.pw_uid,
    ),
    Seat(
        "user service",
        lambda unit, argv: as_alice(service(unit, argv, "--user", DELEGATE)),
        lambda unit: user_unit(f"{unit}.service"),
        ALICE.pw_uid,
    ),
    Seat("group delegated by hand", by_hand, lambda unit: CGROUP / unit, ALICE.pw_uid),
]
RELOADED = DELEGATED[0], DELEGATED[2]  # one for each kind of manager
PLAIN_SCOPE = Seat(
    "user scope not delegated",
    lambda unit, argv: as_alice(scope(unit, argv, "--user")),
    lambda unit: user_unit(f"{unit}.scope"),
    ALICE.pw_uid,
)
ROOT_LOGIN = Seat("root login", login("root"))
USER_LOGIN = Seat("user login", login("alice"), uid=ALICE.pw_uid)


# --- the guest itself -----------------------------------------------------------------------------

# Run in a seat in the server's place: does what a delegated server must be able to do.
DELEGATION_PROBE = r"""
import ctypes, os, subprocess, sys, time
base = "/sys/fs/cgroup" + next(l[3:] for l in open("/proc/self/cgroup").read().splitlines()
                               if l.startswith("0::"))
def put(path, text):
    with open(base + path, "w") as f:
        f.write(text)
os.mkdir(base + "/main")
put("/main/cgroup.procs", "0")          # no process may stay where controllers are handed on
put("/cgroup.subtree_control", "+cpu +memory +pids")
os.mkdir(base + "/run")
put("/run/memory.max", "67108864")
put("/run/memory.swap.max", "0")
put("/run/memory.oom.group", "1")
put("/run/pids.max", "16")
put("/run/cpu.max", "100000 100000")
group = os.open(base + "/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
# struct clone_args: flags, ..., exit_signal at 4, ..., cgroup at 10
args = (ctypes.c_uint64 * 11)()
args[0], args[4], args[10] = 0x200000000, 17, group
pid = ctypes.CDLL(None, use_errno=True).syscall(435, ctypes.byref(args), 88)
if pid == 0:
    os._exit(0 if open("/proc/self/cgroup").read().rstrip().endswith("/run") else 9)
print("clone", pid and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid > 0 else
      ctypes.get_errno())
start = time.monotonic()
child = subprocess.Popen(["sleep", "1000"])
put("/run/cgroup.procs", str(child.pid))
print("move", round((time.monotonic() - start) * 1000, 1), "ms with the start")
put("/run/cgroup.kill", "1")
print("kill", child.wait())
print("peak", int(open(base + "/run/memory.peak").read()) > 0)
os.rmdir(base + "/run")
print("done")
"""


def tests_host():
    words = read(CGROUP / "cgroup.controllers").split()
    ok({"memory", "pids", "cpu"} <= set(words), "host: cgroup v2 has memory, pids, cpu", words)
    mounts = read("/proc/self/mountinfo")
    ok(" - cgroup " not in mounts, "host: no cgroup v1", mounts)
    for seat in DELEGATED:
        argv, group = seat.start(["/usr/bin/python3", "-c", DELEGATION_PROBE])
        done = run(argv)
        lines = done.stdout.splitlines()
        good = {"clone 0", "kill -9", "peak True", "done"} <= set(lines)
        ok(good, f"host: {seat.name}: hands on controllers, clones into a group, kills it",
           done.stdout)  # fmt: skip
        say("#   " + "; ".join(lines))
    for seat in (USER_LOGIN, PLAIN_SCOPE):
        argv, _ = seat.start(["/usr/bin/python3", "-c", DELEGATION_PROBE])
        done = run(argv)
        ok(done.returncode and "done" not in done.stdout.split(),
           f"host: {seat.name}: the same fails (control)", done.stdout)  # fmt: skip
    for path in (PAYLOAD / "build/deps/bin/bwrap", Path("/usr/bin/bwrap")):
        if path.exists():
            break
    start = time.monotonic()
    done = run(as_alice([str(path), *"--unshare-all --ro-bind / / --proc /proc true".split()]))
    ok(done.returncode == 0, "host: bwrap runs as an ordinary user", done.stdout)
    say(f"#   {path}: {(time.monotonic() - start) * 1000:.0f} ms")


# --- the server -----------------------------------------------------------------------------------


class Server:
    """One `fumehood stdio` in a seat: requests as JSON lines, answers by id.

    Unless it is to be warm it keeps nothing ready: then what is below its group is its runs'.
    """

    def __init__(self, seat, warm=False):
        state = f"/tmp/state-{seat.name.replace(' ', '-')}-{seat.used}"
        argv = [FUMEHOOD, "stdio", "--state", state]
        argv, self.group = seat.start(argv if warm else [*argv, "--warm-cells", "0"])
        self.path = "warm" if warm else "cold"
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.answers = queue.Queue()
        self.complaints = []
        self.last_id = 0
        for reader in (self._read_answers, self._read_complaints):
            threading.Thread(target=reader, daemon=True).start()
        self.request("initialize", protocolVersion="2025-06-18", capabilities={},
                     clientInfo={"name": "guest_tests", "version": "1"})  # fmt: skip
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        if warm:
            until(lambda: self.run_code("python", "pass")["path"] == "warm", ANSWER_S)

    def _read_answers(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put(None)

    def _read_complaints(self):
        for line in self.process.stderr:
            self.complaints.append(line.decode(errors="replace").rstrip())

    def _send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def send(self, method, **params):
        self.last_id += 1
        self._send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
        return self.last_id

    def wait(self, request_id, seconds=ANSWER_S):
        end = time.monotonic() + seconds
        while True:
            message = self.answers.get(timeout=max(0.01, end - time.monotonic()))
            if message is None:
                raise EOFError("the server closed its output:\n" + self.log())
            if message.get("id") == request_id:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message["result"]

    def request(self, method, **params):
        return self.wait(self.send(method, **params))

    def start_code(self, language, code, **more):
        # a slow machine is not what is tested: time enough for all but what asks for less
        arguments = {"language": language, "code": code, "timeout_ms": 40000, **more}
        return self.send("tools/call", name="run_code", arguments=arguments)

    def run_code(self, language, code, **more):
        return self.wait(self.start_code(language, code, **more))["structuredContent"]

    def info(self):
        return self.request("tools/call", name="sandbox_info", arguments={})["structuredContent"]

    def processes(self, role):
        return [p for p in pids_below(self.group) if re.search(rf"\b{role}\b", command_of(p))]

    def log(self):
        return "\n".join(self.complaints[-30:])

    def close(self):
        """End of input; seconds until the process was gone, or None."""
        start = time.monotonic()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(SETTLE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None
        return time.monotonic() - start


MEMORY_BOMB = "b = []\nwhile True: b.append(bytearray(b'x') * (8 << 20))\n"
FORK_BOMB = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
except OSError as e:
    print("made", made, e.strerror, flush=True)
"""
DAEMON = """
import os, time
for i in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(1000)
        os._exit(0)
print("out", flush=True)
"""
FOREVER = "import time\nwhile True: time.sleep(1000)\n"


def tests_limits(server, name):
    # else all that is said of an empty group below would be true of a wrong path too
    ok(len(pids_below(server.group)) >= 3, f"{name}: the server is in its group", server.group)
    info = server.info()["isolation"]
    ok(info["cgroup"] == "v2", f"{name}: sandbox_info says cgroup v2", info)
    about = [d for d in info["degraded"]
             if re.search(r"cgroup|limit|memory|pids|cpu|delegat", d, re.I)]  # fmt: skip
    ok(not about, f"{name}: cgroups degrade nothing", info)

    hello = server.run_code("python", "print('hello world')")
    ok(hello["status"] == "exited" and hello["stdout"] == "hello world\n", f"{name}: hello world",
       hello)  # fmt: skip
    ok(hello["path"] == server.path, f"{name}: the run is {server.path}", hello)
    ok(hello["limits"] == "enforced", f"{name}: limits are enforced", hello)
    busy = server.run_code("python", "x = bytearray(32 << 20)\nfor i in range(1 << 20): pass\n")
    ok(busy.get("cpu_ms", 0) > 0, f"{name}: cpu_ms is counted", busy)
    ok(busy.get("peak_memory_bytes", 0) > 32 << 20, f"{name}: peak memory is counted", busy)

    before = event(server.group, "memory.events", "oom_kill")
    bomb = server.run_code("python", MEMORY_BOMB)
    killed = event(server.group, "memory.events", "oom_kill") - before
    ok(bomb["status"] == "out_of_memory", f"{name}: a memory bomb is out_of_memory", bomb)
    ok("memory" in bomb["limits_hit"], f"{name}: ... and hit the memory limit", bomb)
    ok(bomb["path"] == server.path, f"{name}: ... and is {server.path}", bomb)
    ok(killed > 0, f"{name}: ... and the kernel says so too", read(server.group / "memory.events"))

    bomb = server.run_code("python", FORK_BOMB)
    made = re.search(r"made (\d+)", bomb["stdout"])
    ok(made and 8 < int(made[1]) <= 64, f"{name}: a fork bomb is bounded", bomb)
    ok("processes" in bomb["limits_hit"], f"{name}: ... and hit the limit of processes", bomb)
    again = server.run_code("bash", "echo after")
    ok(again["stdout"] == "after\n", f"{name}: the server lives on after the bombs", again)


def tests_ends(server, name):
    before, groups = set(pids_below(server.group)), groups_below(server.group)

    def left():
        return sorted(set(pids_below(server.group)) - before)

    late = server.run_code("python", DAEMON + FOREVER, timeout_ms=2000)
    ok(late["status"] == "timeout" and late["stdout"] == "out\n", f"{name}: timeout", late)
    until(lambda: not left())
    ok(not left(), f"{name}: a timeout ends sessions of their own too", describe(left()))
    gone = server.run_code("python", DAEMON)
    ok(gone["status"] == "exited", f"{name}: a program that leaves daemons exits", gone)
    until(lambda: not left())
    ok(not left(), f"{name}: its daemons are gone", describe(left()))
    until(lambda: groups_below(server.group) == groups)
    ok(groups_below(server.group) == groups, f"{name}: no cgroup is left by the runs",
       (groups, groups_below(server.group)))  # fmt: skip


def tests_reload(server, name):
    """A manager that re-reads its units takes controllers back where it did not delegate them."""
    running = server.start_code("python", "import time\ntime.sleep(3)\n" + MEMORY_BOMB)
    until(lambda: any("main.py" in command_of(p) for p in all_processes()))
    run(["systemctl", "daemon-reload"])
    run(as_alice(["systemctl", "--user", "daemon-reload"]))
    bomb = server.wait(running)["structuredContent"]
    ok(bomb["status"] == "out_of_memory", f"{name}: limits outlive a daemon-reload", bomb)
    bomb = server.run_code("python", MEMORY_BOMB)
    ok(bomb["status"] == "out_of_memory", f"{name}: limits hold in runs after it", bomb)


# Under a name by which the processes of the run are told from those that wait for others.
NAMED = "import ctypes\nctypes.CDLL(None).prctl(15, b'vm-run')\n"


def named():
    return [p for p in all_processes() if read(f"/proc/{p}/comm") == "vm-run\n"]


def tests_warm_ends(server, name):
    """Where interpreters wait for runs, and whatever tells the end of one."""
    running = server.start_code("python", NAMED + DAEMON + FOREVER, timeout_ms=4000)
    ok(until(lambda: len(named()) >= 4), f"{name}: a run has processes", describe(named()))
    late = server.wait(running)["structuredContent"]
    ok((late["status"], late["path"]) == ("timeout", "warm"), f"{name}: timeout", late)
    until(lambda: not named())
    ok(not named(), f"{name}: a timeout ends them all", describe(named()))
    gone = server.run_code("python", NAMED + DAEMON)
    ok((gone["status"], gone["path"]) == ("exited", "warm"), f"{name}: daemons are left", gone)
    until(lambda: not named())
    ok(not named(), f"{name}: and are gone", describe(named()))


def all_processes():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def strays():
    """Sandboxes of anybody: what a closed server must not leave anywhere on the machine."""
    return [p for p in all_processes() if re.search(r"bwrap|main\.py|main\.sh", command_of(p))]


def tests_close(server, name):
    running = server.start_code("python", FOREVER)
    until(lambda: any("main.py" in command_of(p) for p in pids_below(server.group)))
    ok(pids_below(server.group) and running, f"{name}: a run is under way at the end of input")
    took = server.close()
    ok(took is not None and took < 5, f"{name}: the server leaves at the end of input",
       f"{took} s\n{server.log()}")  # fmt: skip
    until(lambda: not pids_below(server.group))
    ok(not pids_below(server.group), f"{name}: no process is left",
       describe(pids_below(server.group)))  # fmt: skip
    until(lambda: not groups_below(server.group))
    ok(not groups_below(server.group), f"{name}: no cgroup is left below the server's",
       groups_below(server.group))  # fmt: skip


def tests_keeper_killed(seat, name):
    server = Server(seat)
    running = server.start_code("python", DAEMON + FOREVER)
    until(lambda: any("main.py" in command_of(p) for p in pids_below(server.group)), ANSWER_S)
    keepers = server.processes("keeper")
    inside = [p for p in pids_below(server.group) if re.search("main.py", command_of(p))]
    if not ok(len(keepers) == 1 and inside, f"{name}: one keeper, one run",
              describe(pids_below(server.group))):  # fmt: skip
        server.close()
        return
    os.kill(keepers[0], signal.SIGKILL)
    try:
        answer = server.wait(running)
        status = answer.get("structuredContent", {}).get("status", "lost")
        ok(answer.get("isError") or status == "lost", f"{name}: the run is lost, not made up",
           answer)  # fmt: skip
    except (EOFError, RuntimeError) as e:
        ok(True, f"{name}: the run is lost, not made up ({type(e).__name__})")
    until(lambda: not any(os.path.exists(f"/proc/{p}") for p in inside))
    ok(not [p for p in inside if os.path.exists(f"/proc/{p}")],
       f"{name}: no process survives a killed keeper", describe(inside))  # fmt: skip
    server.close()
    until(lambda: not pids_below(server.group) and not groups_below(server.group))
    ok(not pids_below(server.group), f"{name}: nothing runs after the server has left",
       describe(pids_below(server.group)))  # fmt: skip
    ok(not groups_below(server.group), f"{name}: the parent swept the keeper's cgroups",
       groups_below(server.group))  # fmt: skip


def tests_seat(seat):
    server = Server(seat)
    try:
        tests_limits(server, seat.name)
        tests_ends(server, seat.name)
        if seat in RELOADED:
            tests_reload(server, seat.name)
        tests_close(server, seat.name)
    finally:
        server.close()
    tests_keeper_killed(seat, seat.name)
    server = Server(seat, warm=True)
    try:
        tests_limits(server, seat.name + ", warm")
        tests_warm_ends(server, seat.name + ", warm")
        tests_close(server, seat.name + ", warm")
    finally:
        server.close()


def tests_root_login(seat):
    """Root shares its session's group with its shell, so it cannot hand on that group."""
    server = Server(seat)
    try:
        info = server.info()["isolation"]
        ok(info["cgroup"] == "v2", f"{seat.name}: sandbox_info says cgroup v2", info)
        tests_reload(server, seat.name)
    finally:
        server.close()
    until(lambda: "fumehood-" not in str(groups_below(CGROUP)))
    left = [group for group in groups_below(CGROUP) if "fumehood-" in group]
    ok(not left, f"{seat.name}: no cgroup is left anywhere", left)


HOG = "b = bytearray(b'x') * (400 << 20)\nprint('got it')\n"


def tests_plain_scope(seat):
    """A scope of the user's manager that was not delegated looks as if it were, and is not.

    Its folder belongs to the user, and a delegated scope beside it gives it the cpu controller
    too. But the manager stops the unit at the first OOM kill in it (OOMPolicy=stop; delegated
    ones continue), and takes the controllers back when it re-reads its units: limits vanish.
    """
    beside = subprocess.Popen(DELEGATED[2].start(["sleep", "infinity"])[0])
    shown = user_unit(f"fh{DELEGATED[2].used}-user-scope.scope")
    until(lambda: "cpu" in read(shown / "cgroup.controllers"))
    server = Server(seat)
    try:
        first = server.run_code("python", HOG)
        ok("got it" not in first["stdout"] or first["limits"] == "degraded",
           f"{seat.name}: no limit is claimed that does not hold", first)  # fmt: skip
        running = server.start_code("python", "import time\ntime.sleep(3)\n" + HOG)
        until(lambda: any("main.py" in command_of(p) for p in all_processes()))
        run(as_alice(["systemctl", "--user", "daemon-reload"]))
        # the change is carried out with the next unit that starts
        run(as_alice(scope("fh-next", ["true"], "--user")))
        late = server.wait(running)["structuredContent"]
        ok("got it" not in late["stdout"] or late["limits"] == "degraded",
           f"{seat.name}: nor when it is lost during the run", late)  # fmt: skip
        after = server.wait(server.start_code("python", HOG))
        ok(after.get("isError") or "got it" not in after["structuredContent"]["stdout"]
           or after["structuredContent"]["limits"] == "degraded",
           f"{seat.name}: nor after it is lost", after)  # fmt: skip
    finally:
        server.close()
        beside.terminate()
        beside.wait()


def tests_user_login(seat):
    server = Server(seat)
    try:
        info = server.info()["isolation"]
        ok(info["cgroup"] == "none", f"{seat.name}: sandbox_info says there is no cgroup", info)
        ok(info["degraded"], f"{seat.name}: and that it is degraded", info)
        hello = server.run_code("python", "print('hello world')")
        ok(hello["stdout"] == "hello world\n", f"{seat.name}: hello world", hello)
        ok(hello["limits"] == "degraded", f"{seat.name}: limits are degraded", hello)
        late = server.run_code("python", DAEMON + FOREVER, timeout_ms=2000)
        ok(late["status"] == "timeout", f"{seat.name}: timeout", late)
        until(lambda: not strays())
        ok(not strays(), f"{seat.name}: a timeout ends everything", describe(strays()))
    finally:
        server.close()
    server = Server(seat, warm=True)
    try:
        tests_warm_ends(server, seat.name + ", warm")
        bomb = server.run_code("python", FORK_BOMB)
        ok("made 64 " in bomb["stdout"] and bomb["path"] == "warm",
           f"{seat.name}, warm: a fork bomb is bounded, without a cgroup", bomb)  # fmt: skip
    finally:
        server.close()
    until(lambda: not strays())
    ok(not strays(), f"{seat.name}, warm: nothing is left", describe(strays()))
    argv, _ = seat.start([FUMEHOOD, "doctor"])
    done = run(argv)
    ok("Delegate=yes" in done.stdout, f"{seat.name}: the doctor says how to get limits",
       done.stdout)  # fmt: skip


def guarded(test, *args):
    """A test that breaks off is a failure, and the others go on."""
    try:
        test(*args)
    except Exception as e:  # whatever it is, it ends this group of tests only
        where = args[0].name if args else test.__module__
        ok(False, f"{where}: {test.__name__} broke off", f"{type(e).__name__}: {e}")


def main():
    start = time.monotonic()
    say(f"# power-on to tests: {read('/proc/uptime').split()[0]} s, Linux {os.uname().release}")
    # the user's manager, as at the first log-in; stays, so that no session is needed
    run(["loginctl", "enable-linger", "alice"])
    until(lambda: os.path.exists(f"/run/user/{ALICE.pw_uid}/systemd/private"), ANSWER_S)
    guarded(tests_host)
    done = run([str(FUMEHOOD), "version"])
    ok(done.returncode == 0, "the binary starts in the guest", done.stdout)
    for seat in DELEGATED:
        guarded(tests_seat, seat)
    guarded(tests_root_login, ROOT_LOGIN)
    guarded(tests_user_login, USER_LOGIN)
    guarded(tests_plain_scope, PLAIN_SCOPE)
    for test in guest_units.TESTS:
        guarded(test)
    ok(not strays(), "no sandbox is left on the machine", describe(strays()))
    say(f"# tests took {time.monotonic() - start:.0f} s")
    plan()


if __name__ == "__main__":
    main()
