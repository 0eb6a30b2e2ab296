"""What a program can leave behind, and where the next one would find it: one row for each place.

`plant` leaves MARK, or something that is not as it was; `look` is an expression whose value shows it; both are Python
and see what BEGIN has defined. `refused`: why the sandbox does not let it be planted. A row that only looks has no plant of
its own: what the others leave would show there too."""
import base64
import collections
import json
import os
import zlib

Mark = collections.namedtuple("Mark", "name plant look refused", defaults=[None])

BEGIN = r'''
import atexit, builtins, codecs, copyreg, ctypes, decimal, fcntl, gc, io, json, linecache, locale, logging, mmap, os, random
import re, resource, signal, socket, stat, string, subprocess, sys, threading, time, warnings, zlib, base64, contextvars
import faulthandler, tracemalloc
MARK = bytes(c ^ 1 for c in {veiled!r}).decode()     # nowhere as it is until it is planted
c = ctypes.CDLL(None, use_errno=True)
c.sem_open.restype = ctypes.c_void_p
kept = []
of_host = [name for name in sorted(os.listdir(os.path.dirname(os.__file__))) if name.endswith(".py")]
LOCK = os.path.dirname(os.__file__) + "/" + of_host[int(MARK[4:], 16) % len(of_host)]     # nobody else's, most likely
write, dumps, pack, real = os.write, json.dumps, zlib.compress, str.swapcase

def may(value):
    if value is None or value == -1 or isinstance(value, int) and value < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value

def call(number, *rest):
    return may(c.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in rest]))

def prctl(*what):
    return c.prctl(*[ctypes.c_ulong(n) for n in (*what, 0, 0, 0, 0)[:5]])

def put(path, text=None):
    with open(path, "w") as file:
        file.write(MARK if text is None else text)

def read(path):
    with open(path, "rb", 0) as file:
        return file.read().decode("latin1")

def tried(call, *rest):
    try:
        return str(call(*rest))
    except Exception as error:
        return type(error).__name__ + str(getattr(error, "errno", ""))

def below(at):
    return sorted(os.path.join(where, name) for where, dirs, files in os.walk(at) for name in dirs + files)

def field(name):
    return [line for line in read("/proc/self/status").splitlines() if line.startswith(name)]

def limit(kind):
    return [line.split() for line in read("/proc/self/limits").splitlines() if kind in line]

def locked(path):
    with open(path) as file:
        return tried(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)

def cycle(kind, text):
    kind.mark = kind(text)

def no_hook(path):
    raise ImportError

class Unlike:
    find_spec = staticmethod(lambda *a: None)

def entry(kind):
    return gc.get_referents(kind.__dict__)[0]

def in_memory():
    """How often the mark is in this process, beside where it is being looked for."""
    count, own, before = 0, MARK.encode(), b""
    with open("/proc/self/mem", "rb", 0) as mem:
        for line in read("/proc/self/maps").splitlines():
            if not line.split()[1].startswith("r") or "[v" in line:
                continue
            at, end = (int(n, 16) for n in line.split()[0].split("-"))
            while at < end:
                try:
                    mem.seek(at)
                    part = mem.read(min(end - at, 1 << 20))
                except OSError:
                    break
                count += part.count(own)
                at += len(part) or end
                part = None
    return count
'''

_SYS = {"add_key": 248, "keyctl": 250, "ioprio_set": 251, "ioprio_get": 252, "personality": 135, "timer_create": 222,
        "shmget": 29, "semget": 64, "msgget": 68}


def _files(at, refused=None):
    return Mark("files in " + at, f"os.mkdir('{at}/' + MARK); put('{at}/' + MARK + '/' + MARK)", f"below('{at}')",
                refused)


def _proc(name, text, refused):
    return Mark("/proc/self/" + name, f"put('/proc/self/{name}', '{text}')", f"read('/proc/self/{name}')", refused)


def _attr(name, plant, look):
    return Mark(name, plant, look)


