"""Starts and times the plain commands, in a process of its own.

bwrap must never be started as uid 0, and changing the uid in each child would be part of what is
measured. So this process gives up root once, at its start, and starts children with posix_spawn,
whose cost does not depend on the size of this process. A bwrap this user cannot reach by its path
is reached by an open descriptor.
"""
import ctypes
import json
import os
import select
import selectors
import signal
import time

import programs

UID = 65534
PATIENCE = 60.0


class Wrong(Exception):
    """A program did not print what it must."""


def start(argv, env=programs.ENV):
    """-> (pid, the read end of its output)"""
    out, inner = os.pipe()
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_DUP2, inner, 1), (os.POSIX_SPAWN_DUP2, inner, 2)]
    try:
        return os.posix_spawn(argv[0], argv, env, file_actions=actions), out
    finally:
        os.close(inner)


def check(argv, nonce, output, status):
    if status or output.decode(errors="replace") != programs.expected(nonce):
        raise Wrong(f"{argv}: status {status}, output {output[-500:]!r}")


def run(argv, env):
    """-> (begin and end by CLOCK_MONOTONIC, ns; output, status, usage)"""
    began = time.monotonic_ns()
    pid, out = start(argv, env)
    output = b""
    while chunk := os.read(out, 65536):
        output += chunk
    _, status, usage = os.wait4(pid, 0)
    ended = time.monotonic_ns()
    os.close(out)
    return began, ended, output, status, usage


def run_once(argv, nonce, env):
    """-> (milliseconds until its output is complete and it is reaped, milliseconds of CPU)"""
    began, ended, output, status, usage = run(argv, env)
    check(argv, nonce, output, status)
    return (ended - began) / 1e6, (usage.ru_utime + usage.ru_stime) * 1e3


def run_first(argv, nonce):
    """-> milliseconds to its first instruction, and from there to its end"""
    began, ended, output, status, _ = run(argv, programs.ENV)
    first = programs.first_ns(output.decode(errors="replace"), nonce)
    if status or first is None:
        raise Wrong(f"{argv}: status {status}, output {output[-500:]!r}")
    return (first - began) / 1e6, (ended - first) / 1e6


def run_many(make_argv, first_nonce, at_once, more):
    """more(runs begun, seconds) -> whether to begin one more; `at_once` at any time, and those to their end
    -> (runs, the seconds from the begin to the end of each)"""
    ends, chosen, nonce = [], selectors.DefaultSelector(), first_nonce

    def add():
        nonlocal nonce
        argv = make_argv(nonce)
        pid, out = start(argv)
        chosen.register(out, selectors.EVENT_READ, [pid, argv, nonce, b""])
        nonce += 1

    began = time.perf_counter()
    for _ in range(at_once):
        add()
    while chosen.get_map():
        for key, _ in chosen.select():
            run = key.data
            if chunk := os.read(key.fd, 65536):
                run[3] += chunk
                continue
            chosen.unregister(key.fd)
            os.close(key.fd)
            check(run[1], run[2], run[3], os.waitpid(run[0], 0)[1])
            ends.append(time.perf_counter() - began)
            if more(nonce - first_nonce, ends[-1]):
                add()
    return nonce - first_nonce, ends


class Here:
    """Answers requests in the process that gave up root."""

    def __init__(self, paths, bwrap_fd):
        self.paths, self.bwrap = paths, f"/proc/self/fd/{bwrap_fd}"

    def argv(self, ask, nonce, code=programs.code):
        language = ask["language"]
        argv = programs.bare(self.paths[language], language, code(language, nonce))
        return argv if ask["kind"] == "bare" else programs.in_bwrap(self.bwrap, argv)

    def once(self, ask):
        os.chdir(ask.get("cwd", "/"))
        argv = ask.get("argv") or self.argv(ask, ask["nonce"])
        return run_once(argv, ask["nonce"], ask.get("env", programs.ENV))

    def first(self, ask):
        return run_first(self.argv(ask, ask["nonce"], programs.code_first), ask["nonce"])

    def rate(self, ask):
        """-> (runs per second, runs)"""
        runs, ends = run_many(lambda n: self.argv(ask, n), ask["nonce"], ask["at_once"],
                              lambda _, s: s < ask["seconds"])
        return runs / ends[-1], runs

    def burst(self, ask):
        """n runs, `at_once` of them at a time -> milliseconds until each has ended"""
        _, ends = run_many(lambda n: self.argv(ask, n), ask["nonce"], min(ask["at_once"], ask["n"]),
                           lambda begun, _: begun < ask["n"])
        return [s * 1e3 for s in ends]

    def serve(self, requests, replies):
        for line in requests:
            ask = json.loads(line)
            try:
                reply = getattr(self, ask["op"])(ask)
            except (Wrong, OSError) as why:
                reply = {"wrong": str(why)}
            replies.write(json.dumps(reply) + "\n")
            replies.flush()


CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2


def hide_unified():
    """crun refuses to run where cgroup v2 lies beside v1 with controllers of its own: take that away, here."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "a mount namespace")
    libc.umount2(b"/sys/fs/cgroup/unified", MNT_DETACH)     # if it is there


class Spawner:
    """paths: language -> interpreter. As root: `as_root` stays so; `cgroup1` sees no cgroup v2 beside v1.
    Make it before any thread."""

    def __init__(self, bwrap, paths, as_root=False, cgroup1=False):
        bwrap_fd = os.open(bwrap, os.O_RDONLY)
        down, up = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(down[1])
            os.close(up[0])
            self.be_child(down[0], up[1], Here(paths, bwrap_fd), as_root, cgroup1)
        for fd in (down[0], up[1], bwrap_fd):
            os.close(fd)
        self.requests, self.replies = open(down[1], "w"), open(up[0])

    @staticmethod
    def be_child(requests, replies, here, as_root, cgroup1):
        code = 1
        try:
            if cgroup1:
                hide_unified()
            os.chdir("/")
            if os.geteuid() == 0 and not as_root:
                os.setgroups([])
                os.setresgid(UID, UID, UID)
                os.setresuid(UID, UID, UID)
            here.serve(open(requests), open(replies, "w"))
            code = 0
        finally:
            os._exit(code)

    def ask(self, op, **request):
        self.requests.write(json.dumps({"op": op, **request}) + "\n")
        self.requests.flush()
        if not select.select([self.replies], [], [], 10 * PATIENCE)[0]:
            raise Wrong(f"no end of {request} within {10 * PATIENCE} s")
        reply = json.loads(self.replies.readline() or '{"wrong": "the spawner ended"}')
        if isinstance(reply, dict):
            raise Wrong(reply["wrong"])
        return reply

    def discard(self):
        """What it has started dies with it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.requests.close()
        self.replies.close()
