"""Programs that eat everything: each is stopped by its own limit, told by its name, and gone.

Beside each stands a small one of the same kind that must not be stopped: so that it is the limit
that made the difference, and not the sandbox that refuses all."""
import secrets
import time

import pytest

import lab

MIB = 1 << 20


@pytest.fixture
def mark():
    return "escape-" + secrets.token_hex(8)


def nothing_left(mark):
    return lab.eventually(lambda: not lab.marked(mark))


def enforced(result):
    return result["limits"] == "enforced"


FORK_BOMB = """
import os, sys
held = 0
while True:
    try:
        pid = os.fork()
    except OSError:
        print("refused after", held, flush=True)
        os.kill(os.getpid(), 9)
    if pid == 0:
        continue
    held += 1
"""

FORK_SOME = """
import os, time
children = []
for i in range(20):
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    children.append(pid)
print("made", len(children))
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


def test_fork_bomb_ends_and_nothing_is_left(server, mark):
    result = server.python(FORK_BOMB, env={"MARK": mark}, timeout_ms=5000)
    assert "refused after" in result["stdout"], result
    if enforced(result):
        assert result["status"] in ("too_many_processes", "timeout"), result
        assert "processes" in result["limits_hit"], result
    assert nothing_left(mark)
    assert server.python("print(1)")["stdout"] == "1\n"


def test_shell_fork_bomb_ends_and_nothing_is_left(server, mark):
    result = server.bash(":(){ :|:& };: ; sleep 60", env={"MARK": mark}, timeout_ms=3000)
    assert result["status"] in ("too_many_processes", "timeout", "exited"), result
    assert nothing_left(mark)


def test_few_processes_are_not_stopped(server):
    result = server.python(FORK_SOME)
    assert (result["status"], result["stdout"]) == ("exited", "made 20\n"), result
    assert result["limits_hit"] == []


MEMORY_BOMB = """
import sys
blocks = []
while True:
    blocks.append(bytearray(b"x" * (8 << 20)))
    print(len(blocks) * 8, flush=True)
"""


def test_memory_bomb_is_stopped_at_its_limit(server, mark):
    result = server.python(MEMORY_BOMB, env={"MARK": mark})
    got = max([int(w) for w in result["stdout"].split() if w.isdigit()] or [0])
    assert got < 300, result
    if enforced(result):
        assert result["status"] == "out_of_memory" and "memory" in result["limits_hit"], result
    else:
        assert result.get("exit_code") != 0, result
    assert nothing_left(mark)


def test_moderate_memory_is_not_stopped(server):
    result = server.python("b = bytearray(b'x' * (100 << 20)); print(len(b))")
    assert (result["status"], result["limits_hit"]) == ("exited", []), result


OTHER_MEMORY = {
    "anonymous_file": "fds.append(os.memfd_create('m')); os.write(fds[-1], b'x' * (1 << 20))",
    "shared_mapping": "fds.append(mmap.mmap(-1, 1 << 20)); fds[-1].write(b'x' * (1 << 20))",
    "files_and_heap": "fds.append(bytearray(b'x' * (1 << 20)))\n"
                      "    if n < 30: open('/tmp/f%d' % n, 'wb').write(fds[-1])",
}


@pytest.mark.parametrize("kind", sorted(OTHER_MEMORY))
def test_memory_by_another_name_counts(server, kind):
    """R-06. Without cgroups only a process' own private memory is bounded, and the result says so."""
    code = ("import os, mmap\nfds = []\nfor n in range(500):\n    " + OTHER_MEMORY[kind] +
            "\n    print(n, flush=True)\n")
    result = server.python(code, timeout_ms=20000)
    got = max([int(w) for w in result["stdout"].split() if w.isdigit()] or [0])
    if enforced(result) or kind == "files_and_heap":
        assert got < 300 and result.get("exit_code") != 0, (kind, result)
    if enforced(result):
        assert result["status"] == "out_of_memory" and "memory" in result["limits_hit"], result


PIPES = """
import os, fcntl
held = []
try:
    while len(held) < 2000:
        r, w = os.pipe()
        held += [r, w]
        try:
            fcntl.fcntl(w, 1031, 1 << 20)
        except OSError:
            pass
        os.set_blocking(w, False)
        try:
            while True:
                os.write(w, b"x" * 65536)
        except BlockingIOError:
            pass
except OSError as e:
    print(e.errno, len(held))
"""


def test_full_pipes_are_bounded(server):
    result = server.python(PIPES)
    assert result["status"] in ("exited", "out_of_memory"), result
    if result["status"] == "exited":
        number, held = map(int, result["stdout"].split())
        assert number == 24 and held < 1024, result  # EMFILE


