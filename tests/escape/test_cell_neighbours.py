"""Programs in cells of one zygote beside each other, and what they may do to it, to the guest and to the keeper."""
import collections
import contextlib
import glob
import os
import secrets

import pytest

import lab
from conftest import skip
from test_cells import family, of_kind, zygotes

SLEEP = "print('here', flush=True)\nimport time\ntime.sleep(60)"


@pytest.fixture
def mark():
    return "escape-" + secrets.token_hex(8)


@pytest.fixture
def neighbour(warm_server, mark):
    """Runs code in a cell that then stays, and is over when the test is."""
    runs = []

    def start(code):
        runs.append(warm_server.start("run_code", {"language": "python", "timeout_ms": 30000, "env": {"MARK": mark},
                                                   "code": code + "\nopen('/tmp/done', 'w')\n" + SLEEP}))
        assert lab.eventually(lambda: any(os.path.exists(f"/proc/{pid}/root/tmp/done") if lab.IS_ROOT else
                                          lab.status_of(pid)["State"].startswith("S") for pid in lab.marked(mark)), 10)

    yield start
    for run in runs:
        warm_server.cancel(run)
    assert lab.eventually(lambda: not lab.marked(mark))


# --- beside each other ---------------------------------------------------------------------------

TERMINAL = """
import os
held = os.openpty()
os.write(held[0], b"typed by one\\n")
"""
OTHERS_TERMINALS = """
import os
print(sorted(os.listdir("/dev/pts")))
for name in os.listdir("/dev/pts"):
    if name != "ptmx":
        fd = os.open("/dev/pts/" + name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        print(os.read(fd, 99))
"""


def test_terminal_of_a_neighbour_is_not_there(warm_server, neighbour):
    neighbour(TERMINAL)
    assert warm_server.python(OTHERS_TERMINALS)["stdout"] == "['ptmx']\n"
    own = warm_server.python(TERMINAL + OTHERS_TERMINALS)     # the control
    assert "['0', 'ptmx']" in own["stdout"] and "typed by one" in own["stdout"], own


SHARED = """
import ctypes, os, socket
c = ctypes.CDLL(None)
kept = [socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 4711))]
kept[0].bind("\\0" + "neighbour")
kept[0].listen()
for at in "/tmp", "/workspace", "/dev/shm":
    open(at + "/neighbour", "w").write("x")
c.shm_open(b"/neighbour2", os.O_CREAT | os.O_RDWR, 0o666)
kept.append(os.memfd_create("neighbour"))
"""
SEARCH = """
import os
found = [one for at in ("/tmp", "/workspace", "/dev/shm", "/dev/pts", "/dev") for one in os.listdir(at)]
found += [pid for pid in os.listdir("/proc") if pid.isdigit()]
found += [line.split()[-1] for line in list(open("/proc/net/unix"))[1:]]
found += [line.split()[1] for line in list(open("/proc/net/tcp"))[1:]]
print(sorted(one for one in found if "neighbour" in one or "1267" in one or one.isdigit() and one not in "12"))
"""


def test_nothing_a_neighbour_shares_with_its_own_can_be_found(warm_server, neighbour):
    neighbour(SHARED)
    assert warm_server.python(SEARCH)["stdout"] == "[]\n"
    own = warm_server.python(SHARED + SEARCH)["stdout"]
    assert own.count("neighbour") >= 5 and "1267" in own, own


# What a user's processes have in common, whichever room they are in: each is asked for up to its end.
COUNTED = {
    "processes": ("import os\nwhile True:\n    try:\n        if not os.fork():\n            import time; time.sleep(60)\n"
                  "    except OSError: break",
                  "import os\npid = os.fork()\nif not pid: os._exit(3)\nprint(os.waitpid(pid, 0)[1])", "768\n"),
    "signals": ("import ctypes, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))\nc = ctypes.CDLL(None)\n"
                "import os\nwhile c.sigqueue(os.getpid(), 40, 0) == 0: pass",
                "import ctypes, os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [40])\n"
                "print(ctypes.CDLL(None).sigqueue(os.getpid(), 40, 0))", "0\n"),
    "descriptors on their way": (
        "import os, socket\nheld = []\ntry:\n    for n in range(60):\n        held.append(socket.socketpair())\n"
        "        socket.send_fds(held[-1][0], [b'x'], [0] * 200)\nexcept OSError: pass",
        "import socket\na, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], [0] * 9)\nprint(len(socket.recv_fds(b, 1, 9)[1]))",
        "9\n"),
}


