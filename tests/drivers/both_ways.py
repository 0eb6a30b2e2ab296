"""A workspace in which a program runs both ways, and all that is seen of each: what test_zygote.py and test_ahead.py share."""
import array
import collections
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading

import rig

Seen = collections.namedtuple("Seen", "status out err files")


class Place:
    """NAME: of the program's file; SAME: bytes that no two runs have in common, which stand for one another."""
    NAME = SAME = None

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="fumehood-both-")
        os.chmod(self.top, 0o755)
        self.workspace = os.path.join(self.top, "workspace")
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.workspace, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}

    def empty(self):
        shutil.rmtree(self.workspace, ignore_errors=True)
        os.mkdir(self.workspace, 0o755)
        if os.geteuid() == 0:
            os.chown(self.workspace, rig.USER, rig.USER)

    def run_file(self, how):
        """Descriptors as the guest gives them: stdin a file of its own or nothing, a pipe for each output."""
        self.empty()
        if "stdin" in how:
            memory = os.memfd_create("stdin")
            os.write(memory, how["stdin"])
            stdin = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
            os.close(memory)
        else:
            stdin = os.open("/dev/null", os.O_RDONLY)
        ends = []
        for name in ("out", "err"):
            ends.append((None, os.open(how[name], os.O_WRONLY)) if name in how else os.pipe())
        return stdin, ends

    def run_cold(self, command, code, how):
        """As files_unpack leaves it, in an interpreter of its own."""
        stdin, ends = self.run_file(dict(how))
        path = os.path.join(self.workspace, self.NAME)
        with open(path, "wb") as file:
            file.write(bytes_of(code))
        if bytes_of(code).startswith(b"#!"):
            os.chmod(path, 0o755)
        if os.geteuid() == 0:
            os.chown(path, rig.USER, rig.USER)
        process = subprocess.Popen([*command, self.NAME], env=self.env, cwd=self.workspace, stdin=stdin, stdout=ends[0][1],
                                   stderr=ends[1][1], preexec_fn=rig.become_user)
        os.close(stdin)
        readers = self.readers(ends)
        return self.seen(process.wait(rig.PATIENCE_S), readers, process.pid)

    @staticmethod
    def readers(ends):
        for _, writing in ends:
            os.close(writing)
        return [Reader(reading) for reading, _ in ends]

    def seen(self, status, readers, pid):
        try:                            # what it has left behind holds the pipes
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for reader in readers:
            reader.join(rig.PATIENCE_S)
            assert reader.fd is None
        return Seen(status, *(re.sub(self.SAME, b"0x", reader.data) for reader in readers), files_of(self.workspace))

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)


class Reader(threading.Thread):
    """All that comes from fd; None: nothing."""
    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd, self.data = fd, b""
        self.start()

    def run(self):
        while self.fd is not None:
            data = os.read(self.fd, 1 << 16)
            if not data:
                os.close(self.fd)
                self.fd = None
            self.data += data


def bytes_of(code):
    return code if isinstance(code, bytes) else code.encode()


def give(to, word, *fds):
    to.sendmsg([word], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def files_of(folder):
    found = {}
    for at, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(at, name)
            status = os.lstat(path)
            content = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, folder)] = (status.st_mode, status.st_uid, content)
    return found
