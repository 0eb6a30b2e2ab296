"""What one program leaves behind in a cell is not there for the next, nor in the zygote both were forked from."""
import secrets

import pytest

from conftest import skip

# Each part leaves MARK somewhere, and goes on where it may not.
PLANT = """
import atexit, builtins, fcntl, gc, json, mmap, os, random, resource, signal, socket, string, subprocess, sys, threading
MARK = "{mark}"
done = []

def leave(name, how):
    try:
        how()
        done.append(name)
    except (OSError, AttributeError, TypeError, ValueError, MemoryError) as error:
        print("#", name, error)

def folder(at):
    os.makedirs(at + "/" + MARK)
    with open(at + "/" + MARK + "/" + MARK, "w") as file:
        file.write(MARK)

def in_the_background():
    subprocess.Popen(["sleep", "30"], env={{"MARK": MARK, "PATH": os.environ["PATH"]}}, start_new_session=True)

def locked():
    fd = os.open("/dev/shm/" + MARK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.set_inheritable(fd, True)

def listening():
    global server
    server = socket.socket(socket.AF_UNIX)
    server.bind("\\0" + MARK)
    server.listen()
    other = socket.create_server(("127.0.0.1", 4711))
    globals()["other"] = other

def mapped():
    global shared
    shared = mmap.mmap(-1, 1 << 20)
    shared.write(MARK.encode())
    fd = os.memfd_create(MARK)
    os.write(fd, MARK.encode())

for at in "/tmp", "/workspace", "/dev/shm", "/var/tmp", "/run/fumehood", os.path.expanduser("~"):
    leave("files in " + at, lambda: folder(at))
leave("a global", lambda: globals().__setitem__(MARK, MARK))
leave("a builtin", lambda: setattr(builtins, MARK, MARK))
leave("another print", lambda: setattr(builtins, "len", lambda x: MARK))
leave("a module's attribute", lambda: setattr(json, MARK, MARK))
leave("another function of a module", lambda: setattr(string, "capwords", lambda text: MARK))
leave("a module", lambda: sys.modules.__setitem__(MARK, json))
leave("the path", lambda: sys.path.insert(0, "/tmp/" + MARK))
leave("a finder", lambda: sys.meta_path.insert(0, type(MARK, (), {{"find_spec": lambda *a: None}})))
leave("the environment", lambda: os.environ.__setitem__("MARK", MARK))
leave("the working folder", lambda: os.chdir("/tmp"))
leave("the mask of files", lambda: os.umask(0o777))
leave("a handler of a signal", lambda: signal.signal(signal.SIGUSR1, lambda *a: None))
leave("a signal that is ignored", lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
leave("a blocked signal", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]))
leave("a timer", lambda: signal.setitimer(signal.ITIMER_REAL, 3000))
leave("limits", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)))
leave("priority", lambda: os.nice(5))
leave("open descriptors", lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(20)])
leave("a lock", locked)
leave("sockets", listening)
leave("memory", mapped)
leave("a process", in_the_background)
leave("a thread", lambda: threading.Thread(target=threading.Event().wait, daemon=True).start())
leave("the collector", lambda: gc.set_threshold(1, 1, 1))
leave("the recursion limit", lambda: sys.setrecursionlimit(222))
leave("a known random state", lambda: random.seed(1))
leave("the hook of exceptions", lambda: setattr(sys, "excepthook", lambda *a: print(MARK)))
leave("the name of the process", lambda: open("/proc/self/comm", "w").write(MARK[:8]))
leave("a core", lambda: open("/proc/self/coredump_filter", "w").write("7f"))
leave("its badness", lambda: open("/proc/self/oom_score_adj", "w").write("999"))
print(len(done), "left")
"""

# Everything in which something of an earlier program could be. What is the same in every cell is said, too.
LOOK = """
import builtins, gc, json, os, random, resource, signal, socket, string, sys, threading
said = {}
said["modules"] = sorted(sys.modules)
said["builtins"] = sorted(dir(builtins)), len([1, 2])
said["attributes"] = sorted(dir(json)) + sorted(dir(string)), string.capwords("a b")
said["globals"] = sorted(globals())
said["path"] = sys.path, [str(finder)[:60] for finder in sys.meta_path]
said["environment"] = dict(os.environ)
said["folder"] = os.getcwd(), oct(os.umask(0o22))
said["signals"] = [str(signal.getsignal(s)) for s in range(1, 32)], sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), \
    signal.getitimer(signal.ITIMER_REAL)
said["limits"] = [resource.getrlimit(n) for n in range(16)], os.getpriority(os.PRIO_PROCESS, 0)
said["descriptors"] = sorted(os.listdir("/proc/self/fd"))[:6], len(os.listdir("/proc/self/fd"))
said["threads"] = threading.active_count(), len(os.listdir("/proc/self/task"))
said["collector"] = gc.get_threshold(), sys.getrecursionlimit(), sys.excepthook is sys.__excepthook__
said["processes"] = [(pid, open("/proc/%s/comm" % pid).read()) for pid in os.listdir("/proc") if pid.isdigit()]
said["of the process"] = [open("/proc/self/" + name).read() for name in ("comm", "coredump_filter", "oom_score_adj")]
said["files"] = [(at, sorted(os.listdir(at))) for at in ("/tmp", "/workspace", "/dev/shm", "/var/tmp")]
said["sockets"] = [line.split()[-1] for name in ("unix", "tcp") for line in list(open("/proc/net/" + name))[1:]]
said["shared"] = [len(open("/proc/sysvipc/" + n).readlines()) if os.path.exists("/proc/sysvipc/" + n) else 0
                  for n in ("shm", "sem", "msg")]
print(json.dumps(said, default=str))
print(random.random(), os.urandom(8).hex(), file=sys.stderr)
"""


@pytest.fixture
def cells(server):
    if not server.has_cells():
        skip("a server without cgroups has no cells")
    return server


def test_nothing_of_one_program_is_there_for_the_next(cells):
    before = cells.warm(LOOK)
    numbers = {before["stderr"]}
    for _ in range(6):
        mark = "mark" + secrets.token_hex(8)
        planted = cells.warm(PLANT.format(mark=mark))
        assert planted["status"] == "exited" and planted["exit_code"] == 0, planted
        left = int(planted["stdout"].splitlines()[-1].split()[0])
        assert left >= 25, planted
        seen = cells.warm(LOOK)
        assert mark not in seen["stdout"] + seen["stderr"]
        assert seen["stdout"] == before["stdout"]
        assert seen["stderr"] not in numbers    # nor are its random numbers the same
        numbers.add(seen["stderr"])


def test_within_one_program_all_that_is_seen(cells):
    """The control: where a program looks that has left the marks itself."""
    mark = "mark" + secrets.token_hex(8)
    clean = cells.warm(LOOK)["stdout"]
    both = cells.warm(PLANT.format(mark=mark) + LOOK.replace("len([1, 2])", "len([1, 2]) or 0"))
    assert both["exit_code"] == 0, both
    seen = both["stdout"].splitlines()[-1]
    assert seen.count(mark) >= 12 and seen != clean.strip()