READ_ONLY = "the root and all that the sandbox does not mount for the program is read-only"
NO_PROC = "Landlock: nothing in /proc can be opened for writing"
NO_CALL = "not a system call programs may make"

IN_FILES = [
    _files("/tmp"), _files("/workspace"), _files("/dev/shm"),
    _files("/var/tmp", READ_ONLY), _files("/run/fumehood", READ_ONLY), _files("/run/empty", READ_ONLY),
    _files("/dev", READ_ONLY), _files("/etc", READ_ONLY), _files("/opt", READ_ONLY),
    Mark("a link in /tmp", "os.symlink('/etc/passwd', '/tmp/link' + MARK)", "below('/tmp')"),
    Mark("a pipe in /tmp", "os.mkfifo('/tmp/pipe' + MARK)", "below('/tmp')", NO_CALL),
    Mark("the mode of /tmp", "os.chmod('/tmp', 0o700)", "os.stat('/tmp').st_mode", "it belongs to the guest"),
    Mark("the mode of /workspace", "os.chmod('/workspace', 0o711)", "os.stat('/workspace').st_mode"),
    Mark("shared memory by name", "kept.append(may(c.shm_open(b'/shm' + MARK.encode(), os.O_CREAT | os.O_RDWR, 0o600)))",
         "below('/dev/shm')"),
    Mark("a semaphore by name", "may(c.sem_open(b'/' + MARK.encode()[:8], os.O_CREAT, 0o600, 1) or None)", "below('/dev/shm')"),
    Mark("main.py", "put('/workspace/main.py', '#' + MARK)", "len(read('/workspace/main.py')) < 99"),
    Mark("a lock on a file of the host", "kept.append(open(LOCK)); fcntl.flock(kept[-1], fcntl.LOCK_EX)",
         "locked(LOCK)"),
    Mark("a full disk", "tried(put, '/tmp/fill', 'x' * (32 << 20))", "os.statvfs('/tmp').f_bfree"),
    Mark("all inodes", "[os.mkdir('/dev/shm/%d' % n) for n in range(500)]", "os.statvfs('/dev/shm').f_ffree"),
]

