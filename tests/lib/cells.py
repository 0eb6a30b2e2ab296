"""Copies of interpreters that wait for runs (`--warm-cells`): servers without any, and which processes are of whose run.

A sandbox whose interpreter is copied stays when its runs have ended. So a test that counts what a server has
takes one that keeps none (NONE); that nothing of a run stays where copies are kept is seen by Watch.
"""
import json
import os
import time

from processes import offspring

NONE = ["--warm-cells", "0"]
NAME = "flow-run"
SECONDS = 20


def named(code):
    """A Python program that does that under a name by which its process is found."""
    return f"import ctypes\nctypes.CDLL(None).prctl(15, {NAME.encode()!r})\n{code}"


def until(what, condition):
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def warm_up(run):
    """Has the server make copies: run() runs any program in Python, and gives its result."""
    end = time.monotonic() + SECONDS
    while (result := run())["path"] != "warm":
        assert time.monotonic() < end, f"no run was given a copy of an interpreter: {result}"
        time.sleep(0.02)


def with_copies(server, language="python"):
    """That server of `mcp`, when it has been greeted and has made copies of that language's interpreter."""
    try:
        server.initialize()
        server.tools()
        warm_up(lambda: server.call("run_code", {"language": language, "code": "1"}))
    except BaseException:
        server.discard()
        raise
    return server


def nothing_is_amiss(server):
    """Nothing of a copy has gone wrong, by the server's own words."""
    for name in ("out_of_order", "zygote_broken", "cell_failed", "cell_not_made", "no_zygote", "no_cells"):
        assert name not in server.stderr(), server.stderr()


def warm_up_by_hand(server, ask):
    """The same of a server whose stdin and stdout are pipes; ask: a message that has it run a program."""
    def run():
        server.stdin.write(json.dumps(ask).encode() + b"\n")
        server.stdin.flush()
        while (message := json.loads(server.stdout.readline())).get("id") != ask["id"]:
            pass
        return message["result"]["structuredContent"]

    warm_up(run)


def _facts(pid):
    """(its name, its parent, its pid namespace), or None: it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.split(":", 1) for line in file if ":" in line)
        return status["Name"].strip(), int(status["PPid"]), os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


class Watch:
    """To be made before the runs begin. pid: the server's; warm: they are to be in copies, and it has been warmed up; else
    each in a sandbox of its own."""

    def __init__(self, pid, warm):
        self.pid, self.warm = pid, warm
        self.before = set(offspring(pid))

    def begun(self, runs=1):
        """All processes of so many runs of programs that are `named`, once these run."""
        def programs():
            family = {pid: facts for pid in offspring(self.pid) if (facts := _facts(pid))}
            found = [pid for pid, facts in family.items() if facts[0] == NAME]
            # a child that has just been started has its parent's name until the very end of its exec
            return (family, found) if len(found) == runs else None

        family, found = until("the run does not start", programs)
        assert len(found) == runs, found
        copied = [family[pid][1] in self.before for pid in found]
        assert copied == [self.warm] * runs, "in a sandbox of its own: " + str(copied)
        if not self.warm:
            return set(offspring(self.pid)) - self.before
        rooms = {family[pid][2] for pid in found}
        assert len(rooms) == runs
        return {pid for pid, facts in family.items() if facts[2] in rooms}


def cgroups(pid):
    """Folders of control groups that carry the name of the server with that pid."""
    found = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, name) for name in folders
                  if name.startswith("fumehood-") and f"-{pid}-" in name]
    return found
