"""A run in a copy of an interpreter gives what the same run gives in a sandbox of its own: all of it but times and ids.

What Python itself does in a copy is compared, by hundreds of programs, in tests/drivers/test_zygote.py; here it is the whole
way: limits, verdicts, output, and what a program sees around it.
"""
import re

import cells
import mcp
import pytest

# What two runs never have in common.
TIMES_AND_IDS = {"run_id", "duration_ms", "cpu_ms", "peak_memory_bytes", "path"}

PROGRAMS = {
    # how it ends
    "nothing": "",
    "a comment": "# x",
    "print": "print('hello')",
    "no newline": "import sys; sys.stdout.write('hello')",
    "exit 0": "import sys; sys.exit(0)",
    "exit 3": "import sys; print('out'); sys.exit(3)",
    "exit 255": "import sys; sys.exit(255)",
    "exit 256": "import sys; sys.exit(256)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit 2**40": "import sys; sys.exit(2**40)",
    "exit None": "import sys; sys.exit(None)",
    "exit True": "import sys; sys.exit(True)",
    "exit text": "import sys; sys.exit('no more \u20ac')",
    "exit 3.7": "import sys; sys.exit(3.7)",
    "exit a tuple": "import sys; sys.exit((1, 2))",
    "raise SystemExit": "raise SystemExit(4)",
    "exit of a class": "class E(SystemExit):\n    def __init__(self): self.code = 9\nraise E",
    "exit past finally": "import sys\ntry: sys.exit(5)\nfinally: print('finally')",
    "exit caught": "import sys\ntry: sys.exit(5)\nexcept SystemExit as e: print('caught', e.code)",
    "exit in a thread": "import sys, threading\nt = threading.Thread(target=sys.exit, args=(5,)); t.start(); t.join(); print('on')",
    "exit in atexit": "import atexit, sys\natexit.register(sys.exit, 5)\nprint(1)",
    "quit": "print(1)\nquit(6)",
    "os._exit": "import os\nprint('lost')\nos._exit(7)",
    "os._exit flushed": "import os\nprint('kept', flush=True)\nos._exit(8)",
    "its own SIGKILL": "import os, signal\nprint('a', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)",
    "its own SIGTERM": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "its own SIGINT": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass",
    "its own SIGUSR1": "import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)",
    "its own SIGQUIT": "import os, signal\nos.kill(os.getpid(), signal.SIGQUIT)",
    "abort": "import os\nos.abort()",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "alarm": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\nsignal.pause()",
    "a signal handled": "import os, signal\nsignal.signal(10, lambda n, f: print('got', n))\nos.kill(os.getpid(), 10)",
    "a broken pipe": "import os, signal\nr, w = os.pipe(); os.close(r)\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\nos.write(w, b'x')",
    "a forbidden call": "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.unshare(0x10000000), ctypes.get_errno())",
    "int 0x80": "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
                "ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()",
    "exec": "import os\nprint('before', flush=True)\nos.execv('/bin/sh', ['sh', '-c', 'echo after; exit 12'])",
    # what it says of errors
    "error": "def f():\n    g()\ndef g():\n    return 1 / 0\nf()",
    "error with a cause": "try:\n    {}['x']\nexcept KeyError as e:\n    raise ValueError('\u00e4') from e",
    "error with notes": "e = ValueError(1)\nif hasattr(e, 'add_note'): e.add_note('a note')\nraise e",
    "error in a thread": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t'); t.start(); t.join(); print('on')",
    "error in atexit": "import atexit\natexit.register(lambda: 1 / 0)",
    "error in __del__": "class C:\n    def __del__(self): 1 / 0\nc = C()\ndel c\nprint('on')",
    "error in exec": "exec('x = 1\\n1 / 0')",
    "error across lines": "x = (1 +\n     2 / 0 +\n     3)",
    "recursion": "def f(): return f()\nf()",
    "syntax": "print(1)\nx = (",
    "indentation": "if 1:\n  x\n    y",
    "tabs and spaces": "if 1:\n\tx = 1\n        y = 2",
    "a name": "prnt(1)",
    "an import": "import nothing_of_that_name",
    "a group": "raise ExceptionGroup('both', [ValueError(1), TypeError(2)])",
    "a warning": "import warnings\nwarnings.warn('old', DeprecationWarning)\nassert (1, 2)",
    "a hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0])\n1 / 0",
    "without its source": "import os\nos.remove(__file__)\n1 / 0",
    "interrupted": "raise KeyboardInterrupt",
    "no memory": "x = []\nwhile True: x.append(bytearray(8 << 20))",
    "error of memory": "bytearray(1 << 50)",
    # output
    "both streams": "import sys\nfor i in range(50):\n    print('o', i)\n    print('e', i, file=sys.stderr)",
    "into one": "import os, sys\nos.dup2(1, 2)\nfor i in range(50):\n    print('o', i, flush=True)\n    print('e', i, file=sys.stderr)",
    "much": "for i in range(40000): print(i)",
    "much of both": "import sys\nfor i in range(20000):\n    print(i, 'x' * 50)\n    print(i, file=sys.stderr)",
    "one long line": "print('x' * 3000000)",
    "no text": "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 10)",
    "broken UTF-8": "import sys\nsys.stdout.buffer.write(b'a\\xff\\xc3b\\xe2\\x82')\nsys.stderr.buffer.write(b'\\xf0\\x9f')",
    "unicode": "print('\u20ac \U0001f40d \u0645\u0631\u062d\u0628\u0627 \u2028 \\x00 \\x1b[31m')",
    "surrogates": "print('\\ud800')",
    "carriage returns": "print('a\\rb\\r\\nc')",
    "closed stdout": "import sys\nsys.stdout.close()\nprint('x', file=sys.stderr)",
    "closed descriptors": "import os\nprint('lost')\nos.close(1)\nos.close(2)",
    "no stdout": "import sys\nsys.stdout = None\nprint(1)\nsys.stderr.write('e')",
    "streams": "import sys\nfor s in sys.stdin, sys.stdout, sys.stderr: print(s.encoding, s.errors, s.isatty(), s.fileno(), s.line_buffering,"
               " s.name, s.mode, type(s.buffer).__name__)",
    # what lives longer than the main thread
    "atexit in order": "import atexit\nfor i in range(3): atexit.register(print, i)\nprint('main')",
    "a thread that goes on": "import threading, time\ndef f():\n    time.sleep(0.2); print('thread')\nthreading.Thread(target=f).start()\nprint('main')",
    "a daemon thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('main')",
    "a child that goes on": "import os, time\nif not os.fork():\n    os.setsid(); time.sleep(60)\nprint('parent', flush=True)",
    "a child that holds nothing": "import os, time\nif not os.fork():\n    os.closerange(0, 9); time.sleep(60)\nos._exit(2)",
    "both of a fork": "import os\nprint('once', flush=True)\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('twice')",
    "a child's end": "import os\npid = os.fork()\nif not pid: os.kill(os.getpid(), 9)\nprint(os.waitpid(pid, 0)[1])",
    "__del__ at the end": "class C:\n    def __del__(self): print('del')\nc = C()",
    "an open file": "f = open('f', 'w'); f.write('x')",
    "a generator": "def g():\n    try: yield\n    finally: print('closed')\nx = g(); next(x)",
    "subprocess": "import subprocess\nprint(subprocess.run(['sh', '-c', 'echo out; echo err >&2; exit 3'], capture_output=True))",
    "a pool": "from concurrent.futures import ThreadPoolExecutor as P\nprint(sum(P(4).map(abs, range(-100, 0))))",
    "multiprocessing": "import multiprocessing as m\ndef f(x): return x * x\n"
                       "if __name__ == '__main__':\n    with m.Pool(2) as p: print(p.map(f, range(5)))",
    "spawned": "import multiprocessing as m\ndef f(q): q.put(__name__)\nif __name__ == '__main__':\n"
               "    c = m.get_context('spawn'); q = c.Queue(); p = c.Process(target=f, args=(q,)); p.start(); print(q.get()); p.join()",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    p = await asyncio.create_subprocess_exec('echo', 'child')\n"
               "    return await p.wait()\nprint(asyncio.run(f()))",
    # limits
    "processes": "import os, time\ntry:\n    while True:\n        if not os.fork(): time.sleep(60)\nexcept OSError as e: os._exit(e.errno)",
    "threads": "import threading, time\ntry:\n    while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
               "except RuntimeError as e: print(e)\nimport os\nos._exit(1)",
    "descriptors": "import os\nx = []\ntry:\n    while True: x.append(os.open('/dev/null', 0))\nexcept OSError as e: print(len(x), e)",
    "disk": "with open('f', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
    "disk of tmp": "with open('/tmp/f', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
    "a child's memory": "import os\nif not os.fork():\n    x = []\n    while True: x.append(bytearray(8 << 20))\nprint(os.wait()[1])\nos._exit(1)",
    # what it sees of itself
    "itself": "import sys, os\nprint(__name__, __file__, __doc__, __package__, __spec__, type(__loader__).__name__, sys.argv, sys.orig_argv,"
              " sys.executable, sys.prefix, sys.flags, sys.path, sorted(globals()), os.getcwd(), os.listdir('.'), sys.modules['__main__'].x"
              " if 'x' in globals() else None)",
    "its modules": "import sys\nprint(sorted(sys.modules), sys.path_hooks, sys.meta_path, sorted(sys.path_importer_cache))",
    "its source": "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f), open(__file__).read(), inspect.getfile(f))",
    "a shebang": "#!/usr/bin/python3\nimport os, subprocess, sys\nprint(oct(os.stat(__file__).st_mode), sys.argv, flush=True)\n"
                 "len(sys.argv) > 1 or subprocess.run(['./main.py', 'again'])",
    "its file": "import os\ns = os.stat(__file__)\nprint(oct(s.st_mode), s.st_uid == os.getuid(), s.st_nlink, s.st_size)",
    "a class of it": "import pickle\nclass C: pass\nprint(pickle.dumps(C()), C)",
    "beside it": "open('mod.py', 'w').write('x = 5')\nimport mod, os\nprint(mod.x, mod.__file__, sorted(os.listdir('.')))",
    "its environment": "import os\nprint(sorted(os.environ.items()))",
    "who it is": "import os, pwd, getpass\nprint(pwd.getpwuid(os.getuid())[0], getpass.getuser(), os.getpid(), os.getppid(), os.getpgrp() == os.getpid(),"
                 " os.getsid(0) == os.getpid(), os.getgroups(), os.path.expanduser('~'))",
    "its limits": "import resource, os\nprint([(n, resource.getrlimit(getattr(resource, n))) for n in sorted(dir(resource)) if n.startswith('RLIMIT')],"
                  " os.umask(0), os.getpriority(os.PRIO_PROCESS, 0), len(os.sched_getaffinity(0)), os.cpu_count())",
    "its signals": "import signal\nprint([signal.getsignal(n) for n in range(1, 65) if n not in (32, 33)], signal.pthread_sigmask(0, []))",
    "its descriptors": "import os\nprint(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:-1], [os.get_inheritable(f) for f in (0, 1, 2)],"
                       " [os.readlink(f'/proc/self/fd/{f}').split(':')[0] for f in (1, 2)])",
    "its confinement": "for l in open('/proc/self/status'):\n    if l.split(':')[0] in ('NoNewPrivs', 'Seccomp', 'Seccomp_filters', 'CapInh', 'CapPrm',"
                       " 'CapEff', 'CapBnd', 'CapAmb', 'NSpid', 'Threads', 'Groups', 'SigBlk', 'SigIgn', 'SigCgt'): print(l, end='')",
    "its neighbours": "import os\nprint(sorted((int(p), open(f'/proc/{p}/comm').read()) for p in os.listdir('/proc') if p.isdigit()))",
    "its mounts": "for l in open('/proc/self/mountinfo'):\n    a, b = l.split(' - ')\n    print(a.split()[3:6], b.split()[0],"
                  " [o for o in b.split()[2].split(',') if 'id=' not in o])",
    "its network": "import socket\nprint(socket.gethostname(), socket.if_nameindex(), open('/proc/net/route').read().count('\\n'))\n"
                   "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname()); print('loop')",
    "its places": "import os\nfor p in '/', '/tmp', '/workspace', '/dev', '/dev/shm', '/run', '/var/tmp', '/home', '/proc', '/etc/passwd', '/usr', '/opt':\n"
                  "    try: s = os.stat(p); print(p, oct(s.st_mode), os.access(p, os.W_OK), sorted(os.listdir(p))[:40] if p in ('/', '/dev', '/tmp') else '')\n"
                  "    except OSError as e: print(p, e)",
    "its interpreter": "import sys, gc, locale, threading, time\nprint(sys.version, sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold(),"
                       " locale.getlocale(), locale.getpreferredencoding(), threading.active_count(), threading.main_thread().name, time.tzname,"
                       " sys.gettrace(), sys.excepthook is sys.__excepthook__, sys.warnoptions, sys.dont_write_bytecode, hasattr(sys, 'ps1'))",
    "its clock": "import time\nprint(time.process_time() < 1, time.thread_time() < 1, abs(time.time() - __import__('os').stat(__file__).st_mtime) < 5)",
    # text of all sorts
    "a byte order mark": "\ufeffprint('bom')",
    "a cookie": "# -*- coding: latin-1 -*-\nprint(len('\u20ac'))",
    "line ends": "print(1)\r\nprint(2)\rprint(3)\n",
    "names": "\u00e4\u00f6 = '\u4e2d\u6587'\nprint(\u00e4\u00f6, ascii(\u00e4\u00f6))",
    "one long program": "x = 0\n" + "x += 1\n" * 20000 + "print(x)",
    "modules that are there": "import json, re, math, random, datetime, decimal, sqlite3, ssl, ctypes, zlib, hashlib, statistics, csv, io, typing\n"
                              "print(json.dumps({'a': 1}), re.sub('a', 'b', 'aa'), math.pi, decimal.Decimal('1.1'), hashlib.sha256(b'').hexdigest())",
    "files": "import os, tempfile, pathlib\nos.mkdir('d')\npathlib.Path('d/f').write_text('x')\nos.symlink('f', 'd/l')\n"
             "with tempfile.NamedTemporaryFile() as f: print(f.name.startswith('/tmp/'))\nprint(sorted(os.listdir('d')), oct(os.stat('d/f').st_mode))",
}
# name -> (program, what it is called with)
CALLS = {name: (code, {}) for name, code in PROGRAMS.items()}
READ = "import sys\ntext = sys.stdin.read()\nprint(len(text), repr(text[:20]), repr(text[-20:]))"
CALLS.update({
    "no stdin": (READ, {}),
    "an empty stdin": (READ, {"stdin": ""}),
    "stdin": (READ, {"stdin": "a\nb\r\n\u20ac"}),
    "a large stdin": (READ, {"stdin": "0123456789\n" * 50000}),
    "stdin that is not read": ("print(1)", {"stdin": "x" * 300000}),
    "lines of stdin": ("for line in open(0): print(repr(line))", {"stdin": "a\n\nb"}),
    "input": ("print(input('? ') + input())", {"stdin": "a\nb\n"}),
    "input without any": ("input()", {}),
    "stdin as a file": ("import os, stat\ns = os.fstat(0)\nprint(stat.S_IFMT(s.st_mode), s.st_size)", {"stdin": "abc"}),
    "no stdin as a file": ("import os, stat\ns = os.fstat(0)\nprint(stat.S_IFMT(s.st_mode), s.st_size)", {}),
    "a timeout": ("print('a', flush=True)\nwhile True: pass", {"timeout_ms": 1000}),
    "a timeout asleep": ("import time\ntime.sleep(60)", {"timeout_ms": 200}),
    "a timeout of deaf ones": ("import os, signal, time\nos.fork() or os.setsid()\nos.fork() or os.setsid()\nsignal.signal(15, signal.SIG_IGN)\n"
                               "time.sleep(60)", {"timeout_ms": 200}),
    "a timeout while stopped": ("import os\nos.kill(os.getpid(), 19)", {"timeout_ms": 200}),
    "a timeout too short": ("while True: pass", {"timeout_ms": 1}),
    "a timeout too long": ("print(1)", {"timeout_ms": 10 ** 8}),
})