@pytest.mark.parametrize("what", sorted(COUNTED))
def test_neighbour_that_has_used_up_its_count_leaves_others_theirs(warm_server, neighbour, what):
    """Except where the kernel counts by the host's user: an ordinary one has the same in all."""
    use_up, use, expected = COUNTED[what]
    assert warm_server.python(use)["stdout"] == expected
    neighbour(use_up)
    result = warm_server.python(use)
    if what == "descriptors on their way" and warm_server.as_user:
        assert result["stdout"] in (expected, "") and result["status"] == "exited", result
    else:
        assert result["stdout"] == expected, result


# --- the zygote, the guest and the keeper --------------------------------------------------------

WORST = {
    "memory": "b = []\nwhile True: b.append(bytearray(b'x' * (8 << 20)))",
    "processes": "import os\nwhile True:\n    try: os.fork()\n    except OSError: os.kill(os.getpid(), 9)",
    "kills": "import os\nfor n in range(-70, 70):\n    for s in 9, 19, 15:\n        try: n in (0, os.getpid()) or os.kill(n, s)\n"
             "        except OSError: pass\nos._exit(1)",
    "tracing": "import ctypes, os\nc = ctypes.CDLL(None)\nfor n in range(1, 200): c.ptrace(16, n, 0, 0); c.ptrace(0x4206, n, 0, 0)\n"
               "c.prctl(0x59616d61, -1)\nfor n in range(1, 9):\n    for name in 'mem', 'environ', 'maps', 'fd', 'task', 'ns/mnt':\n"
               "        try: n != os.getpid() and print(n, name, open('/proc/%d/%s' % (n, name), 'rb').read(9))\n"
               "        except OSError: pass",
    "guardian": "import ctypes, os\nctypes.CDLL(None).prctl(36, 1)\nfor _ in range(30):\n    if not os.fork():\n"
                "        os.setsid()\n        if os.fork(): os._exit(0)\n        import time; time.sleep(60)\nos._exit(0)",
    "its end": "import os, signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
               "os.closerange(0, 4096)\nos.kill(os.getpid(), 9)",
    "descriptors": "import os, socket\nfor fd in range(3, 1024):\n    try: socket.socket(fileno=os.dup(fd)).send(b'\\0' * 99)\n"
                   "    except OSError: pass",
}


@pytest.mark.parametrize("what", sorted(WORST))
def test_zygote_and_guest_live_through(warm_server, what):
    warm_server.python("pass")
    before = zygotes(warm_server), of_kind(warm_server, "guest")
    assert before[0] and before[1]
    for _ in range(3):
        result = warm_server.python(WORST[what], timeout_ms=4000)
        assert what != "tracing" or result["stdout"] == "", result
    assert warm_server.python("print(1)")["stdout"] == "1\n"
    assert (zygotes(warm_server), of_kind(warm_server, "guest")) == before
    assert lab.eventually(lambda: not lab.children_of(warm_server.proc.pid)), "defunct processes"


# A file system is taken apart by who closes its last descriptor. The keeper serves all, and is not to be who.
FULL = """
import os
for at in "/workspace", "/tmp", "/dev/shm":
    try:
        for n in range(40000):
            os.close(os.open(at + "/%d" % n, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pass
"""


def time_of(pids):
    """Nanoseconds of CPU that these have used."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def keepers_time(server):
    """Of the server's own processes; what is in sandboxes is not."""
    return time_of(pid for pid, status in family(server).items()
                   if status["Name"] == "fumehood" and len(status["NSpid"].split()) == 1)


@pytest.mark.parametrize("path", ["warm", "cold"])
def test_keeper_does_not_take_apart_what_programs_leave(warm_server, server, path):
    by = warm_server if path == "warm" else server
    by.python("pass")
    times = []
    for code in "pass", FULL:
        before = keepers_time(by)
        assert by.python(code, timeout_ms=30000)["path"] == path
        by.python("pass")
        times.append(keepers_time(by) - before)
    # 33,000 inodes of the workspace are 60 ms and more
    assert times[1] < times[0] + 30_000_000, times


