"""A program in an interpreter that has waited for it does, byte for byte, what it does as `node main.js`."""
import os
import shutil
import socket
import subprocess

import pytest
import rig
from ahead_programs import PLAIN, WITH
from both_ways import Place, bytes_of, give
from cannot import cannot

NODE = rig.INTERPRETERS["driver.js"]
DRIVER = os.path.join(rig.DRIVERS, "ahead.js")
GUEST, BASE = (os.path.join(rig.ROOT, "sandbox", name) for name in ("guest", "base"))
SOURCES = [os.path.join(GUEST, name) for name in ("ahead.c", "line.c")] + \
    [os.path.join(BASE, name) for name in ("mem.c", "sv.c", "err.c", "fd.c", "buf.c")]
FIRST = 61                              # as ahead.h has it
PROGRAMS = {**{name: (code, {}) for name, code in PLAIN.items()}, **WITH}


class Bench(Place):
    NAME, SAME = "main.js", rb"\(node:\d+\)|\bpid: \d+|0x[0-9a-f]+"

    def __init__(self):
        super().__init__()
        self.object = os.path.join(self.top, "ahead.so")
        compiler = shutil.which("cc") or cannot("there is no C compiler")
        subprocess.run([compiler, "-std=c17", "-D_GNU_SOURCE", "-Os", "-fPIC", "-shared", "-nostdlib", "-fvisibility=hidden",
                        "-ffunction-sections", "-Wl,--gc-sections", "-I", rig.ROOT, "-include", os.path.join(BASE, "banned.h"),
                        "-o", self.object, *SOURCES], check=True)
        self.driver = DRIVER

    def wait(self, out, err):
        """An interpreter that waits: the process, and its line."""
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.settimeout(rig.PATIENCE_S)
        nothing = os.open("/dev/null", os.O_RDONLY)
        sent = [theirs.detach(), os.open(self.object, os.O_RDONLY), os.open(self.driver, os.O_RDONLY)]

        def become():
            for i, fd in enumerate(sent):
                os.dup2(fd, FIRST + i)
            os.closerange(3, FIRST)
            rig.become_user()

        mark = f"{FIRST} {self.workspace}/main.js"
        process = subprocess.Popen([*NODE, "main.js"], cwd=self.workspace, stdin=nothing, stdout=out, stderr=err,
                                   env={**self.env, "LD_PRELOAD": f"/proc/self/fd/{FIRST + 1}", "FUMEHOOD_AHEAD": mark},
                                   preexec_fn=become, close_fds=False)
        for fd in (nothing, *sent):
            os.close(fd)
        return process, line

    def warm(self, code, how=()):
        stdin, ends = self.run_file(dict(how))
        process, line = self.wait(ends[0][1], ends[1][1])
        readers = self.readers(ends)
        assert line.recv(2) == b"\0", readers[1].data
        assert os.listdir(self.workspace) == []
        memory = os.memfd_create("code")
        os.write(memory, bytes_of(code))
        give(line, b"g", memory, *([stdin] if "stdin" in how else []))
        os.close(memory)
        os.close(stdin)
        status = process.wait(rig.PATIENCE_S)
        line.close()
        return self.seen(status, readers, process.pid)

    def cold(self, code, how=()):
        return self.run_cold(NODE, code, how)


@pytest.fixture(scope="module")
def bench():
    if not os.access(NODE[0], os.X_OK):
        cannot(f"{NODE[0]} is not installed")
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_node_does(bench, name):
    code, how = PROGRAMS[name]
    assert bench.warm(code, how) == bench.cold(code, how)


def test_the_table_is_not_shorter_than_it_was():
    assert len(PROGRAMS) >= 220


@pytest.mark.parametrize("code", [
    "console.log(process.pid)", "console.log(process.hrtime())", "require('fs').writeFileSync(String(process.pid), '')",
    "process.exit(process.pid % 199 + 1)", "console.error(process.pid)", "console.log(Math.random())",
])
def test_a_difference_would_be_seen(bench, code):
    """What no two runs have in common, by each of the ways there are to see it."""
    assert bench.warm(code) != bench.cold(code)


@pytest.mark.parametrize("code", [
    "console.log(Math.random())", "console.log(require('crypto').randomUUID())", "console.log(require('crypto').webcrypto.getRandomValues(new Uint8Array(8)))",
])
def test_no_two_cells_draw_the_same(bench, code):
    drawn = [bench.warm(code) for _ in range(3)]
    assert {one.status for one in drawn} == {0}
    assert len({one.out for one in drawn}) == 3


def test_a_cell_ends_with_its_line(bench):
    bench.empty()
    process, line = bench.wait(subprocess.DEVNULL, subprocess.DEVNULL)
    assert line.recv(2) == b"\0"
    line.close()
    assert process.wait(rig.PATIENCE_S) == 0
    assert os.listdir(bench.workspace) == []


def test_nothing_but_code_is_code(bench):
    """Bytes without a descriptor."""
    bench.empty()
    process, line = bench.wait(subprocess.DEVNULL, subprocess.DEVNULL)
    assert line.recv(2) == b"\0"
    line.send(b"console.log(1)")
    assert process.wait(rig.PATIENCE_S) == 0
    line.close()


@pytest.fixture
def other_driver(bench):
    """Another text that is run ahead: a path to write it to."""
    path = os.path.join(bench.top, "other.js")
    bench.driver = path
    yield path
    bench.driver = DRIVER


def test_it_waits_without_anything_to_do_ahead(bench, other_driver):
    with open(other_driver, "w"):
        pass
    assert bench.warm("console.log(1)").out == b"1\n"


@pytest.mark.parametrize("text", ["throw 1", "(", "process.exit(5)"])
def test_who_fails_ahead_is_never_ready(bench, other_driver, text):
    with open(other_driver, "w") as file:
        file.write(text)
    bench.empty()
    process, line = bench.wait(subprocess.DEVNULL, subprocess.DEVNULL)
    assert line.recv(2) == b""
    assert process.wait(rig.PATIENCE_S) in (5, 111)
    line.close()


def test_what_is_done_ahead_is_done_in_its_context(bench, other_driver):
    """So that the driver's own text is known to be run at all."""
    with open(other_driver, "w") as file:
        file.write("globalThis.ahead = 1")
    assert bench.warm("console.log(globalThis.ahead)").out == b"1\n"


def test_without_a_mark_it_is_as_if_not_there(bench):
    """A node that has the object preloaded for another reason."""
    done = subprocess.run([*NODE, "-p", "require('fs').statSync('/dev/null').isCharacterDevice()"], capture_output=True,
                          env={**bench.env, "LD_PRELOAD": bench.object}, check=False)
    assert (done.returncode, done.stdout) == (0, b"true\n")