@pytest.fixture(scope="module")
def warm():
    with cells.with_copies(mcp.Server()) as server:
        yield server
        cells.nothing_is_amiss(server)


@pytest.fixture(scope="module")
def cold():
    with mcp.Server(options=cells.NONE) as server:
        server.initialize()
        server.tools()
        yield server


def seen(server, code, how, path):
    """Everything of the result but times, ids and addresses, after it has been seen to come that way."""
    call = server.start("run_code", {"language": "python", "code": code, **how})
    result = server.result_of(call)
    facts = result["structuredContent"]
    assert facts["path"] == path, facts
    kept = {name: plain(value) for name, value in facts.items() if name not in TIMES_AND_IDS}
    return kept, [{name: plain(value) for name, value in block.items()} for block in result["content"]]


def plain(value):
    if not isinstance(value, str):
        return value
    value = re.sub(r"\b(in|after|cpu|peak memory) \d+ (ms|bytes)", r"\1 N \2", value)
    value = re.sub(r"\b(with|stdout|stderr) [0-9a-f]{8} ---", r"\1 MARK ---", value)
    return re.sub(r"run_[0-9a-f]{32}", "run_", re.sub(r"0x[0-9a-f]{6,}", "0x", value))


@pytest.mark.parametrize("name", CALLS)
def test_both_paths_give_the_same(warm, cold, name):
    assert seen(warm, *CALLS[name], "warm") == seen(cold, *CALLS[name], "cold")


