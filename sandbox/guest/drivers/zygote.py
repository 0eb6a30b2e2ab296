"""zygote.py: makes an interpreter a zygote, whose forks run one program each, as `python3 main.py` would.

Theory of operation.  Nothing here imitates Python: each fork is the interpreter's own start, from the point at which
it looks for main.py, and its own end.  Three stages:

1. `python3 zygote.py` starts the interpreter once more, in the same process, as `python3 main.py`, with this text as its
   `sitecustomize`: a ZIP archive in a memfd, first in PYTHONPATH.  The object that takes fork() over is preloaded again.
2. As `sitecustomize` it takes itself out of the way, lets the real one run, and leaves a hook at the end of `sys.path_hooks`.
3. When all of the start has been done, the interpreter asks these hooks whether main.py is a folder or an archive.  There the
   zygote imports, warms up and forks: os.fork() returns in a confined cell, os.sched_yield() there when the
   program is descriptor 3.  The program becomes /workspace/main.py, the hook says no, and the interpreter opens it, runs
   it and ends.  No frame, no module and no name of ours is below the program or beside it.

What it has imported ahead is out of sight (`Shelf`): an import finds it there, with all that the import would have brought,
as long as the program has done nothing that would have it find something else.

The end of an interpreter costs 3 ms, four times the rest.  It serves to run what objects still have to say: unwritten
buffers, __del__, suspended generators.  `Known` looks whether there is anything of that sort, and whether it is beyond
doubt which status the interpreter would end with.  Only then it is cut short; in any other case it takes its course.
"""
import os
import sys

MAIN = "main.py"
OBJECT = "/proc/self/fd/5"      # these two as of zygote.h
REHEARSAL = 30                  # a descriptor, as of rehearse.h
MARK = "FUMEHOOD_ZYGOTE"
PRELOAD = "FUMEHOOD_PRELOAD"    # names of modules; none: DEFAULT
DEFAULT = """
    json re math random datetime collections itertools functools string time typing csv copy textwrap enum contextlib
    operator heapq bisect struct base64 io abc types
"""
if sys.version_info >= (3, 13):
    DEFAULT += "traceback"      # by it the interpreter tells of errors there
STEM = "sitecustomize"


# ---- 1: to the interpreter's own start ----

def archive(text):
    """A ZIP of nothing but sitecustomize.py, stored; made by hand, as zipfile takes 15 ms to import."""
    from binascii import crc32
    from struct import pack
    name = STEM.encode() + b".py"
    about = pack("<5H3L2H", 20, 0, 0, 0, 33, crc32(text), len(text), len(text), len(name), 0)
    first = b"PK\3\4" + about + name + text
    central = b"PK\1\2" + pack("<H", 20) + about + pack("<3H2L", 0, 0, 0, 0, 0) + name
    return first + central + b"PK\5\6" + pack("<4H2LH", 0, 0, 1, 1, len(central), len(first), 0)


def start_again():
    with open(__file__, "rb") as file:
        text = file.read()
    memory, error = os.memfd_create("zygote", 0), os.dup(2)
    os.write(memory, archive(text))
    while error != memory + 1:          # so that one number tells of both
        memory, error = os.dup(memory), os.dup(2)
    os.set_inheritable(memory, True)
    os.set_inheritable(error, True)
    env = {name: value for name, value in os.environ.items() if name not in (MARK, "LD_PRELOAD")}
    env["PYTHONPATH"] = ":".join(["/proc/self/fd/%d" % memory, *filter(None, [env.get("PYTHONPATH")])])
    os.chdir(env.pop("FUMEHOOD_WORKSPACE", "/workspace"))
    # of these, and of what is above, cell.so leaves no trace
    env["LD_PRELOAD"] = env.pop("FUMEHOOD_OBJECT", OBJECT)
    env[MARK] = "1"
    with open("/proc/self/cmdline", "rb") as file:
        arguments = file.read().split(b"\0")[:-2]
    # What a stream is, the interpreter asks when it starts: the cells have pipes.
    for fd in (1, 2):
        os.dup2(os.pipe()[1], fd)
    os.execve(arguments[0], [*arguments, MAIN.encode()], env)