IN_PROCESS = [
    Mark("the working folder", "os.chdir('/tmp')", "os.getcwd()"),
    Mark("the mask of files", "os.umask(0o777)", "os.umask(0o22), os.umask(0o22) if os.umask(0o22) == 0o22 else 0",),
    Mark("a handler of a signal", "signal.signal(signal.SIGUSR1, lambda *a: None)",
         "[str(signal.getsignal(n)).split(' at ')[0] for n in range(1, 32)], field('SigCgt')"),
    Mark("a signal that is ignored", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "field('SigIgn')"),
    Mark("a blocked signal", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])", "field('SigBlk')"),
    Mark("a pending signal", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP]); os.kill(os.getpid(), signal.SIGHUP)",
         "field('ShdPnd'), sorted(signal.sigpending())"),
    Mark("a timer", "signal.setitimer(signal.ITIMER_REAL, 3000)", "signal.getitimer(signal.ITIMER_REAL)[0] > 0"),
    Mark("a POSIX timer", "call(%d, 1, 0, ctypes.byref(ctypes.c_int()))" % _SYS["timer_create"],
         "tried(read, '/proc/self/timers')"),
    Mark("a limit of files", "resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))", "limit('files')"),
    Mark("a limit of memory", "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))", "limit('address')"),
    Mark("a limit of processes", "resource.setrlimit(resource.RLIMIT_NPROC, (50, 50))", "limit('processes')"),
    Mark("niceness", "os.nice(5)", "os.getpriority(os.PRIO_PROCESS, 0)"),
    Mark("a scheduling policy", "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
         "os.sched_getscheduler(0)", NO_CALL),
    *([Mark("its processors", "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
            "sorted(os.sched_getaffinity(0))")] if len(os.sched_getaffinity(0)) > 1 else []),
    Mark("its priority for disks", "call(%d, 1, 0, 3 << 13)" % _SYS["ioprio_set"],
         "tried(call, %d, 1, 0)" % _SYS["ioprio_get"], NO_CALL),
    Mark("its personality", "call(%d, 0x0040000)" % _SYS["personality"], "tried(read, '/proc/self/personality')", NO_CALL),
    Mark("its name", "may(c.prctl(15, MARK.encode()[:8]))", "read('/proc/self/comm')"),
    Mark("its death signal", "may(c.prctl(1, 10))", "(lambda n: (prctl(2, ctypes.addressof(n)), n.value))(ctypes.c_int())"),
    Mark("the slack of its timers", "may(prctl(29, 12345))", "prctl(30)"),
    Mark("no large pages", "may(prctl(41, 1))", "prctl(42)"),
    Mark("a guardian of orphans", "may(prctl(36, 1))",
         "(lambda n: (prctl(37, ctypes.addressof(n)), n.value))(ctypes.c_int())"),
    Mark("no writable code", "may(prctl(65, 1))", "prctl(66)", NO_CALL),
    Mark("open descriptors", "kept.extend(os.open('/dev/null', os.O_RDONLY) for _ in range(20))",
         "sorted(os.listdir('/proc/self/fd'))"),
    Mark("streams that do not wait", "os.set_blocking(1, False)", "[os.get_blocking(n) for n in (0, 1, 2)]"),
    Mark("where its input stands", "os.dup2(os.open('/etc/passwd', os.O_RDONLY), 0); os.read(0, 9)",
         "read('/proc/self/fdinfo/0').split()[:2]"),
    Mark("a file without a name", "kept.append(os.memfd_create(MARK))",
         "sorted(os.readlink('/proc/self/fd/%s' % n).split(':')[0] for n in os.listdir('/proc/self/fd') if int(n) < 99 and "
         "os.path.lexists('/proc/self/fd/%s' % n)), 'memfd:mark' in str([tried(os.readlink, '/proc/self/fd/%s' % n) for n in "
         "os.listdir('/proc/self/fd')])"),
    Mark("shared memory", "kept.append(mmap.mmap(-1, 1 << 20)); kept[-1].write(MARK.encode())",
         "sum('/dev/zero' in line for line in read('/proc/self/maps').splitlines())"),
    Mark("a process", "kept.append(subprocess.Popen(['/bin/sleep', '99'], start_new_session=True))",
         "sorted(tried(read, '/proc/%s/comm' % n) for n in os.listdir('/proc') if n.isdigit())"),
    Mark("a process nobody waits for", "os.fork() or os._exit(0)",
         "sorted(n for n in os.listdir('/proc') if n.isdigit())"),
    Mark("a thread", "threading.Thread(target=threading.Event().wait, daemon=True).start()",
         "threading.active_count(), len(os.listdir('/proc/self/task'))"),
    _proc("comm", "mark", NO_PROC), _proc("coredump_filter", "7f", NO_PROC), _proc("oom_score_adj", "999", NO_PROC),
    _proc("timerslack_ns", "999", NO_PROC), 
    Mark("its group of tasks", "put('/proc/self/autogroup', '5')", "read('/proc/self/autogroup').split()[-1]", NO_PROC),
    Mark("its map of users", "put('/proc/self/uid_map', '0 0 1')", "read('/proc/self/uid_map').split()[::3]", NO_PROC),
    Mark("a rule of the kernel", "put('/proc/sys/kernel/shmmax', '1')", "read('/proc/sys/kernel/shmmax')", NO_PROC),
]

