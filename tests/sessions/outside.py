"""The interpreters outside of any sandbox that sessions are compared with: IPython, node's REPL, bash.

    with Outside("python") as outside:
        done = outside.step("1 + 1")        # Done: exit, stdout, stderr, value, displays, error

Each runs in a folder of its own, which is to it what /workspace is to a session. bash is an interactive
one without a terminal: that is where an interrupt leaves a script but not the shell.
"""
import collections
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "outside")
PATIENCE_S = 60
COMMANDS = {
    "python": ["/usr/bin/python3", os.path.join(HERE, "ipython.py")],
    "javascript": ["/usr/bin/node", os.path.join(HERE, "node.js")],
    "bash": ["/usr/bin/bash", "--noediting", "--norc", "--noprofile", "-i"],
}

Done = collections.namedtuple("Done", "exit stdout stderr value displays error")


class Outside:
    def __init__(self, language):
        self.language, self.steps, self.heard = language, 0, b""
        self.top = tempfile.mkdtemp(prefix="fumehood-outside-")
        self.folder = os.path.join(self.top, "workspace")
        os.mkdir(self.folder)
        self.line, theirs = socket.socketpair()
        self.line.settimeout(PATIENCE_S)
        files = {}
        for name in ("stdout", "stderr"):
            files[name] = os.open(os.path.join(self.top, name),
                                  os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # Popen gives descriptors away under their numbers, and node and bash are told of 3.
        number = theirs.fileno()
        command = ["/usr/bin/bash", "-c", f'exec 3<&{number} "$@"', "-", *COMMANDS[language]]
        env = {"HOME": self.top, "IPYTHONDIR": os.path.join(self.top, "ipython"), "LANG": "C.UTF-8",
               "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=files["stdout"],
                                        stderr=files["stderr"], env=env, cwd=self.folder,
                                        pass_fds=[number], start_new_session=True)
        theirs.close()
        for fd in files.values():
            os.close(fd)
        if language == "bash":          # what it says of the terminal that is not there
            self.step("PS1= PS2=")

    def _read(self, name, start):
        with open(os.path.join(self.top, name), "rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")

    def _hear(self):
        while b"\n" not in self.heard:
            try:
                piece = self.line.recv(65536)
            except ConnectionResetError:
                piece = b""
            assert piece, "it ended: " + self._read("stderr", 0)[-2000:]
            self.heard += piece
        line, self.heard = self.heard.split(b"\n", 1)
        return line.decode()

    def step(self, code, stdin="", interrupt=None):
        """Runs it; with interrupt, SIGINT comes when that text has been printed."""
        self.steps += 1
        begun = {name: os.path.getsize(os.path.join(self.top, name)) for name in ("stdout", "stderr")}
        path = os.path.join(self.top, f"{self.steps}.in")
        with open(path, "w", encoding="utf-8") as file:
            file.write(stdin)
        if self.language == "bash":
            self._say_to_bash(code, path)
        else:
            self.line.sendall(json.dumps({"code": code, "stdin": path}).encode() + b"\n")
        end = time.monotonic() + PATIENCE_S
        while interrupt is not None and interrupt not in self._read("stdout", begun["stdout"]):
            assert time.monotonic() < end, f"{interrupt!r} is never printed"
            time.sleep(0.005)
        # node's REPL misses one that comes just before it begins to await
        while interrupt is not None and b"\n" not in self.heard:
            os.killpg(self.process.pid, signal.SIGINT)
            if select.select([self.line], [], [], 2)[0]:
                break
        word = self._hear()
        if self.language == "bash":
            answer = {"exit": int(word), "value": None, "displays": [], "error": None}
        else:
            answer = json.loads(word)
        return Done(stdout=self._read("stdout", begun["stdout"]),
                    stderr=self._read("stderr", begun["stderr"]), **answer)

    def _say_to_bash(self, code, stdin):
        path = os.path.join(self.top, f"{self.steps}.code")
        with open(path, "w", encoding="utf-8") as file:
            file.write(code)
        # two lines: an interrupt takes the rest of the one it strikes with it
        self.process.stdin.write(f". {path} <{stdin}\nouter=$?; printf '%d\\n' $outer >&3; "
                                 "(exit $outer)\n".encode())
        self.process.stdin.flush()

    def path(self, name):
        return os.path.join(self.folder, name)

    def close(self):
        self.line.close()
        self.process.stdin.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE_S)
        shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