@pytest.mark.parametrize("code", ["import time; print(time.time_ns())", "import os; os._exit(os.urandom(1)[0] % 100 + 1)"])
def test_a_difference_would_be_seen(warm, cold, code):
    """What no two runs have in common, or hardly ever."""
    assert any(seen(warm, code, {}, "warm") != seen(cold, code, {}, "cold") for _ in range(5))


def test_a_flood_ends_in_the_same_way(warm, cold):
    """How much of it comes through before the end is chance."""
    found = []
    for server, path in (warm, "warm"), (cold, "cold"):
        facts, _ = seen(server, "while True: print('x' * 65536)", {}, path)
        assert facts.pop("stdout_bytes") >= 16 << 20
        facts["stdout"] = facts["stdout"][:1000]
        facts.pop("stdout_uri", None)
        found.append(facts)
    assert found[0] == found[1] and found[0]["status"] == "output_limit"


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(3)", "while True: pass"])
def test_both_give_the_same_in_the_background(warm, cold, end):
    """All of its output, read piece by piece, and what there is at the end; one of them is cancelled."""
    code = f"import time\nfor i in range(5):\n    print(i, '\u20ac' * 9, flush=True)\n    time.sleep(0.02)\n{end}"
    found = []
    for server, path in (warm, "warm"), (cold, "cold"):
        facts, out = server.run_code(code=code, background=True), ""
        assert facts["path"] == path if "path" in facts else facts["status"] == "running"
        while True:
            out += facts["stdout"]
            if facts["status"] != "running" and facts["stdout_eof"]:
                break
            if out.count("\n") == 5 and "while" in end:
                server.call("run_cancel", {"run_id": facts["run_id"]})
            facts = server.call("run_status", {"run_id": facts["run_id"], "wait_ms": 5000, "max_bytes": 40,
                                               "stdout_offset": facts["next_stdout_offset"]})
        assert facts["path"] == path
        found.append((out, facts["status"], facts.get("exit_code"), facts["stdout_bytes"], facts["limits_hit"]))
    assert found[0] == found[1] and found[0][0].count("\n") == 5
