"""Starts and times the plain commands, in a process of its own.

bwrap must never be started as uid 0, and changing the uid in each child would be part of what is
measured. So this process gives up root once, at its start, and starts children with posix_spawn,
whose cost does not depend on the size of this process. A bwrap this user cannot reach by its path
is reached by an open descriptor.
"""
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


def start(argv):
    """-> (pid, the read end of its output)"""
    out, inner = os.pipe()
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_DUP2, inner, 1), (os.POSIX_SPAWN_DUP2, inner, 2)]
    try:
        return os.posix_spawn(argv[0], argv, programs.ENV, file_actions=actions), out
    finally:
        os.close(inner)


def check(argv, nonce, output, status):
    if status or output.decode(errors="replace") != programs.expected(nonce):
        raise Wrong(f"{argv}: status {status}, output {output[-500:]!r}")


def run_once(argv, nonce):
    """-> (milliseconds until its output is complete and it is reaped, milliseconds of CPU)"""
    began = time.perf_counter()
    pid, out = start(argv)
    output = b""
    while chunk := os.read(out, 65536):
        output += chunk
    _, status, usage = os.wait4(pid, 0)
    took = time.perf_counter() - began
    os.close(out)
    check(argv, nonce, output, status)
    return took * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def run_many(make_argv, first_nonce, at_once, seconds):
    """-> (runs per second, runs): `at_once` at any time, and those to their end"""
    chosen, nonce = selectors.DefaultSelector(), first_nonce

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
            if time.perf_counter() - began < seconds:
                add()
    runs = nonce - first_nonce
    return runs / (time.perf_counter() - began), runs


def serve(requests, replies, paths, bwrap_fd):
    bwrap = f"/proc/self/fd/{bwrap_fd}"

    def argv_of(kind, language, nonce):
        if kind == "bare":
            return programs.bare(paths[language], language, nonce)
        return programs.in_bwrap(bwrap, paths[language], language, nonce)

    for line in requests:
        ask = json.loads(line)
        kind, language, nonce = ask["kind"], ask["language"], ask["nonce"]
        try:
            if "at_once" in ask:
                reply = run_many(lambda n: argv_of(kind, language, n), nonce, ask["at_once"],
                                 ask["seconds"])
            else:
                reply = run_once(argv_of(kind, language, nonce), nonce)
        except (Wrong, OSError) as why:
            reply = {"wrong": str(why)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


class Spawner:
    """paths: language -> interpreter. Make it before any thread."""

    def __init__(self, bwrap, paths):
        bwrap_fd = os.open(bwrap, os.O_RDONLY)
        down, up = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(down[1])
            os.close(up[0])
            self.be_child(down[0], up[1], paths, bwrap_fd)
        for fd in (down[0], up[1], bwrap_fd):
            os.close(fd)
        self.requests, self.replies = open(down[1], "w"), open(up[0])

    @staticmethod
    def be_child(requests, replies, paths, bwrap_fd):
        code = 1
        try:
            os.chdir("/")
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(UID, UID, UID)
                os.setresuid(UID, UID, UID)
            serve(open(requests), open(replies, "w"), paths, bwrap_fd)
            code = 0
        finally:
            os._exit(code)

    def ask(self, **request):
        self.requests.write(json.dumps(request) + "\n")
        self.requests.flush()
        if not select.select([self.replies], [], [], PATIENCE)[0]:
            raise Wrong(f"no end of {request} within {PATIENCE} s")
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
