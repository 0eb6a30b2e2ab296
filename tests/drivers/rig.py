"""Plays the guest: a driver on a socketpair and pipes, its run folder in a temporary place."""
import collections
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVERS = os.environ.get("DRIVERS", os.path.join(ROOT, "sandbox", "guest", "drivers"))
PATIENCE_S = 30
ASK_AGAIN_S = 2
INTERPRETERS = {
    "driver.py": os.environ.get("PYTHON", "/usr/bin/python3").split(),
    "driver.js": os.environ.get("NODE", "/usr/bin/node").split(),
    "driver.sh": [os.environ.get("BASH", "/usr/bin/bash"), "--norc", "--noprofile"],
}
USER = 4242     # whom root becomes: no driver is ever root


class Died(Exception):
    """The interpreter ended instead of answering."""


Ended = collections.namedtuple("Ended", "code out err rich")


def find(rich, kind):
    return [record for record in rich if record["kind"] == kind]


class Done(Ended):
    """A call that has ended: its status, what it wrote, and its lines on 4."""

    @property
    def value(self):
        """text/plain of the result, or None."""
        found = find(self.rich, "result")
        assert len(found) <= 1
        return found[0]["data"]["text/plain"] if found else None

    @property
    def displays(self):
        return [record["data"] for record in find(self.rich, "display")]

    @property
    def error(self):
        found = find(self.rich, "error")
        assert len(found) <= 1, found
        return found[0]["error"] if found else None


def become_user():
    os.setsid()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)


def install(session, files):
    """Files by their paths in the workspace."""
    for name, content in files.items():
        path = os.path.join(session.workspace, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content)


def plain(session, name, script, **how):
    """What the interpreter alone makes of a script; its path is the last of args."""
    install(session, {name: script})
    return subprocess.run([*INTERPRETERS[session.driver], os.path.join(session.workspace, name)],
                          capture_output=True, text=True, cwd=session.top, **how)