def test_guest_does_not_take_apart_what_programs_leave(warm_server):
    """It has other cells meanwhile: it has a child do that, once the keeper has let go."""
    if not lab.IS_ROOT:
        skip("only root sees a guest's descriptors")

    def holds_none():
        """But of rooms that are there."""
        try:
            held = {os.readlink(f"/proc/{pid}/fd/{n}") for pid in guests for n in os.listdir(f"/proc/{pid}/fd")}
            there = {os.readlink(f"/proc/{pid}/ns/mnt") for pid in of_kind(warm_server, "room")}
        except OSError:     # one has gone meanwhile
            return False
        return not {one for one in held - there if one.startswith("mnt:")}

    warm_server.python("pass")
    guests, times = of_kind(warm_server, "guest"), []
    assert guests
    for code in "pass", FULL:
        before = time_of(guests)
        warm_server.python(code, timeout_ms=30000)
        assert lab.eventually(holds_none, 10)
        warm_server.python("pass")      # which it has heard of when it is through with what was before
        times.append(time_of(guests) - before)
    assert times[1] < times[0] + 30_000_000, times


def test_only_one_that_nobody_waits_for_holds_the_mounts_of_rooms(warm_server, neighbour):
    """A room's init begins with the guest's descriptors: closing the last one of another's mounts would be its work."""
    if not lab.IS_ROOT:
        skip("only root sees the descriptors of processes that are not dumpable")
    neighbour("")
    warm_server.python("pass")
    rooms = {os.readlink(f"/proc/{pid}/ns/mnt") for pid in of_kind(warm_server, "room")}
    held = collections.defaultdict(set)
    for pid, status in family(warm_server).items():
        for path in glob.glob(f"/proc/{pid}/fd/*"):
            with contextlib.suppress(OSError):
                if (at := os.readlink(path)).startswith("mnt:"):
                    held[status["Name"]].add(at)
    assert set(held) == {"mounts"} and held["mounts"] & rooms, held


def test_session_is_not_taken_apart_by_the_keeper(server):
    def time_to_close(code):
        with lab.Session(server) as session:
            session.run(code, timeout_ms=30000)
            before = keepers_time(server)
        server.python("pass")
        return keepers_time(server) - before

    # the least of three: on a busy machine another's interrupts count as ours
    times = [min(time_to_close(code) for _ in range(3)) for code in ("pass", FULL)]
    assert times[1] < times[0] + 30_000_000, times


@pytest.fixture
def wide_server(started_by):
    made = lab.Server(started_by == "user", "--max-runs", "100", "--max-queue", "100", "--warm-cells", "64")
    yield made
    made.close()


def test_runs_beyond_the_last_cell_are_cold_and_all_end(warm_server, wide_server):
    assert warm_server.has_cells()
    lab.eventually(lambda: wide_server.python("pass")["path"] == "warm", 10)
    runs = [wide_server.start("run_code", {"language": "python", "code": f"import time\ntime.sleep(2)\nprint({n})",
                                           "timeout_ms": 60000}) for n in range(72)]
    paths = []
    for n, run in enumerate(runs):
        result = wide_server.finish(run, 120)
        assert result["stdout"] == f"{n}\n", result
        paths.append(result["path"])
    assert {"warm", "cold"} == set(paths), paths
    assert lab.eventually(lambda: wide_server.python("pass")["path"] == "warm", 10)


# --- what it was given ---------------------------------------------------------------------------

CHANGE = """
import ctypes, os
def tried(call, *rest):
    try: return call(*rest)
    except OSError as error: return error.errno
print(open(0, closefd=False).read())
for fd in 0, tried(os.open, "/proc/self/fd/0", os.O_RDWR), tried(os.open, "/proc/self/fd/0", os.O_WRONLY):
    print(tried(os.write, fd, b"xx"), tried(os.ftruncate, fd, 0), tried(os.pwrite, fd, b"xx", 0), tried(os.ftruncate, fd, 99))
"""


def test_stdin_of_a_cell_can_only_be_read(warm_server):
    for _ in range(2):
        result = warm_server.finish(warm_server.start("run_code", {"language": "python", "code": CHANGE, "stdin": "given"}))
        assert result["path"] == "warm"
        words = result["stdout"].split()
        # EPERM: it is sealed; EBADF, EINVAL: not open for it
        assert words[0] == "given" and len(words) == 13 and set(words[1:]) <= {"1", "9", "22"}, result