# ---- 2: the site ----

def take_the_place():
    """Raises ImportError where there is no other sitecustomize, as that import would."""
    entry = __file__.rpartition("/")[0]
    sys.path.remove(entry)
    sys.path_importer_cache.pop(entry, None)
    sys.modules["zipimport"]._zip_directory_cache.pop(entry, None)
    memory = int(entry.rpartition("/")[2])
    os.close(memory)
    hook.stderr = memory + 1
    rest = os.environ["PYTHONPATH"].partition(":")[2]
    if rest:
        os.environ["PYTHONPATH"] = rest
    else:
        del os.environ["PYTHONPATH"]
    sys.path_hooks.append(hook)
    own = sys.modules.pop(STEM)
    try:
        __import__(STEM)
    except BaseException:
        sys.modules[STEM] = own         # for who loads us, to take away
        raise


def hook(path):
    """Asked last, so that the list may be shortened now: the interpreter has its length from before."""
    if os.path.basename(path) != MAIN:
        raise ImportError
    sys.path_hooks.remove(hook)
    try:
        found = become_zygote(path)
    except BaseException as error:
        import traceback
        with open(hook.stderr, "w") as file:
            traceback.print_exception(type(error), error, error.__traceback__, file=file)
        os._exit(70)
    if found:
        return found
    raise ImportError


# ---- 3: zygote and cell ----

def become_zygote(path):
    """Returns in a cell, with its program at path; the importer if that is an archive, as a program may be."""
    shelf = Shelf(set(sys.modules))
    import atexit
    import gc
    import _thread
    names = os.environ.pop(PRELOAD, "").split() or DEFAULT.split()
    known = Known(gc, _thread)
    # Before all others, so called after them.  What the program has left to be traced is not this.
    if atexit._ncallbacks():            # the site has something to do after these
        atexit.register(gc.unfreeze)
    else:
        atexit.register(known.end)
        atexit.register(sys.settrace, None)
        atexit.register(sys.setprofile, None)
    shelf.fill(names)
    for _ in range(2):
        warm_up(known)
    shelf.close()
    known.learn(shelf)
    shelf.import_nothing()
    gc.collect()
    gc.freeze()
    known.mark = [known]
    rehearsal = os.memfd_create("rehearsal")
    os.write(rehearsal, b"def f(x):\n    return x + 1\nprint(f'{f(1)}')\n")
    os.dup2(rehearsal, REHEARSAL, False)
    os.close(rehearsal)
    os.fork()
    try:
        os.close(hook.stderr)
    except OSError:                     # cell.so has
        pass
    hook.stderr = 2
    # One that the collector sees: it is to take the program's cycles apart at the end.
    main, old = type(sys)("__main__"), sys.modules["__main__"]
    vars(main).update(vars(old))
    sys.modules["__main__"] = main
    del main, old
    os.sched_yield()
    renew(shelf)
    known.program = program = take_program(path)
    if b"PK\5\6" not in program:
        return None
    try:
        return sys.modules["zipimport"].zipimporter(path)
    except ImportError:
        return None


def take_program(path):
    """Moves it to where it belongs, and returns it."""
    size, parts = os.fstat(3).st_size, []
    while part := os.read(3, size):
        parts.append(part)
    os.close(3)
    program = b"".join(parts)
    # as the guest makes it
    mode = 0o777 if program.startswith((b"#!", b"\177ELF")) else 0o666
    file, rest = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), program
    while rest:
        rest = rest[os.write(file, rest):]
    os.close(file)
    return program


class Deaf:
    """A stream."""
    @staticmethod
    def write(text):
        pass

    @staticmethod
    def flush():
        pass


