"""growth.py: what a server holds: its own processes, one run, the sandboxes that are ready; and what
it holds more after many calls.

Memory is PSS, in which what processes share is counted once; RSS where PSS is shown to root only, which
is more. Samples are taken while no call is under way, once the processes have stopped changing.
"""
import glob
import os
import re
import time

import programs
import servers
from spawner import Wrong

SETTLE_S, QUIET_S = 10.0, 0.5
WARM_UP = 200       # calls before the first sample: what is made once is there then
SAMPLES = 10
IN_FLIGHT = 8
ROLES = ("main", "front", "keeper", "ledger")
COUNTS = ("fds", "cgroups", "processes", "zombies")
NOTES = ("ready python cells: once is what of their sandbox does not grow with their number (bwrap, guest, zygote, and what "
         "the server itself grew by); PSS shares pages among the processes that are there; growth: of all processes of the server, from after the first calls to the end",)


def state(pid):
    return servers.read_proc(pid, "stat").rpartition(")")[2].split()[0]


def tree(server):
    """pid -> (its parent, name) of all processes of a server that are not zombies, and how many are"""
    found, zombies = {server.process.pid: (0, "fumehood")}, 0
    todo = [server.process.pid]
    while todo:
        parent = todo.pop()
        try:
            below = servers.children(parent)
        except OSError:
            continue        # it has just ended
        for pid in below:
            try:
                if state(pid) == "Z":
                    zombies += 1
                    continue
                found[pid] = parent, servers.read_proc(pid, "comm").strip()
            except OSError:
                continue
            todo.append(pid)
    return found, zombies


def settled(server):
    """tree(), when it has been the same for a while; the last one when it never is"""
    end = time.monotonic() + SETTLE_S
    last, since = None, 0.0
    while time.monotonic() < end:
        now = tree(server)
        if last is None or now[0].keys() != last[0].keys():
            last, since = now, time.monotonic()
        elif time.monotonic() - since > QUIET_S:
            break
        time.sleep(0.02)
    return last


def total_kib(pids):
    """-> {"rss", "pss"} of all; without "pss" where one's is not shown"""
    parts = [servers.memory_kib(pid) for pid in pids]
    return {kind: sum(part[kind] for part in parts) for kind in ("rss", "pss")
            if all(kind in part for part in parts)}


def count_fds(pids):
    """None where they are not shown."""
    try:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
    except PermissionError:
        return None


def count_cgroups(server):
    """Those that carry its name, fumehood-NAMESPACE-PID-START, and what is in them."""
    pid = server.process.pid
    started = servers.read_proc(pid, "stat").rpartition(")")[2].split()[19]
    pattern = re.compile(rf"fumehood-\d+-{pid}-{started}")
    tops = {os.path.dirname(path) for depth in ("*", "*/*", "*/*/*", "*/*/*/*")
            for path in glob.glob(f"/sys/fs/cgroup/{depth}/cgroup.procs")}
    return sum(1 for path in tops if pattern.search(path))


def sample(server, calls):
    found, zombies = settled(server)
    named = servers.roles(server)
    own = [named[name] for name in ROLES]
    return {"calls": calls, **{f"own_{kind}_kib": kib for kind, kib in total_kib(own).items()},
            **{f"all_{kind}_kib": kib for kind, kib in total_kib(found).items()},
            "roles": {name: servers.memory_kib(named[name]) for name in ROLES},
            "fds": count_fds(own), "cgroups": count_cgroups(server),
            "processes": len(found), "zombies": zombies}


def call_many(b, server, n):
    """n calls, IN_FLIGHT at a time -> how many were warm"""
    waiting, warm, begun = {}, 0, 0
    while begun < n or waiting:
        while begun < n and len(waiting) < IN_FLIGHT:
            nonce = b.next()
            waiting[server.ask_run("python", programs.code("python", nonce))] = nonce
            begun += 1
        message = server.read()
        if message.get("id") not in waiting:
            raise Wrong(f"an answer to nothing: {message}")
        servers.check(message, message["id"], waiting.pop(message["id"]))
        warm += servers.path_of(message["result"]) == "warm"
    return warm


# --- ready cells ------------------------------------------------------------------------------------

def cells_of(found):
    """The python processes that are forks of another: pid, of {pid: (parent, name)}"""
    return [pid for pid, (parent, name) in found.items()
            if name.startswith("python") and found.get(parent, (0, ""))[1].startswith("python")]


def measure_cells(server, without):
    """`without`: total_kib of the server's own before its first run. None: it keeps none ready."""
    found, _ = settled(server)
    cells = cells_of(found)
    if not cells:
        return None
    now, kind = total_kib(found), "pss" if "pss" in without else "rss"
    rooms = [pid for pid, (_, name) in found.items() if name == "room"]
    once = now[kind] - without[kind] - total_kib(cells)[kind] - total_kib(rooms)[kind]
    return {"cells": len(cells), "kind": kind, "with_kib": now[kind], "without_kib": without[kind],
            "cell_kib": round(total_kib(cells)[kind] / len(cells), 1),
            "cell_and_room_kib": round((total_kib(cells)[kind] + total_kib(rooms)[kind]) / len(cells), 1),
            "once_kib": once, "all_by_cells_kib": round((now[kind] - without[kind]) / len(cells), 1)}


# --- one run --------------------------------------------------------------------------------------

def running_sandbox(b, server, keeper):
    """The processes of one cold run, while its program waits."""
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


# --- all together ---------------------------------------------------------------------------------

def measure(b):
    server = b.server()
    server.tool("sandbox_info")
    named = servers.roles(server)
    if set(named) != set(ROLES):
        raise Wrong(f"the server's processes are {named}")
    without = total_kib(named.values())
    idle = {name: servers.memory_kib(pid) for name, pid in named.items()}
    run = running_sandbox(b, server, named["keeper"])
    warm = call_many(b, server, min(WARM_UP, b.calls))
    cells = measure_cells(server, without)
    samples, done = [sample(server, 0)], 0
    cpu, end = servers.cpu_ms(named.values()), time.monotonic() + b.seconds("growth")
    for i in range(SAMPLES):
        if time.monotonic() > end and not b.all_calls and i > 1:
            break
        until = b.calls * (i + 1) // SAMPLES
        b.say(f"growth: {until} of {b.calls} calls")
        warm += call_many(b, server, until - done)
        done = until
        samples.append(sample(server, done))
    cpu = (servers.cpu_ms(named.values()) - cpu) / done
    b.close(server)
    if "pss" not in without:
        b.notes.append("PSS of a process that is not dumpable is shown to root only; RSS is its "
                       "upper bound")
    return {"calls": done, "idle": idle, "used": samples[-1]["roles"], "run": run, "cells": cells,
            "samples": samples, "warm": warm, "cpu_ms": round(cpu, 3)}