@pytest.mark.parametrize("folder", ["/workspace", "/tmp", "/dev/shm"])
def test_filled_folder_says_disk_full(server, folder):
    code = f"""
n = 0
while True:
    with open("{folder}/f%d" % n, "wb", buffering=0) as f:
        f.write(b"x" * (4 << 20))
    n += 1
    print(n * 4, flush=True)
"""
    result = server.python(code)
    got = max([int(w) for w in result["stdout"].split() if w.isdigit()] or [0])
    assert got <= 64, result
    assert result["status"] in ("disk_full", "out_of_memory", "exited"), result
    assert result.get("exit_code") != 0, result
    if folder == "/workspace":
        assert result["status"] == "disk_full" and "disk" in result["limits_hit"], result


def test_half_filled_folder_is_no_problem(server):
    result = server.python("open('f', 'wb').write(b'x' * (30 << 20)); print('ok')")
    assert (result["status"], result["stdout"], result["limits_hit"]) == ("exited", "ok\n", []), result


def test_file_larger_than_the_workspace_cannot_be_made(server):
    """R-09.file_size"""
    result = server.python("import os, signal\nsignal.signal(25, signal.SIG_IGN)\n"
                           "try:\n    os.truncate(os.open('f', 66), 1 << 40)\n"
                           "except OSError as e:\n    print(e.errno)")
    assert result["stdout"] in ("27\n", "28\n"), result  # EFBIG, ENOSPC


def test_inodes_are_bounded_by_memory(server):
    """R-04: --size of a tmpfs bounds bytes, not files; their kernel memory is the run's own."""
    code = """
n = 0
try:
    for n in range(2_000_000):
        open("f%d" % n, "x").close()
        if n % 10000 == 0:
            print(n, flush=True)
except OSError as e:
    print("errno", e.errno, n)
"""
    result = server.python(code, timeout_ms=20000)
    made = max([int(w) for w in result["stdout"].split() if w.isdigit()] or [0])
    assert result["status"] in ("out_of_memory", "disk_full", "timeout", "exited"), result
    if result["status"] == "exited":
        assert "errno" in result["stdout"] and made < 2_000_000, result
    assert server.python("print(1)")["stdout"] == "1\n"


def test_descriptors_run_out(server):
    result = server.python("import os\nn = 0\ntry:\n    while True: os.dup(0); n += 1\n"
                           "except OSError as e: print(e.errno, n)")
    number, held = map(int, result["stdout"].split())
    assert number == 24 and 100 < held < 4096, result


def test_sockets_run_out(server):
    result = server.python("import socket\ns = []\ntry:\n    while True: s += socket.socketpair()\n"
                           "except OSError as e: print(e.errno, len(s))")
    number, held = map(int, result["stdout"].split())
    assert number == 24 and held < 4096, result


def test_crash_leaves_no_core(server):
    result = server.python("import os, resource\n"
                           "print(resource.getrlimit(resource.RLIMIT_CORE), os.listdir('.'), flush=True)\n"
                           "pid = os.fork()\nif pid == 0: os.abort()\nos.waitpid(pid, 0)\n"
                           "print(sorted(os.listdir('.')))")
    limit, listing = result["stdout"].splitlines()
    assert limit.startswith("(0, 0)") and listing == "['main.py']", result


# Of each two processes one is left by the other, at once.
ORPHANS = """
import os
made = 0
for i in range(%d):
    while True:
        try:
            pid = os.fork()
            break
        except BlockingIOError:
            continue
    if pid == 0:
        try:
            os.fork()
        except BlockingIOError:
            pass
        os._exit(0)
    os.waitpid(pid, 0)
    made += 1
print(made)
"""


def test_two_thousand_orphans_are_reaped(server, mark):
    """R-15: were they not reaped, the limit of processes would be met after sixty."""
    result = server.python(ORPHANS % 2000, env={"MARK": mark}, timeout_ms=60000)
    assert (result["status"], result["stdout"]) == ("exited", "2000\n"), result
    assert nothing_left(mark)
    assert lab.eventually(lambda: not lab.children_of(server.proc.pid)), "defunct processes"


def test_unreaped_children_count_as_processes(server):
    code = """
import os
n = 0
try:
    while n < 10000:
        if os.fork() == 0: os._exit(0)
        n += 1
except OSError:
    pass
print(n)
"""
    result = server.python(code)
    assert int(result["stdout"].split()[-1]) < 100, result


@pytest.mark.parametrize("storm", [
    "import os\nf = open('f', 'wb')\nwhile True: f.write(b'x'); f.flush(); os.fsync(f.fileno()); f.seek(0)",
    "import os\ni = 0\nwhile True:\n    i += 1\n    os.path.exists('/tmp/no-%d' % i)",
    "import glob\nwhile True:\n    for p in glob.glob('/usr/lib/**', recursive=True):\n        try: open(p, 'rb').read()\n        except OSError: pass",
    "import threading\ndef spin():\n    while True: pass\nfor i in range(20): threading.Thread(target=spin).start()",
    "import os\nfor i in range(5): os.fork()\nwhile True: pass",
    "import signal\nsignal.signal(14, lambda *a: None)\nsignal.setitimer(0, 1e-6, 1e-6)\nwhile True: pass",
], ids=["fsync", "negative_dentries", "page_cache", "threads", "processes", "timers"])
def test_neighbour_still_runs_beside_a_storm(server, storm, mark):
    run = server.start("run_code", {"language": "python", "code": storm, "timeout_ms": 1500,
                                    "env": {"MARK": mark}})
    assert lab.eventually(lambda: lab.marked(mark), 10)
    began = time.monotonic()
    assert server.python("print('beside')", timeout_ms=8000)["stdout"] == "beside\n"
    assert time.monotonic() - began < 8
    assert server.finish(run)["status"] in ("timeout", "out_of_memory", "disk_full")
    assert nothing_left(mark)