AMONG_PROCESSES = [
    Mark("an abstract socket", "kept.append(socket.socket(socket.AF_UNIX)); kept[-1].bind('\\0' + MARK)",
         "read('/proc/net/unix').count('@')"),
    Mark("a socket in a folder", "kept.append(socket.socket(socket.AF_UNIX)); kept[-1].bind('/tmp/s' + MARK)",
         "below('/tmp')"),
    Mark("a port", "kept.append(socket.create_server(('127.0.0.1', 4711)))",
         "len(read('/proc/net/tcp').splitlines())"),
    *([Mark("a port of IPv6", "kept.append(socket.create_server(('::1', 4711), family=socket.AF_INET6))",
            "len(read('/proc/net/tcp6').splitlines())")] if os.path.exists("/proc/net/tcp6") else []),
    Mark("a port that is closed", "kept.append(socket.create_server(('127.0.0.1', 4712))); "
         "kept.append(socket.create_connection(('127.0.0.1', 4712))); kept[-2].accept()[0].close()",
         "len(read('/proc/net/tcp').splitlines())"),
    Mark("shared memory of System V", "call(%d, 4711, 4096, 0o1666)" % _SYS["shmget"],
         "tried(call, %d, 4711, 4096, 0)" % _SYS["shmget"], NO_CALL),
    Mark("semaphores of System V", "call(%d, 4711, 1, 0o1666)" % _SYS["semget"],
         "tried(call, %d, 4711, 1, 0)" % _SYS["semget"], NO_CALL),
    Mark("a queue of System V", "call(%d, 4711, 0o1666)" % _SYS["msgget"],
         "tried(call, %d, 4711, 0)" % _SYS["msgget"], NO_CALL),
    Mark("a key", "call(%d, b'user', MARK.encode(), b'x', 1, -3)" % _SYS["add_key"], "tried(read, '/proc/keys')", NO_CALL),
    Mark("a key of its session", "call(%d, 1, MARK.encode())" % _SYS["keyctl"], "tried(read, '/proc/keys')", NO_CALL),
    Mark("the name of the host", "socket.sethostname(MARK)", "socket.gethostname()", NO_CALL),
    Mark("a watch", "kept.append(may(c.inotify_init())); may(c.inotify_add_watch(kept[-1], b'/tmp', 0xfff))",
         "sum('inotify' in tried(os.readlink, '/proc/self/fd/%s' % n) for n in os.listdir('/proc/self/fd'))"),
    Mark("a terminal", "kept.extend(os.openpty())", "sorted(os.listdir('/dev/pts'))"),
]

