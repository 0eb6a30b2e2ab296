"""Copies of interpreters that wait for runs: made in time, ended with whatever they belong to, lost without losing a run."""
import collections
import os
import resource
import signal
import subprocess

import cells
import mcp
import pytest
from mcp_http import HttpServer, call, modern
from processes import alive, gone, offspring

FOREVER = {"language": "python", "code": cells.named("while True: pass"), "timeout_ms": 30000}


def names(pid):
    """pid -> name of every process below it."""
    found = {}
    for one in offspring(pid):
        try:
            with open(f"/proc/{one}/comm", encoding="utf-8") as file:
                found[one] = file.read().strip()
        except OSError:
            continue
    return found


def kept(pid):
    """{"bwrap": pid, "guest": pid, "zygote": pid} of the one sandbox whose interpreter is copied."""
    found = names(pid)
    bwrap, = [one for one, name in found.items() if name == "bwrap"]
    guest, = children_of(bwrap)
    zygote, = [one for one in children_of(guest) if found.get(one) == "python3"]
    return {"bwrap": bwrap, "guest": guest, "zygote": zygote}


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(one) for one in file.read().split()]


def warmed(server):
    """Once what was there before has gone: a sandbox is taken down behind the answers."""
    cells.warm_up(lambda: server.run_code(code="1"))
    cells.until("more than one sandbox", lambda: list(names(server.proc.pid).values()).count("bwrap") == 1)
    return kept(server.proc.pid)


def test_without_any_every_run_has_a_sandbox_of_its_own():
    with mcp.Server(options=cells.NONE) as server:
        server.initialize()
        assert {server.run_code(code="1")["path"] for _ in range(30)} == {"cold"}
        cells.until("a sandbox is left", lambda: set(names(server.proc.pid).values()) == {"fumehood"})


@pytest.mark.parametrize("more", [{"args": ["x"]}, {"env": {"X": "1"}}, {"files": [{"path": "f", "content": "x"}]}])
def test_what_is_laid_out_for_a_program_is_not_for_a_copy(warm, more):
    assert warm.run_code(code="1", **more)["path"] == "cold"
    assert warm.run_code(code="1")["path"] == "warm"


@pytest.fixture(scope="module")
def warm():
    with cells.with_copies(mcp.Server()) as server:
        yield server


