"""A program in a fork of the zygote does, byte for byte, what it does as `python3 main.py`."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

import pytest
import rig
from both_ways import Place, bytes_of, give
from cannot import cannot
from zygote_programs import PLAIN, WITH

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = rig.INTERPRETERS["driver.py"][0]
DRIVER = os.path.join(rig.DRIVERS, "zygote.py")
PROGRAMS = {**{name: (code, {}) for name, code in PLAIN.items()}, **WITH}


class Bench(Place):
    """And the zygote of one of the ways."""
    NAME, SAME = "main.py", rb"0x[0-9a-f]+"     # addresses are the zygote's

    def __init__(self, env=(), python=PYTHON):
        super().__init__()
        self.python = python
        self.empty()
        self.env.update({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **dict(env)})
        self.build()
        self.start()

    def build(self):
        compiler = shutil.which("cc") or cannot("there is no C compiler")
        self.object = os.path.join(self.top, "standin.so")
        subprocess.run([compiler, "-std=c17", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", self.object,
                        os.path.join(HERE, "standin.c")], check=True)

    def start(self):
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.orders.settimeout(rig.PATIENCE_S)
        driver = os.path.join(self.top, "zygote.py")
        shutil.copy(DRIVER, driver)
        os.chmod(driver, 0o444)
        ours = {"FUMEHOOD_OBJECT": self.object, "STANDIN": str(theirs.fileno()), "FUMEHOOD_WORKSPACE": self.workspace}
        self.zygote = subprocess.Popen([self.python, driver], env={**self.env, **ours}, pass_fds=[theirs.fileno()],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=rig.become_user)
        theirs.close()
        self.is_up = False

    def cell(self, out, err):
        """A fork of the zygote that waits for its program: its pid and its line."""
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.settimeout(rig.PATIENCE_S)
        give(self.orders, b"F" + self.workspace.encode(), theirs.fileno(), out, err)
        theirs.close()
        try:
            word = self.orders.recv(4)
        except ConnectionResetError:
            word = b""
        assert word, self.zygote.stderr.read().decode()
        assert line.recv(1) == b"r"
        return struct.unpack("i", word)[0], line

    def ended(self, pid):
        """Its wait status, and how often it or its forks called _exit()."""
        self.orders.send(b"W" + struct.pack("i", pid))
        return struct.unpack("ii", self.orders.recv(8))

    def warm(self, code, how=()):
        if not self.is_up:      # until then it may look where it is
            pid, line = self.cell(2, 2)
            line.close()
            self.ended(pid)
            self.is_up = True
        stdin, ends = self.run_file(dict(how))
        pid, line = self.cell(*(writing for _, writing in ends))
        readers = self.readers(ends)
        memory = os.memfd_create("code")
        os.write(memory, bytes_of(code))
        program = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
        give(line, b"g", program, stdin)
        for fd in (memory, program, stdin):
            os.close(fd)
        status, self.exits = self.ended(pid)
        line.close()
        return self.seen(-(status & 127) if status & 127 else status >> 8, readers, pid)

    def cold(self, code, how=()):
        return self.run_cold([self.python], code, how)

    def close(self):
        self.orders.close()
        self.zygote.wait(rig.PATIENCE_S)
        self.zygote.stderr.close()
        super().close()


@pytest.fixture(scope="module")
def bench():
    if not os.access(PYTHON, os.X_OK):
        cannot(f"{PYTHON} is not installed")
    bench = Bench()
    yield bench
    bench.close()


def both(bench, code, how=()):
    return bench.warm(code, how), bench.cold(code, how)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_python_does(bench, name):
    code, how = PROGRAMS[name]
    warm, cold = both(bench, code, how)
    assert warm == cold


def test_the_table_is_not_shorter_than_it_was():
    assert len(PROGRAMS) >= 240


@pytest.mark.parametrize("code", [
    "import os; print(os.getpid())", "import time; print(time.time_ns())", "open(str(id(object())), 'w')",
    "import os, sys; sys.exit(os.getpid() % 199 + 1)", "import sys, os; sys.stderr.write(str(os.getpid()))",
])
def test_a_difference_would_be_seen(bench, code):
    """What no two runs have in common, by each of the ways there are to see it."""
    warm, cold = both(bench, code)
    assert warm != cold


# ---- How it ends ----

@pytest.mark.parametrize("code", [
    "pass", "print(1)", "1/0", "import json, re, math", "x = [1]\ndef f(): return x\nclass C: pass\nc = C()", "x = (",
    "import dataclasses, typing, datetime, collections, decimal, random, csv, string\nprint(5)", "input()",
    "import threading\nt = threading.Thread(target=print); t.start(); t.join()",
    "with open('f', 'w') as f: f.write('x')", "import io; s = io.StringIO(); s.write('x')",
])
def test_an_end_without_anything_to_say_is_cut_short(bench, code):
    bench.warm(code)
    assert bench.exits == 1


@pytest.mark.parametrize("code", [
    "import sys; sys.exit(0)", "f = open('f', 'w')", "class C:\n    def __del__(self): pass\nc = C()",
    "def g(): yield 1\nx = g(); next(x)", "import sys; sys.stdout = sys.stderr", "import sqlite3",
    "import _thread, time\nl = _thread.allocate_lock(); l.acquire()\ndef f():\n    l.release(); time.sleep(9)\n_thread.start_new_thread(f, ())\nl.acquire()", "globals().clear()",
    "import gc\nx = {}\ngc.freeze()", "raise KeyboardInterrupt", "import sys; sys.last_type = 1",
])
def test_any_other_takes_its_course(bench, code):
    bench.warm(code)
    assert bench.exits == 0


# ---- From cell to cell ----

MARKS = """
import builtins, json, os, random, string, sys, time, gc, signal, logging, threading
builtins.mark = json.mark = string.mark = sys.mark = 1
json.dumps = len
os.environ['MARK'] = '1'
sys.path.append('/mark')
sys.setrecursionlimit(77777)
open('mark', 'w').close()
open('/dev/shm/zygote-mark', 'w').close() if 0 else None
threading.mark = logging.mark = 1
signal.signal(signal.SIGUSR1, print)
random.seed(1)
gc.disable()
os.umask(0)
"""
LOOK = """
import builtins, json, os, string, sys, gc, signal, logging, threading
print([hasattr(m, 'mark') for m in (builtins, json, string, sys, threading, logging)], json.dumps([1]))
print('MARK' in os.environ, sys.path, sys.getrecursionlimit(), os.listdir('.'), gc.isenabled())
print(signal.getsignal(signal.SIGUSR1), os.umask(0))
"""


def test_nothing_of_a_program_reaches_the_next(bench):
    before = bench.warm(LOOK)
    assert b"False, False, False, False, False, False] [1]" in before.out
    for _ in range(3):
        bench.warm(MARKS)
        assert bench.warm(LOOK) == before


@pytest.mark.parametrize("code", [
    "import random; print(random.random())", "import random; print(random.Random().random())", "import os; print(os.urandom(8))",
    "import uuid; print(uuid.uuid4(), uuid.uuid1())", "import secrets; print(secrets.token_hex())",
    "import tempfile; print(tempfile.mktemp())", "import multiprocessing as m; print(bytes(m.current_process().authkey))",
    "import ssl; print(ssl.RAND_bytes(8))",
])
def test_no_two_cells_draw_the_same(bench, code):
    drawn = [bench.warm(code) for _ in range(4)]
    assert {one.status for one in drawn} == {0}
    assert len({one.out for one in drawn}) == 4


@pytest.fixture
def packages():
    """A folder for PYTHONPATH that the user of the tests can read."""
    folder = tempfile.mkdtemp(prefix="fumehood-packages-")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def test_generators_of_what_is_imported_ahead_are_renewed(packages):
    """ssl and multiprocessing, and a stand-in for numpy.random."""
    os.mkdir(os.path.join(packages, "numpy"))
    for name, text in (("__init__", ""), ("random", "import random\nstate = random.Random(1)\ndef seed(): state.seed()\n")):
        with open(os.path.join(packages, "numpy", name + ".py"), "w") as file:
            file.write(text)
    bench = Bench({"PYTHONPATH": packages, "FUMEHOOD_PRELOAD": "ssl multiprocessing.process numpy.random"})
    try:
        bench.env.pop("FUMEHOOD_PRELOAD")
        for code in ("import ssl; print(ssl.RAND_bytes(8))", "import numpy.random; print(numpy.random.state.random())",
                     "import multiprocessing as m; print(bytes(m.current_process().authkey))"):
            drawn = [bench.warm(code) for _ in range(3)]
            assert not drawn[0].err and len({one.out for one in drawn}) == 3
        code = "import os, sys; print(list(os.environ.items()), sys.path, sorted(sys.modules))"
        warm, cold = both(bench, code)
        assert warm == cold
    finally:
        bench.close()


def test_what_a_site_does_is_done(packages):
    """A sitecustomize of its own, with something to do at the end."""
    with open(os.path.join(packages, "sitecustomize.py"), "w") as file:
        file.write("import atexit, sys\nsys.site = __file__\natexit.register(print, 'the end of the site')\n")
    bench = Bench({"PYTHONPATH": packages})
    try:
        for code in ("import sys; print(sys.site, sys.path, sorted(sys.modules))", "1/0", "f = open('f', 'w'); f.write('x')",
                     "class C:\n    def __del__(self): print('gone')\nc = C()", "raise SystemExit(3)"):
            warm, cold = both(bench, code)
            assert warm == cold and b"the end of the site" in warm.out
    finally:
        bench.close()


def test_what_cannot_be_imported_ahead_is_passed_over():
    bench = Bench({"FUMEHOOD_PRELOAD": "nosuch json antigravity.nosuch os.nosuch"})
    try:
        bench.env.pop("FUMEHOOD_PRELOAD")
        for code in ("import sys, json; print(sorted(sys.modules))", "import nosuch", "import os; print(list(os.environ))"):
            warm, cold = both(bench, code)
            assert warm == cold
    finally:
        bench.close()


def test_a_cell_ends_with_its_line(bench):
    pid, line = bench.cell(1, 2)
    line.close()
    assert bench.ended(pid)[0] == 0


def test_cells_wait_beside_each_other(bench):
    null = os.open("/dev/null", os.O_WRONLY)
    cells = [bench.cell(null, null) for _ in range(4)]
    assert bench.warm("print(1)").out == b"1\n"
    for pid, line in cells:
        line.close()
        assert bench.ended(pid)[0] == 0
    os.close(null)


def test_a_zygote_that_cannot_start_says_why(tmp_path):
    bench = Bench({"PYTHONPATH": "/nowhere"})
    bench.close()
    shutil.copy(DRIVER, tmp_path / "zygote.py")
    env = {"FUMEHOOD_OBJECT": "", "FUMEHOOD_WORKSPACE": "/nowhere", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, str(tmp_path / "zygote.py")], env=env, capture_output=True)
    assert done.returncode == 1 and b"/nowhere" in done.stderr