IN_INTERPRETER = [
    _attr("the environment", "os.environ['MARK'] = MARK", "sorted(os.environ.items())"),
    _attr("the environment of C", "may(c.setenv(b'CMARK', MARK.encode(), 1))", "c.getenv(b'CMARK') != 0"),
    _attr("the environment it began with",
          "ctypes.memmove(ctypes.POINTER(ctypes.c_void_p).in_dll(c, 'environ')[1], MARK.encode()[:4], 4)",
          "read('/proc/self/environ').rstrip('\\0')"),
    _attr("a global", "globals()[MARK] = MARK", "sorted(name for name in globals() if 'mark' in name)"),
    _attr("a builtin", "setattr(builtins, MARK, MARK)", "sorted(dir(builtins))"),
    _attr("a module's attribute", "setattr(json, MARK, MARK)", "[sorted(dir(m)) for m in (json, string, os, io)]"),
    _attr("another function of a module", "string.capwords = lambda text: MARK", "string.capwords('a b')"),
    _attr("code of a function", "string.capwords.__code__ = (lambda s, sep=None: 'other').__code__", "string.capwords('a b')"),
    _attr("defaults of a function", "os.makedirs.__defaults__ = (0, True)", "os.makedirs.__defaults__"),
    _attr("a module", "sys.modules[MARK] = json", "sorted(sys.modules)"),
    _attr("another module", "sys.modules['bisect'] = json", "__import__('bisect').__name__"),
    _attr("the path", "sys.path.insert(0, '/tmp/' + MARK)", "sys.path"),
    _attr("a finder", "sys.meta_path.append(Unlike())", "len(sys.meta_path)"),
    _attr("a hook of paths", "sys.path_hooks.append(no_hook)", "len(sys.path_hooks)"),
    _attr("where importers were", "sys.path_importer_cache[MARK] = None", "MARK in sys.path_importer_cache"),
    _attr("arguments", "sys.argv.append(MARK)", "sys.argv"),
    _attr("flags of the loader", "sys.setdlopenflags(10)", "sys.getdlopenflags()"),
    _attr("the collector", "gc.set_threshold(111, 1, 1)", "gc.get_threshold()"),
    _attr("a stopped collector", "gc.disable()", "gc.isenabled()"),
    _attr("a caller of the collector", "gc.callbacks.append(lambda *a: None)", "len(gc.callbacks)"),
    _attr("what the collector could not take", "gc.garbage.append(MARK)", "gc.garbage"),
    _attr("frozen objects", "kept.append([[] for _ in range(100000)]); gc.freeze()", "gc.get_freeze_count() > 100000"),
    _attr("the recursion limit", "sys.setrecursionlimit(444)", "sys.getrecursionlimit()"),
    _attr("the switching of threads", "sys.setswitchinterval(0.5)", "sys.getswitchinterval()"),
    _attr("the hook of exceptions", "sys.excepthook = lambda *a: None", "sys.excepthook is sys.__excepthook__"),
    _attr("the hook of unraisable", "sys.unraisablehook = lambda *a: None", "sys.unraisablehook is sys.__unraisablehook__"),
    _attr("the hook of breakpoints", "sys.breakpointhook = lambda *a: None", "sys.breakpointhook is sys.__breakpointhook__"),
    _attr("the hook of threads", "threading.excepthook = None", "threading.excepthook is threading.__excepthook__"),
    _attr("a trace of threads", "threading.settrace(lambda *a: None)", "threading._trace_hook is None"),
    _attr("an auditor", "sys.addaudithook(lambda event, args: event == 'mark' and args[0].append(1))",
          "(lambda seen: (sys.audit('mark', seen), seen))([])[1]"),
    _attr("what is done at exit", "atexit.register(len, MARK)", "atexit._ncallbacks()"),
    _attr("a filter of warnings", "warnings.simplefilter('ignore')", "len(warnings.filters)"),
    _attr("a codec", "codecs.register(lambda name: codecs.lookup('utf-8') if name == 'marked' else None)",
          "tried(codecs.lookup, 'marked')[:12]"),
    _attr("a handler of codecs", "codecs.register_error('marked', codecs.ignore_errors)",
          "tried(codecs.lookup_error, 'marked').split(' at ')[0]"),
    _attr("the locale", "locale.setlocale(locale.LC_ALL, 'C')", "locale.setlocale(locale.LC_ALL, None)"),
    _attr("the zone of time", "os.environ.update(TZ='ABC-3'); time.tzset()", "time.tzname, time.timezone"),
    _attr("decimals", "decimal.getcontext().prec = 3", "decimal.getcontext().prec"),
    _attr("a log", "logging.getLogger().addHandler(logging.NullHandler()); logging.getLogger(MARK)",
          "len(logging.getLogger().handlers), sorted(logging.Logger.manager.loggerDict)"),
    _attr("a pattern", "re.compile(MARK)", "sum('mark' in str(key) for key in re._cache)"),
    _attr("a line of source", "linecache.cache[MARK] = 1", "sorted(linecache.cache)"),
    _attr("how things are copied", "copyreg.pickle(Unlike, lambda one: MARK)",
          "sorted(str(kind) for kind in copyreg.dispatch_table)"),
    _attr("a variable of a context", "kept.append(contextvars.ContextVar(MARK)); kept[-1].set(MARK)",
          "sorted(variable.name for variable in contextvars.copy_context())"),
    _attr("the time to wait for sockets", "socket.setdefaulttimeout(9)", "socket.getdefaulttimeout()"),
    _attr("a known random state", "random.seed(1)", "random.getstate() == random.Random(1).getstate()"),
    _attr("the finder of faults", "kept.append(open('/tmp/faults', 'w')); faulthandler.enable(kept[-1])",
          "faulthandler.is_enabled()"),
    _attr("a trace of memory", "tracemalloc.start()", "tracemalloc.is_tracing()"),
    _attr("a base class", "Unlike.mark = 1; io.IOBase.register(Unlike)", "issubclass(Unlike, io.IOBase)"),
    _attr("a method of str", "entry(str)['swapcase'] = entry(str)['upper']; ctypes.pythonapi.PyType_Modified(ctypes.py_object(str))",
          "eval('\"aB\".swapcase()')"),
    _attr("what -4 is", "ctypes.memset(id(eval('2 - 6')) + 24, 77, 1)", "str(eval('2 - 6'))"),
    _attr("another print", "builtins.print = lambda *a: None", "str(print).split(' at ')[0]"),
    _attr("another stream", "sys.stdout = io.StringIO()", "sys.stdout is sys.__stdout__"),
    _attr("a profile", "sys.setprofile(lambda *a: None)", "sys.getprofile() is None"),
    _attr("a trace", "sys.settrace(lambda *a: None)", "sys.gettrace() is None"),
    _attr("memory", "kept.append(MARK.encode() * 3); kept.append((MARK + MARK[::-1]) * 2)", "in_memory()"),
    # last: after it nothing of /proc/self can be read
    _attr("its readable memory", "may(prctl(4, 0))", "prctl(3)"),
]