def test_a_command_makes_none(tmp_path):
    """Of one run nothing is made ready for a next: there is one sandbox, its own."""
    with subprocess.Popen([mcp.BINARY, "run", "--state", str(tmp_path / "state"), "--language", "python", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        run.stdin.write(cells.named("import time\nprint('up', flush=True)\nwhile True: time.sleep(1)").encode())
        run.stdin.close()
        assert run.stdout.readline() == b"up\n"
        family = names(run.pid)
        assert collections.Counter(family.values())["bwrap"] == 1
        assert cells.NAME in family.values()
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) != 0
        assert gone(family)


# --- their number ---------------------------------------------------------------------------------

def snapshot(server):
    """All that could grow: processes, descriptors of those that stay, control groups. None: one has ended meanwhile."""
    found = names(server.proc.pid)
    stay = [pid for pid, name in found.items() if name in ("fumehood", "guest", "bwrap")]
    try:
        descriptors = [len(os.listdir(f"/proc/{pid}/fd")) for pid in sorted(stay)]
    except FileNotFoundError:
        return None
    return collections.Counter(found.values()), descriptors, len(cells.cgroups(server.proc.pid))


IDLE = collections.Counter(fumehood=3, bwrap=1, guest=1, mounts=1, room=1, python3=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the descriptors of all")
def test_a_thousand_runs_leave_nothing_behind():
    """With one copy that waits at a time, what there is between two runs is always the same. On the way
    the interpreter is started anew, and there too nothing is left."""
    with cells.with_copies(mcp.Server(options=["--warm-cells", "1"])) as server:
        def burst(runs):
            asked = [server.start("run_code", {"language": "python", "code": f"print({n})"}) for n in range(runs)]
            answers = [server.finish(ident) for ident in asked]
            assert [answer["stdout"] for answer in answers] == [f"{n}\n" for n in range(runs)]
            return collections.Counter(answer["path"] for answer in answers)

        def settled(most):
            """Between two runs: the sandbox and a copy that waits, which nobody is at work on."""
            found, descriptors, groups = snapshot(server) or (None, [], 0)
            return found == IDLE and (most is None or sum(descriptors) <= most) and (sum(descriptors), groups)

        burst(20)
        cells.until("it does not settle", lambda: settled(None))
        before, groups = min(filter(None, (settled(None) for _ in range(100))))
        first = kept(server.proc.pid)
        paths = collections.Counter()
        for _ in range(55):
            paths += burst(20)
        assert paths["warm"] > 1000, paths
        cells.until("the first one goes on", lambda: not any(map(alive, first.values())))
        _, after = cells.until(f"more than {before}, {snapshot(server)}", lambda: settled(before))
        assert after <= groups + 4 * 8, "more than are kept for the next"


def test_few_open_files_are_left_to_the_runs():
    """However many callers have copies: the server never needs more open files than it may have."""
    few = (800, 800)
    with HttpServer(auth=True, start=lambda *words, **how: subprocess.Popen(
            *words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few), **how)) as server:
        code = "import time\ntime.sleep(0.1)"
        for key in [server.key(f"k{n}") for n in range(5)]:
            for _ in range(2):
                calls = [server.start(modern("tools/call", call(code), n), authorization=key) for n in range(12)]
                for x in calls:
                    assert x.messages()[-1]["result"]["structuredContent"]["status"] == "exited"
                    x.close()
        assert "event=fewer_warm_cells open_files=800" in server.stderr()


# --- what is killed -------------------------------------------------------------------------------

@pytest.mark.parametrize("victim", ["zygote", "guest", "bwrap"])
def test_when_it_is_killed_its_runs_are_lost_and_the_next_is_not(victim):
    with cells.with_copies(mcp.Server()) as server:
        everything = cells.Watch(server.proc.pid, warm=True)
        ident = server.start("run_code", FOREVER)
        pids = everything.begun()
        sandbox = warmed(server)
        os.kill(sandbox[victim], signal.SIGKILL)
        lost = server.finish(ident)
        assert (lost["status"], lost["path"]) == ("lost", "warm") and "exit_code" not in lost, lost
        assert gone([*pids, *sandbox.values()])
        assert server.run_code(code="print(1)")["stdout"] == "1\n"
        assert not set(warmed(server).values()) & set(sandbox.values())


def test_a_copy_that_is_killed_while_it_waits_is_missed_by_nobody(warm):
    watch = cells.Watch(warm.proc.pid, warm=True)
    zygote = warmed(warm)["zygote"]
    waiting = [pid for pid in watch.before if pid != zygote and names(warm.proc.pid).get(pid) == "python3"]
    assert waiting
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    assert gone(waiting)
    assert {warm.run_code(code="print(1)")["stdout"] for _ in range(5)} == {"1\n"}
    assert warmed(warm)["zygote"] == zygote


# --- whose they are -------------------------------------------------------------------------------

def test_nobody_has_copies_of_somebody_elses():
    """Each caller's are of a sandbox of its own; where there are many callers, the ones least asked for go."""
    code = cells.named("import time\nprint('on', flush=True)\ntime.sleep(0.5)")
    with HttpServer(auth=True) as server:
        keys = [server.key(f"k{n}") for n in range(10)]

        def run(key, text="1"):
            return server.post(modern("tools/call", call(text)), authorization=key).json["result"]["structuredContent"]

        for key in keys[:2]:
            cells.warm_up(lambda key=key: run(key))
        calls = [server.start(modern("tools/call", call(code), n), authorization=key)
                 for n, key in enumerate([*keys[:2], *keys[:2]])]
        programs = cells.until("they do not run", lambda: len(
            found := [pid for pid, name in names(server.pid).items() if name == cells.NAME]) == 4 and found)
        parents = collections.Counter(parent_of(pid) for pid in programs)
        assert sorted(parents.values()) == [2, 2]
        assert [x.messages()[-1]["result"]["structuredContent"]["path"] for x in calls] == ["warm"] * 4
        for key in keys:
            cells.warm_up(lambda key=key: run(key))
        cells.until("there are more than may be", lambda: 2 <= list(names(server.pid).values()).count("bwrap") <= 8)
        assert run(keys[-1])["path"] == "warm"


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])