def warm_up(known):
    """Every path once: what is made on first use is made before the fork, and what a program will write to is
    the cell's own before its program comes.  Leaves nothing behind."""
    space = {"__name__": "__main__", "__builtins__": sys.modules["builtins"]}
    out, err = sys.stdout, sys.stderr
    before, lines = set(sys.modules), set(getattr(sys.modules.get("linecache"), "cache", ()))
    sys.stderr = Deaf
    try:
        print("x", 1.5, file=Deaf)
        out.flush()
        exec(compile(ALL, "<warm>", "exec"), space)
        try:
            exec(compile(b"def f():\n    1/0\nf()\n", "<warm>", "exec"), space)
        except ZeroDivisionError as error:
            sys.excepthook(type(error), error, error.__traceback__)
        known.end()
    finally:
        sys.stdout, sys.stderr = out, err
    linecache = sys.modules.get("linecache")
    if linecache:
        for name in set(linecache.cache) - lines:
            del linecache.cache[name]
    for name in set(sys.modules) - before:
        del sys.modules[name]


ALL = b'''
import os
def f(x, *rest, key=None, **more):
    """Text."""
    total = 0
    for i in range(x):
        total += i * 2 if i % 2 else -i
    while total > 1e6:
        total //= 2
    return [str(i) for i in range(x)], {k: v for k, v in zip("ab", (1, 2))}
class C:
    def __init__(self, a):
        self.a = a
    def __repr__(self):
        return f"<{self.a!r:>3} {1.5:.2f}>"
    @property
    def b(self):
        return sorted({3, 1, 2}, key=lambda i: -i)
g = (i for i in range(3))
a, *b = [repr(C(i)) for i in g] + C(1).b
try:
    with open("/dev/null", encoding="utf-8") as file:
        text = file.read().split()
    {}["x"]
except KeyError as error:
    text = "%s %5.1f" % (error, 2)
finally:
    a = " ".join(map(str, [1, 2.5, None, True])).upper().replace("N", "n")
assert f(3)[0] and f(2, 1, key=2, z=3)
x = 1 + 1 if a == "b" and not b or a in "abc" else lambda: 0
if __name__ == "__main__" and text is None:
    print(a)
'''


def renew(shelf):
    """What must not be the same in two cells, and is not renewed by a hook of its own at each fork."""
    def have(name):
        return sys.modules.get(name) or shelf.modules.get(name)

    if have("numpy.random"):
        have("numpy.random").seed()
    if have("_ssl"):            # OpenSSL tells forks by their pid: that of a cell may be the zygote's
        have("_ssl").RAND_add(os.urandom(48), 0.0)
    if have("multiprocessing.process"):
        process = have("multiprocessing.process")
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))
    if have("logging"):
        from time import time, time_ns
        logging = have("logging")
        logging._startTime = (time if isinstance(logging._startTime, float) else time_ns)()
    if have("threading"):
        thread = have("threading").main_thread()
        if hasattr(thread, "_set_native_id"):
            thread._set_native_id()