# Nothing of what has been planted is of these, but traces of it would be here.
ONLY_SEEN = [
    ("flags", "str(sys.flags), sys.orig_argv, sys.executable, sys.prefix"),
    ("numbers", "os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0), os.getgroups()"),
    ("rights", "[field(name) for name in ('Cap', 'NoNew', 'Seccomp', 'Groups', 'THP', 'Threads', 'State', 'FDSize', 'Spec')]"),
    ("cgroup", "read('/proc/self/cgroup')"),
    ("mounts", "[line.split(' - ')[0].split()[3:] for line in read('/proc/self/mountinfo').splitlines()]"),
    ("streams", "[stat.S_IFMT(os.fstat(n).st_mode) for n in (0, 1, 2)], [os.isatty(n) for n in (0, 1, 2)]"),
    ("what was printed", "sys.stdout.line_buffering, sys.stdout.write_through, sys.stdout.encoding"),
    ("the main module", "sorted(name for name in globals() if name.startswith('__')), __name__, __file__"),
]

MARKS = IN_FILES + AMONG_PROCESSES + IN_PROCESS + IN_INTERPRETER
NAMES = [mark.name for mark in MARKS]

_RUN = r'''
def leave(text):
    try:
        exec(text, globals())
    except Exception as error:
        return type(error).__name__ + ": " + str(error).replace(MARK, "MARK")

def sight(text):
    try:
        return dumps(eval(text, globals()), default=str).replace(MARK, "MARK")
    except Exception as error:
        return "?" + type(error).__name__ + ": " + str(error).replace(MARK, "MARK")

def answer(value):
    os.set_blocking(1, True)
    rest = base64.b64encode(pack(dumps(value).encode())) + b"\n"
    while rest:
        rest = rest[write(1, rest):]
'''


def _veiled(mark):
    return bytes(letter ^ 1 for letter in mark.encode())


def program(mark, end):
    """Code in which BEGIN, sight() and leave() are known."""
    return BEGIN.format(veiled=_veiled(mark)) + _RUN + end


def look(mark):
    """{name: what is seen}."""
    rows = [(one.name, one.look) for one in MARKS] + ONLY_SEEN
    return program(mark, f"answer({{name: sight(text) for name, text in {rows!r}}})\n")


def plant(mark, rest=""):
    """{name: why not, or null}."""
    rows = [(one.name, one.plant) for one in MARKS]
    return program(mark, f"answer({{name: leave(text) for name, text in {rows!r}}})\n" + rest)


def both(mark, names):
    """{name: [seen before, why it could not be planted, seen after]}."""
    rows = [(one.name, one.plant, one.look) for one in MARKS if one.name in names]
    return program(mark, f"answer({{name: [sight(look), leave(plant), sight(look)] for name, plant, look in {rows!r}}})\n")


def read(result):
    """What such a program has said; the last line."""
    assert result["status"] == "exited" and result["exit_code"] == 0, result
    return json.loads(zlib.decompress(base64.b64decode(result["stdout"].splitlines()[-1])))