def test_one_cpu_is_all_it_gets(server):
    result = server.python("import os, time\nfor i in range(3): os.fork()\n"
                           "end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass")
    assert result["status"] == "exited", result
    if not enforced(result):
        assert "cpu_ms" not in result, result
        return
    assert 100 < result["cpu_ms"] < 1.3 * result["duration_ms"] + 200, result


def test_time_of_children_is_counted(server):
    """T-09: a limit of CPU seconds per process would start anew in each child."""
    code = """
import os, time
for i in range(5):
    pid = os.fork()
    if pid == 0:
        end = time.process_time() + 0.1
        while time.process_time() < end: pass
        os._exit(0)
    os.waitpid(pid, 0)
"""
    result = server.python(code)
    if enforced(result):
        assert result["cpu_ms"] >= 450, result
    assert result["duration_ms"] >= 450, result


# --- output ------------------------------------------------------------------------------------

FLOODS = {
    "one_large_block": "import os\nb = b'x' * (1 << 20)\nfor i in range(1024): os.write(1, b)",
    "no_newline": "import sys\nwhile True: sys.stdout.write('y' * 100000)",
    "lines": "i = 0\nwhile True: i += 1; print(i, 'l' * 500)",
    "stderr": "import os\nwhile True: os.write(2, b'e' * 65536)",
    "both": "import os\nwhile True: os.write(1, b'o' * 4096); os.write(2, b'e' * 4096)",
    "from_children": "import os\nfor i in range(4): os.fork()\nwhile True: os.write(1, b'c' * 65536)",
}


@pytest.mark.parametrize("name", sorted(FLOODS))
def test_output_flood_is_cut_counted_and_memory_stays_flat(server, name, mark):
    server.python("print('x' * 100000)")
    before = server.memory_kib()
    result = server.python(FLOODS[name], env={"MARK": mark}, timeout_ms=30000)
    after = server.memory_kib()
    assert len(after) >= 3, f"front, keeper and ledger are to be measured: {after}"
    assert result["status"] == "output_limit" and "output" in result["limits_hit"], result
    stream = "stderr" if name == "stderr" else "stdout"
    assert result[stream + "_truncated"] and result[stream + "_bytes"] >= 1 * MIB, result
    assert len(result[stream]) < 40000
    grown = sum(after.values()) - sum(before.get(pid, 0) for pid in after)
    assert grown < 4096, f"{grown} KiB more after the flood"
    assert nothing_left(mark)


def test_bytes_written_one_by_one_all_arrive(server):
    result = server.python("import os\nfor i in range(20000): os.write(1, b'ab'[i & 1:(i & 1) + 1])")
    assert (result["status"], result["stdout"]) == ("exited", "ab" * 10000), result


def test_output_without_newline_keeps_head_and_tail(server):
    result = server.python("import sys\nsys.stdout.write('H' * 50000 + 'm' * 100000 + 'T' * 50000)")
    assert result["stdout_bytes"] == 200000 and result["stdout_truncated"], result
    assert result["stdout"].startswith("H" * 1000) and result["stdout"].endswith("T" * 1000)


def test_interleaved_streams_are_counted_apart(server):
    result = server.python("import os\nfor i in range(2000): os.write(1, b'o'); os.write(2, b'ee')")
    assert (result["stdout"], result["stderr"]) == ("o" * 2000, "ee" * 2000), result


def test_reader_that_stalls_stalls_no_run(fresh_server, mark):
    """R-08: the client stops reading while answers pile up; runs end, memory stays bounded."""
    fresh_server.python("print(1)")
    before = sum(fresh_server.memory_kib().values())
    fresh_server.reading.clear()
    runs = [fresh_server.start("run_code", {"language": "python", "env": {"MARK": mark},
                                            "code": "print('z' * 30000)"}) for _ in range(16)]
    assert lab.eventually(lambda: lab.marked(mark), 10)
    assert lab.eventually(lambda: not lab.marked(mark), 60), "runs wait for the reader"
    grown = sum(fresh_server.memory_kib().values()) - before
    fresh_server.reading.set()
    for run in runs:
        assert "z" * 20000 in fresh_server.finish(run)["stdout"]
    assert grown < 16 * 1024, f"{grown} KiB while nobody read"