class Shelf:
    """Modules imported ahead and put away.

    While it is filled it notes who imports what: an import then brings back the module and all that its own import
    has brought.  Each is the module that the interpreter's own import has made; nothing is left of the detour."""

    def __init__(self, plain):
        self.plain = plain              # the names a start has anyway
        self.modules, self.needs, self.attributes, self.all = {}, {}, {}, {}
        self.running, self.loaded, self.at_exit = [], set(), {}

    def fill(self, names):
        import atexit
        import builtins
        bootstrap = sys.modules["_frozen_importlib"]
        real, load = builtins.__import__, bootstrap._load_unlocked

        def noted_import(name, globals=None, locals=None, fromlist=(), level=0):
            module = real(name, globals, locals, fromlist, level)
            if self.running:
                whole = name
                if level:
                    package = globals.get("__package__") or globals["__name__"]
                    whole = ".".join([*package.split(".")[:len(package.split(".")) - level + 1], *filter(None, [name])])
                self.note(whole)
                for part in fromlist or ():
                    if whole + "." + str(part) in sys.modules:
                        self.note(whole + "." + part)
            return module

        def noted_load(spec):
            self.running.append(spec.name)
            self.loaded.add(spec.name)
            try:
                return load(spec)
            finally:
                self.running.pop()

        def noted_register(function, *args, **kwargs):
            self.at_exit.setdefault(self.running[-1], []).append((function, args, kwargs))
            return function

        places = set(sys.path_importer_cache)
        self.register, atexit.register = atexit.register, noted_register
        builtins.__import__, bootstrap._load_unlocked = noted_import, noted_load
        try:
            for name in names:
                try:
                    __import__(name)
                except BaseException:   # it is missing, or broken: then the program will be told
                    pass
        finally:
            builtins.__import__, bootstrap._load_unlocked = real, load
            atexit.register = self.register
        for place in set(sys.path_importer_cache) - places:
            del sys.path_importer_cache[place]

    def note(self, whole):
        needs = self.needs.setdefault(self.running[-1], set())
        parts = whole.split(".")
        needs.update(".".join(parts[:n + 1]) for n in range(len(parts)))

    def close(self):
        """Puts away all that was imported since; from here on imports find it."""
        for name in [name for name in sys.modules if name not in self.plain]:
            self.modules[name] = sys.modules.pop(name)
        for name, module in self.modules.items():
            package, _, own = name.rpartition(".")
            self.needs.setdefault(name, set())
            if package:
                self.needs[name].add(package)
                parent = self.modules.get(package) or sys.modules.get(package)
                if parent is not None and vars(parent).get(own) is module:
                    self.attributes[name] = parent
                if not self.is_own(name):       # the package has made the name
                    self.needs.setdefault(package, set()).add(name)
        for name, parent in self.attributes.items():
            if self.is_own(name):
                delattr(parent, name.rpartition(".")[2])
        self.all = dict(self.modules)
        self.specs = {name: self.spec_of(module) for name, module in self.modules.items()}
        self.groups = {name: self.group(name) for name in self.modules}
        self.path, self.finders = list(sys.path), list(sys.meta_path)
        self.hooks = list(sys.path_hooks)
        self.watch()

    @staticmethod
    def spec_of(module):
        """None of what is no module at all, as typing.io was."""
        return vars(module).get("__spec__") if isinstance(module, type(sys)) else None

    def is_own(self, name):
        """Whether there is a module of that name, though it may have put another in its place."""
        spec = self.spec_of(self.modules[name])
        return name in self.loaded or spec is not None and spec.name == name

    def group(self, name):
        found, left = set(), [name]
        while left:
            one = left.pop()
            if one not in found and one in self.modules:
                found.add(one)
                left += self.needs.get(one, ())
        return [one for one in self.modules if one in found]

    def watch(self):
        """By way of the first finder of all.  Who only asks for a module's spec gets the real one."""
        bootstrap = sys.modules["_frozen_importlib"]
        finder, imports = bootstrap.BuiltinImporter, bootstrap._find_and_load_unlocked.__code__
        real, frame, specs = finder.find_spec, sys._getframe, bootstrap.ModuleSpec
        self.importing = sys.modules["builtins"].__import__

        def find_spec(cls, fullname, path=None, target=None):
            if fullname in self.modules and frame(2).f_code is imports and self.stands(fullname):
                return specs(fullname, self)
            return real(fullname, path, target)

        find_spec.__qualname__ = real.__qualname__
        find_spec.__module__ = real.__module__
        finder.find_spec = classmethod(find_spec)

    def stands(self, name):
        """Whether the import, done anew, would come to these same modules."""
        count = len(self.path)
        if (sys.path[1:count + 1] != self.path or sys.meta_path != self.finders or
                sys.path_hooks != self.hooks or sys.modules["builtins"].__import__ is not self.importing):
            return False
        group = self.groups[name]
        try:
            here = {entry.partition(".")[0] for entry in os.listdir(sys.path[0])}
        except (OSError, TypeError, AttributeError):
            return False
        for one in group:
            if one.partition(".")[0] in here:
                return False
            other = sys.modules.get(one)
            if other is not None and other is not self.all[one]:
                return False
        return all(one in self.modules or one in sys.modules for one in group)

    def import_nothing(self):
        """All of the way of an import, for the sake of what it writes to."""
        name = "nothing at all"
        self.modules[name] = self.all[name] = type(sys)(name)
        self.groups[name] = [name]
        sys.path.insert(0, ".")
        try:
            __import__(name)
        finally:
            sys.path.pop(0)
            del self.all[name], self.groups[name], sys.modules[name]

    def create_module(self, spec):
        return self.all[spec.name]

    def exec_module(self, module):
        asked = module.__spec__.name
        module.__spec__ = self.specs.get(asked)
        for name in self.groups[asked]:
            other = self.modules.pop(name, None)
            if other is not None:
                sys.modules[name] = other
                parent = self.attributes.get(name)
                if parent is not None:
                    setattr(parent, name.rpartition(".")[2], other)
                for function, args, kwargs in self.at_exit.get(name, ()):
                    self.register(function, *args, **kwargs)