class Session:
    """One interpreter with its driver.  Outputs are drained by threads, as the front does."""

    def __init__(self, driver, env=(), arguments=()):
        self.top = tempfile.mkdtemp(prefix="fumehood-driver-")
        os.chmod(self.top, 0o755)
        self.run_dir = self._folder("run")
        self.workspace = self._folder("workspace")
        self.driver = driver
        self.buffers = {1: bytearray(), 2: bytearray(), 4: bytearray()}
        self.calls = 0
        self.heard = b""
        self._start(dict(env), list(arguments))

    def _folder(self, name):
        path = os.path.join(self.top, name)
        os.mkdir(path, 0o700)
        self._give(path)
        return path

    @staticmethod
    def _give(path):
        if os.geteuid() == 0:
            os.chown(path, USER, USER)

    def _start(self, env, arguments):
        path = os.path.join(self.run_dir, self.driver)
        shutil.copy(os.path.join(DRIVERS, self.driver), path)
        os.chmod(path, 0o444)
        self.line, theirs = socket.socketpair()
        pipes = {fd: os.pipe() for fd in self.buffers}
        given = {3: theirs.fileno(), **{fd: pipe[1] for fd, pipe in pipes.items()}}
        spare = {fd: os.dup(source) for fd, source in given.items()}
        for source in spare.values():   # far from the numbers they are to get
            os.set_inheritable(source, True)

        def child():
            high = {fd: 100 + fd for fd in spare}
            for fd, source in spare.items():
                os.dup2(source, high[fd])
            for fd, source in high.items():
                os.dup2(source, fd)
            os.closerange(5, 256)
            become_user()

        clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.workspace,
                 "LANG": "C.UTF-8", "TMPDIR": self._folder("tmp"), **env}
        self.process = subprocess.Popen(
            [*INTERPRETERS[self.driver], *arguments, path], stdin=subprocess.DEVNULL,
            cwd=self.workspace, env=clean, preexec_fn=child, close_fds=False)
        theirs.close()
        for fd in spare.values():
            os.close(fd)
        self.threads, self.readings, self.lock = [], {}, threading.Lock()
        for fd, (reading, writing) in pipes.items():
            os.close(writing)
            os.set_blocking(reading, False)
            self.readings[fd] = reading
            self.threads.append(threading.Thread(target=self._drain, args=(fd, reading),
                                                 daemon=True))
            self.threads[-1].start()
        self.line.settimeout(PATIENCE_S)
        self.takes_code = {"up": False, "up inline": True}[self._hear()]

    def _drain(self, fd, reading):
        while self._take(fd, reading):
            select.select([reading], [], [])

    def _take(self, fd, reading):
        """All that the pipe holds; False at its end."""
        with self.lock:
            try:
                while True:
                    data = os.read(reading, 1 << 16)
                    if not data:
                        return False
                    self.buffers[fd] += data
            except BlockingIOError:
                return True

    def _hear(self):
        while b"\n" not in self.heard:
            try:
                data = self.line.recv(4096)
            except socket.timeout:
                raise AssertionError("no answer; stderr: " + self.text(2)) from None
            except ConnectionResetError:
                data = b""
            if not data:
                raise Died(f"status {self.process.wait(PATIENCE_S)}; stderr: {self.text(2)}")
            self.heard += data
        line, _, self.heard = self.heard.partition(b"\n")
        return line.decode()

    def text(self, fd):
        return self.buffers[fd].decode("utf-8", "replace")

    def put(self, name, content):
        path = os.path.join(self.run_dir, f"{self.calls}.{name}")
        with open(path, "wb") as file:
            file.write(content)
        self._give(path)
        return path

    def begin(self, code, stdin=None, args=None, env=None, cwd=None):
        """Starts a call.  stdin: bytes, or "fifo", whose writing end is then in self.fifo."""
        self.calls += 1
        for buffer in self.buffers.values():
            buffer.clear()
        self.put("code", code if isinstance(code, bytes) else code.encode())
        if stdin == "fifo":
            path = os.path.join(self.run_dir, f"{self.calls}.in")
            os.mkfifo(path)
            self._give(path)
            self.fifo = os.open(path, os.O_RDWR)
        elif stdin is not None:
            self.put("in", stdin)
        if args is not None:
            self.put("args", b"".join(arg.encode() + b"\0" for arg in args))
        if env is not None:
            self.put("env", b"".join(f"{k}={v}".encode() + b"\0" for k, v in env.items()))
        if cwd is not None:
            self.put("cwd", cwd.encode())
        self.line.sendall(b"run %d\n" % self.calls)

    def begin_inline(self, code):
        """Starts a call of nothing but code, which comes with the order for it."""
        assert self.takes_code
        self.calls += 1
        for buffer in self.buffers.values():
            buffer.clear()
        self.line.sendall(b"code %d %d\n" % (self.calls, len(code)) + code)

    def end(self):
        """Waits for `end`.  What was written before it must be in the pipes by then."""
        words = self._hear().split()
        assert words[:2] == ["end", str(self.calls)], words
        for fd, reading in self.readings.items():
            self._take(fd, reading)
        rich = [json.loads(line) for line in bytes(self.buffers[4]).splitlines() if line]
        for record in rich:
            assert record["call"] == self.calls, record
            assert record["kind"] == "error" or "text/plain" in record["data"], record
        return Done(int(words[2]), self.text(1), self.text(2), rich)

    def run(self, code, **what):
        self.begin(code, **what)
        return self.end()

    def until(self, text, fd=1):
        """Waits until the running call has written text."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.text(fd):
            assert time.monotonic() < deadline, (text, self.text(fd), self.text(2))
            time.sleep(0.001)

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def interrupted(self, code, marker="ready", **what):
        """Runs code, interrupts it once it has written the marker, and waits for its end.

        bash is asked a second time, as the keeper would: a child that it has just forked, and that
        has not yet set its signals back, takes SIGINT for its parent's and forgets it."""
        self.begin(code, **what)
        self.until(marker)
        self.interrupt()
        if self.driver == "driver.sh" and not select.select([self.line], [], [], ASK_AGAIN_S)[0]:
            self.interrupt()
        return self.end()

    def dies(self, code):
        """Runs code that ends the interpreter; returns its wait status as Popen tells it."""
        self.begin(code)
        try:
            answer = self._hear()
        except Died:
            return self.process.wait(PATIENCE_S)
        raise AssertionError(f"it lives on: {answer}")

    def close(self):
        """Ends the driver as the guest would, and then all that it started."""
        self.line.close()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            for thread in self.threads:
                thread.join(PATIENCE_S)
            for reading in self.readings.values():
                os.close(reading)
            shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