class Known:
    """What there was before the program, and by it how the program may end."""

    # Of C, and whose objects do something when they go that no __del__ tells of.
    BUSY = {"_sqlite3", "_dbm", "_gdbm", "_ctypes", "readline", "_tkinter", "_curses"}
    # Of C, not imported ahead, and known to do nothing.
    QUIET = {"_ast", "_asyncio", "_bisect", "_blake2", "_bz2", "_contextvars", "_crypt", "_csv", "_datetime", "_decimal",
             "_elementtree", "_hashlib", "_heapq", "_json", "_locale", "_lzma", "_md5", "_multiprocessing", "_opcode",
             "_pickle", "_posixshmem", "_posixsubprocess", "_queue", "_random", "_sha1", "_sha2", "_sha256", "_sha3",
             "_sha512", "_socket", "_ssl", "_statistics", "_string", "_struct", "_symtable", "_tokenize", "_tracemalloc",
             "_typing", "_uuid", "_zoneinfo", "array", "atexit", "binascii", "cmath", "errno", "faulthandler", "fcntl",
             "gc", "grp", "itertools", "math", "mmap", "pwd", "pyexpat", "resource", "select", "termios", "unicodedata",
             "zlib"}
    HAS_GC = 1 << 14
    MANY = 100000
    # By these a program can take from itself what tells an exit from an end.
    MEANS = b"globals", b"locals", b"vars", b"__dict__", b"__main__."
    DEEDS = b"del ", b"delattr", b"clear", b"pop"

    def __init__(self, gc, thread):
        self.gc, self.thread = gc, thread
        self.program, self.modules = False, set()
        self.mark = None                # is with the collector unless the program has frozen all that was
        self.streams = sys.stdout, sys.stderr
        self.kept = []                  # keeps itself, and what is in it, to the very end
        self.kept.append(self.kept)
        self.names = set(vars(sys.modules["__main__"]))
        self.function, self.generator = type(hook), type(one for one in ())
        self.bases = type.__dict__["__mro__"].__get__
        self.space = type.__dict__["__dict__"].__get__
        self.flags = type.__dict__["__flags__"].__get__
        io, weak = sys.modules["_io"], sys.modules["_weakref"]
        self.quiet_files = {id(io.BytesIO), id(io.StringIO)}
        self.closable = {id(kind) for kind in (io.FileIO, io.BufferedReader, io.BufferedWriter, io.BufferedRandom,
                                               io.TextIOWrapper)}
        self.reference = weak.ReferenceType
        self.proxies = {id(weak.ProxyType), id(weak.CallableProxyType)}

    def learn(self, shelf):
        self.shelf, self.modules = shelf, {*sys.modules, *shelf.modules} - self.BUSY

    def end(self):
        """The last of the functions called at exit."""
        silent, status = False, None
        try:
            silent, status = self.is_silent(), self.status()
            if self.program is False:
                return
            if silent:
                self.streams[0].flush()
                self.streams[1].flush()
        except BaseException:           # again, and told, by the interpreter
            silent = False
        if not silent:
            if not self.is_frozen(self.gc.get_objects()):   # else the program wants it so
                self.gc.unfreeze()
        elif status is not None:
            os._exit(status)
        else:                           # no one will know what of it is skipped
            self.gc.freeze()
            self.kept.append((dict(sys.modules), self.shelf))
            sys.modules.clear()

    def is_silent(self):
        """Whether there is nothing left that could say or write anything."""
        if self.program is not False and (sys.stdout, sys.stderr) != self.streams:
            return False
        if self.thread._count() or self.gc.callbacks:
            return False
        for name in set(sys.modules) - self.modules - self.QUIET:
            if not str(getattr(sys.modules[name], "__file__", None)).endswith(".py") and name != "__main__":
                return False
        objects = self.gc.get_objects()
        return len(objects) < self.MANY and not self.is_frozen(objects) and self.are_silent(objects)

    def is_frozen(self, objects):
        """Not by gc.get_freeze_count(), which counts them one by one, and takes longer than most programs."""
        return self.mark is not None and not any(one is self.mark for one in objects)

    def status(self):
        """The interpreter takes __file__ and __cached__ from __main__ when it has run it, but not before an exit that was
        asked for.  An error that was told is in sys, and the code stands where it was raised."""
        main = sys.modules.get("__main__")
        if self.program is False:
            return 0
        if type(main) is not type(sys):
            return None
        names = vars(main)
        if "__file__" in names or "__cached__" in names or b"__cached__" in self.program:
            return None
        if any(word in self.program for word in self.MEANS) and any(word in self.program for word in self.DEEDS):
            return None
        if not hasattr(sys, "last_type"):
            return 0
        error, trace = getattr(sys, "last_value", None), getattr(sys, "last_traceback", None)
        if isinstance(error, KeyboardInterrupt) or not isinstance(error, BaseException):
            return None
        if trace is None:
            return 1 if not set(names) - self.names else None
        frame = trace.tb_frame
        is_end = frame.f_globals is names and frame.f_back is None and frame.f_lasti == trace.tb_lasti
        return 1 if is_end and frame.f_code.co_name == "<module>" else None

    def are_silent(self, objects):
        kinds = {}                      # by their ids: a class may have a hash of the program's
        for one in objects:
            kinds.setdefault(id(type(one)), []).append(one)
        for number, ones in kinds.items():
            kind = type(ones[0])
            if number in self.proxies:
                return False
            if kind is self.reference:
                quiet = all(self.is_bookkeeping(one.__callback__) for one in ones)
            elif kind is self.generator:
                quiet = all(one.gi_frame is None for one in ones)
            elif number in self.closable:
                quiet = all(self.is_closed(one) for one in ones)
            else:
                quiet = number in self.quiet_files or not self.speaks(kind)
            if not quiet or issubclass(kind, type) and not all(self.is_class_quiet(one) for one in ones):
                return False
        return True

    def is_closed(self, stream):
        try:
            return stream.closed
        except ValueError:              # detached
            return False

    def is_bookkeeping(self, call):
        if call is None:
            return True
        if type(call) is self.function:
            return call.__module__ in ("weakref", "_weakrefset", "functools")
        return type(call) is type(len) and call.__name__ in ("_destroy", "clear_locals", "_localdummy_destroyed")

    def speaks(self, kind):
        return any("__del__" in self.space(base) for base in self.bases(kind))

    def is_class_quiet(self, kind):
        """Objects of a class without the collector's flag are on no list: there may be some."""
        return self.flags(kind) & self.HAS_GC or not self.speaks(kind)


if __name__ == "__main__":
    start_again()
elif __name__ == STEM:
    take_the_place()
