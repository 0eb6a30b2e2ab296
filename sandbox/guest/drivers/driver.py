"""driver.py: runs the Python of a session, call after call, in one interpreter.

Theory of operation.  The guest starts us with its socket as 3 and the pipe of rich results as 4;
the files of a call lie beside this one.  A line `run N` comes in, or `code N BYTES` and the code
itself, which has no files then; the code is parsed, its last expression split off, both parts run in a `__main__` of their own; what there is to show goes out
on 4, and `end N STATUS` on 3 when everything before it has been written.

Three things are not obvious:
- SIGINT means the caller's handler (KeyboardInterrupt unless the code chose another) from the
  first line of a call to its last, and nothing at all in between.  An interrupt may also strike
  while we show a value or tell of an error, since a repr may never end: everything between is
  one `try`.  Only a line on 4 is never torn: an interrupt waits until it is out.
- The code may break whatever is shared with it.  So our builtins are a copy, what we call was
  bound when we started, and what is imported later may fail without ending the session.
- What a plain `1+1` does not need is imported when it is needed, here and in `ON_IMPORT`: the
  start of an interpreter is something a person waits for.
"""
import builtins
import os
import sys
from _ast import (PyCF_ALLOW_TOP_LEVEL_AWAIT, PyCF_ONLY_AST, AsyncFunctionDef, ClassDef, Expr,
                  Expression, FunctionDef)
from _json import encode_basestring as quote
from _signal import SIGINT, getsignal, signal
from _thread import allocate_lock, get_ident
from os import chdir, close, dup2, read, unlink, write

__builtins__ = dict(vars(builtins))     # functions defined from here on are out of the code's reach

GUEST, RICH = 3, 4
HERE = os.path.dirname(os.path.abspath(__file__))
LINE_MAX_BYTES = 16 << 20
TEXT_MAX_BYTES = 64 << 10
FUTURES = 0x1FE0000                     # the co_flags that `from __future__ import` sets
COROUTINE = 0x80                        # inspect.CO_COROUTINE
WANTS_LOOP = {"create_task", "ensure_future", "get_running_loop"}
RUNS_LOOP = {"run", "run_until_complete", "run_forever"}

MAIN = type(sys)("__main__")            # a real module: pickle and dataclasses look it up by name
NAMES = vars(MAIN)
MAIN_THREAD = get_ident()

call = 0                                # the number of the call
flags = 0                               # the __future__ features the code has turned on
loop = None                             # the event loop, once there has been an await
forked = False                          # we are a child that the code has forked
sources = {}                            # name -> (size, None, lines, name), as linecache keeps them
definitions = {}                        # a class or function of __main__ -> the name of its call
on_interrupt = None                     # SIGINT in a call: interrupt(), or what the code chose
line_out = allocate_lock()


# ---- Lines on 4 ----

def send(line):
    """One whole line on 4; an interrupt meanwhile is handled afterwards."""
    late = []
    deferring = get_ident() == MAIN_THREAD
    with line_out:
        if deferring:
            handler = signal(SIGINT, lambda *what: late.append(what))
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[write(RICH, rest):]
        finally:
            if deferring:
                signal(SIGINT, handler)
    if late and callable(handler):
        handler(*late[0])


def jsoned(value):
    if isinstance(value, str):
        return quote(value)
    if value == {}:
        return "{}"
    import json
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def cut(text):
    """At most 64 KiB of it: who wants more can print it."""
    if len(text) <= TEXT_MAX_BYTES // 4:
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= TEXT_MAX_BYTES:
        return text
    note = f"\n[cut: {len(data)} bytes in all]"
    return data[:TEXT_MAX_BYTES - len(note)].decode("utf-8", "ignore") + note


def send_data(kind, data, metadata):
    """A bundle {MIME: value} as one line; what is no JSON, or too much for a line, is left out."""
    room = LINE_MAX_BYTES - (1 << 10)
    parts = {}
    for mime in sorted(data, key=lambda mime: mime != "text/plain"):
        try:
            part = f"{quote(mime)}:{jsoned(data[mime])}".encode("utf-8", "replace")
            if len(part) >= room:
                raise ValueError(f"{len(part)} bytes are more than a line holds")
        except (TypeError, ValueError, RecursionError) as error:
            complain(f"{mime} is left out: {error}")
            continue
        room -= len(part) + 1
        parts[mime] = part
    try:
        about = jsoned(metadata or {}).encode("utf-8", "replace")
        if len(about) > room:
            about = b"{}"
    except (TypeError, ValueError, RecursionError):
        about = b"{}"
    send(b'{"call":%d,"kind":"%s","data":{%s},"metadata":%s}\n'
         % (call, kind, b",".join(parts.values()), about))


def complain(text):
    """A line on the code's stderr, wherever that may be by now."""
    try:
        sys.stderr.write(text + "\n")
    except Exception:
        write(2, (text + "\n").encode("utf-8", "backslashreplace"))


# ---- What a value looks like ----

FORMATS = {
    "_repr_html_": "text/html", "_repr_markdown_": "text/markdown", "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png", "_repr_jpeg_": "image/jpeg", "_repr_pdf_": "application/pdf",
    "_repr_latex_": "text/latex", "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
}


def method(value, name):
    """The method of the display protocol, unless value is a class, or has every attribute."""
    if isinstance(value, type):
        return None
    try:
        found = getattr(value, name, None)
        if found is None or not callable(found) \
                or hasattr(value, "_there_is_no_method_of_this_name_"):
            return None
        return found
    except Exception:
        return None


def rich_form(value, name, *arguments, **named):
    """What one of its display methods says, as (form, metadata); a failure costs only itself."""
    found = method(value, name)
    if found is None:
        return None, None
    try:
        form = found(*arguments, **named)
    except NotImplementedError:
        return None, None
    except Exception as error:
        complain(f"{type(value).__name__}.{name}: {describe(error)}")
        return None, None
    if isinstance(form, tuple) and len(form) == 2:
        return form
    return form, None


def encoded(form):
    """Bytes travel as base64 in a string."""
    if isinstance(form, (bytes, bytearray, memoryview)):
        from binascii import b2a_base64
        return b2a_base64(form, newline=False).decode()
    return form


def bundle(value):
    """All that value knows of itself, as ({MIME: value}, metadata)."""
    data, metadata = {}, {}
    if type(value).__module__ != "builtins":
        figures = sys.modules.get("matplotlib.figure")
        if figures is not None and isinstance(value, figures.Figure):
            data["image/png"] = portrait(value)
        else:
            data, metadata = described_by_itself(value)
    if not isinstance(data.get("text/plain"), str):
        data["text/plain"] = repr(value)
    data["text/plain"] = cut(data["text/plain"])
    return data, metadata


def described_by_itself(value):
    data, metadata = {}, {}
    for name, mime in FORMATS.items():
        form, about = rich_form(value, name)
        if form is not None:
            data[mime] = encoded(form)
            if about:
                metadata[mime] = about
    form, about = rich_form(value, "_repr_mimebundle_", include=None, exclude=None)
    if isinstance(form, dict):
        data.update((mime, encoded(part)) for mime, part in form.items() if part is not None)
    if isinstance(about, dict):
        metadata.update(about)
    return data, metadata


def show(kind, value):
    if method(value, "_ipython_display_") is not None:
        value._ipython_display_()
        return
    if forked:                          # 4 is the session's, not its children's
        print(repr(value))
        return
    send_data(kind, *bundle(value))


def display(*values, raw=False, metadata=None, **_):
    """Shows values as a notebook does; with raw, each is a {MIME: value} already."""
    for value in values:
        if raw and isinstance(value, dict):
            data = {mime: encoded(part) for mime, part in value.items()}
            data.setdefault("text/plain", cut(repr(value)))
            send_data(b"display", data, metadata)
        else:
            show(b"display", value)


def portrait(figure):
    """A figure of matplotlib as the notebooks draw it."""
    from io import BytesIO
    image = BytesIO()
    figure.savefig(image, format="png", bbox_inches="tight")
    return encoded(image.getvalue())


def show_figures(*_, **__):
    """plt.show(), and the end of every call."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    managers = helpers.Gcf.get_all_fig_managers()
    if not managers:
        return
    try:
        for manager in managers:
            show(b"display", manager.canvas.figure)
    finally:
        helpers.Gcf.destroy_all()


def show_result(value):
    """The value of the last expression; a figure shown so is not shown again as left open."""
    if value is None:
        return
    show(b"result", value)
    builtins._ = value
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and isinstance(value, pyplot.Figure):
        pyplot.close(value)


# ---- Errors ----

def message_of(error):
    try:
        return str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:
        return "<exception str() failed>"


def describe(error):
    return f"{type(error).__name__}: {message_of(error)}"


def ours(code):
    return code.co_filename == __file__


def callers(name):
    return name.startswith("<call ")


def caller_part(tb):
    """The traceback from the first frame of the caller's code on; all of it below ours if none."""
    first = tb
    while first is not None and not callers(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    if first is not None:
        return first
    while tb is not None and ours(tb.tb_frame.f_code):
        tb = tb.tb_next
    return tb


def line_of(error, tb):
    line = None
    if isinstance(error, SyntaxError) and callers(str(error.filename)):
        line = error.lineno
    while tb is not None:
        if callers(tb.tb_frame.f_code.co_filename):
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def without_driver(told, seen):
    """Takes our frames out of a TracebackException and of those it came from."""
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    if told.stack:
        told.stack[:] = [frame for frame in told.stack if frame.filename != __file__]
    for other in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        without_driver(other, seen)


def formatted(error, tb):
    try:
        import traceback
        told = traceback.TracebackException(type(error), error, tb)
        without_driver(told, set())
        return "".join(told.format())
    except Exception:                   # the code has broken more than its own affairs
        return describe(error) + "\n"


def tell(error):
    """The exception that ended the call: on stderr, and as a line on 4.  Returns the status."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        complain(str(error.code))
        return 1
    tb = caller_part(error.__traceback__)
    line = line_of(error, tb)
    if isinstance(error, SyntaxError) and error.text is None and error.filename in sources:
        # A tree has no text: what only the compiler finds would be shown without its line.
        error.text = "".join(sources[error.filename][2][error.lineno - 1:error.lineno])
    message = message_of(error)         # first: it may never end, and traceback hides interrupts
    text = formatted(error, tb)
    if sys.excepthook is sys.__excepthook__:
        complain(text.rstrip("\n"))
    else:
        sys.excepthook(type(error), error, tb)
    if not forked:
        place = f'"line":{line},' if line else ""
        send(f'{{"call":{call},"kind":"error","error":{{"type":{quote(type(error).__name__)},'
             f'"message":{quote(cut(message))},{place}"traceback":{quote(cut(text))}}}}}\n'
             .encode("utf-8", "replace"))
    return 130 if isinstance(error, KeyboardInterrupt) else 1


# ---- What is done to a module when, and if, the code imports it ----

def join_linecache(linecache):
    global sources
    linecache.cache.update(sources)
    sources = linecache.cache


def join_inspect(inspect):
    """Classes have no code object to tell which call they are from."""
    getfile = inspect.getfile

    def getfile_of_calls(object):
        if isinstance(object, type) and object.__module__ == "__main__":
            name = definitions.get(object.__qualname__.partition(".")[0])
            if name is not None:
                return name
        return getfile(object)

    inspect.getfile = getfile_of_calls


def join_pyplot(pyplot):
    pyplot.show = show_figures


def join_ipython(module):
    module.display = display            # its own only prints where there is no IPython shell


ON_IMPORT = {"linecache": join_linecache, "inspect": join_inspect,
             "matplotlib.pyplot": join_pyplot, "IPython.core.display_functions": join_ipython}


class Joiner:
    """First in sys.meta_path: lets the others find the module, and joins when it has run."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        join = ON_IMPORT.pop(name, None)
        if join is None:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not Joiner else None
            if spec is not None:
                break
        else:
            ON_IMPORT[name] = join      # not there now; it may be installed later
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            join(module)

        spec.loader.exec_module = exec_module
        return spec


# ---- Running ----

def compiled(source, name):
    """The code of a call in one or two parts: the last expression apart, for its value."""
    global flags
    top = flags | PyCF_ALLOW_TOP_LEVEL_AWAIT
    if not any(mark in source for mark in (b"\n", b"=", b"\\")):
        try:                            # a tree in between takes longer than all the rest
            return [compile(source, name, "eval", top, True)], False
        except SyntaxError:
            pass
    tree = compile(source, name, "exec", top | PyCF_ONLY_AST, True)
    last = tree.body.pop() if tree.body and type(tree.body[-1]) is Expr else None
    parts = []
    if tree.body:
        parts.append(compile(tree, name, "exec", top, True))
        flags |= parts[0].co_flags & FUTURES
        for node in tree.body:
            if type(node) in (ClassDef, FunctionDef, AsyncFunctionDef):
                definitions[node.name] = name
    if last is not None:
        top = flags | PyCF_ALLOW_TOP_LEVEL_AWAIT
        parts.append(compile(Expression(last.value), name, "eval", top, True))
    return parts, last is not None and is_silenced(source, last)


def is_silenced(source, last):
    """`plot(x);`: the semicolon says that nobody wants to see the value."""
    lines = source.split(b"\n")
    return lines[last.end_lineno - 1][last.end_col_offset:].lstrip().startswith(b";")


def evaluate(code):
    if code.co_flags & COROUTINE:
        return awaited(eval(code, NAMES))
    names = set(code.co_names)
    if names & WANTS_LOOP and not names & RUNS_LOOP:
        async def inside():             # as in a notebook, whose cells all run in its loop
            return eval(code, NAMES)
        return awaited(inside())
    return eval(code, NAMES)


def awaited(coroutine):
    """Runs it in the loop of the session, beside the tasks of earlier calls."""
    global loop
    import asyncio
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    task = loop.create_task(coroutine)
    struck = []

    def strike(*what):
        """In our loop an interrupt must not tear asyncio's own steps, or a task gets lost."""
        if struck or is_in_call(what[1]):
            raise KeyboardInterrupt
        struck.append(what)
        loop.call_soon_threadsafe(task.cancel)

    if getsignal(SIGINT) is interrupt:
        signal(SIGINT, strike)
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        if not task.done():             # it struck in another task
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        raise
    except asyncio.CancelledError as cancelled:
        while isinstance(cancelled.__context__, asyncio.CancelledError):    # before 3.11
            cancelled = cancelled.__context__
        if struck:
            raise KeyboardInterrupt().with_traceback(cancelled.__traceback__) from None
        raise
    finally:
        if getsignal(SIGINT) is strike:
            signal(SIGINT, interrupt)
        if task.done() and not task.cancelled():
            task.exception()            # it is told by us; asyncio need not complain as well


def is_in_call(frame):
    while frame is not None and not callers(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None


def interrupt(*_):
    """Not default_int_handler: asyncio.run() replaces that by one that waits for the next await."""
    raise KeyboardInterrupt


def take(name):
    """The content of a file of this call, which is then gone; None if there is none."""
    path = f"{HERE}/{call}.{name}"
    try:
        with open(path, "rb", 0) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    unlink(path)
    return content


def open_again(fd, mode):
    return open(fd, mode, 1 if mode == "w" else -1, "utf-8", closefd=False,
                errors="backslashreplace" if fd == 2 else "surrogateescape")


def is_closed(stream):
    try:
        return stream is None or stream.closed
    except ValueError:                  # detached, as by TextIOWrapper(sys.stdout.detach())
        return True
    except Exception:
        return False


def open_input():
    path = f"{HERE}/{call}.in"
    try:
        fd = os.open(path, os.O_RDONLY)
        unlink(path)
        return fd
    except FileNotFoundError:
        return None


def prepare_streams(fd):
    if fd is not None or prepare_streams.had_input or is_closed(getattr(sys, "stdin", None)):
        prepare_streams.had_input = fd is not None
        if fd is None:
            fd = os.open("/dev/null", os.O_RDONLY)
        dup2(fd, 0)
        close(fd)
        sys.stdin = open_again(0, "r")
    for fd, name in ((1, "stdout"), (2, "stderr")):
        if is_closed(getattr(sys, name, None)):
            setattr(sys, name, open_again(fd, "w"))


prepare_streams.had_input = False


def prepare():
    """The surroundings of a call.  False: its folder cannot be entered, so it is not to run."""
    prepare_streams(open_input())
    for pair in (take("env") or b"").split(b"\0")[:-1]:
        name, _, value = pair.partition(b"=")
        if name:
            os.environb[name] = value
    sys.argv = ["", *map(os.fsdecode, (take("args") or b"").split(b"\0")[:-1])]
    folder = take("cwd")
    if folder is None:
        return True
    try:
        chdir(folder)
    except OSError as error:
        complain(f"cannot enter {os.fsdecode(folder)}: {error.strerror}")
        return False
    return True


def work(source):
    """One call from its files to its last figure.  Returns its status."""
    if source is not None:              # then there are no files
        prepare_streams(None)
        sys.argv = [""]
    else:
        source = take("code")
        if not prepare():
            return 1
    name = f"<call {call}>"
    lines = [line + "\n" for line in source.decode("utf-8", "replace").split("\n")]
    sources[name] = (len(source), None, lines, name)
    NAMES.pop("__warningregistry__", None)      # a warning is news in every call
    try:
        parts, silenced = compiled(source, name)
        value = None
        for part in parts:
            value = evaluate(part)
        if not silenced:
            show_result(value)
    finally:
        if not forked:
            show_figures()
    return 0


def perform(source):
    """Calls work() with the code's SIGINT in force, and tells what went wrong."""
    global on_interrupt
    try:
        signal(SIGINT, on_interrupt or interrupt)
        try:
            return work(source)
        except BaseException as error:
            return tell(error)
    except KeyboardInterrupt:           # while the error was told
        return 130
    except BaseException as error:      # an error of telling
        complain(describe(error))
        return 1
    finally:
        flush()
        on_interrupt = signal(SIGINT, be_deaf)


def flush():
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None), OUT, ERR):
        try:
            stream.flush()
        except Exception:               # closed, detached, or no stream at all
            pass


def be_deaf(*_):
    """Not SIG_IGN: that would be inherited by what background threads start meanwhile."""


def in_child():
    global forked
    forked = True
    for fd in (GUEST, RICH):
        try:
            close(fd)
        except OSError:
            pass


def next_bytes():
    """What the guest says next; the tasks of earlier calls go on meanwhile."""
    if loop is not None and not loop.is_closed():
        import asyncio
        if asyncio.all_tasks(loop):
            loop.add_reader(GUEST, loop.stop)
            try:
                loop.run_forever()
            finally:
                loop.remove_reader(GUEST)
    try:
        return read(GUEST, 65536)
    except MemoryError:                 # the code has left us little
        return read(GUEST, 256)


def orders():
    """(number, code) of the calls as they come; code None: it is in a file."""
    heard = b""
    while True:
        line, newline, rest = heard.partition(b"\n")
        words = line.split()
        size = int(words[2]) if newline and len(words) == 3 else 0
        if newline and len(rest) >= size:
            heard = rest[size:]
            yield int(words[1]), rest[:size] if len(words) == 3 else None
            continue
        try:
            more = next_bytes()
        except MemoryError:             # or none: an end, which is told, rather than a loop
            os._exit(1)
        except BaseException as error:  # SystemExit or worse of a task in the background
            complain(describe(error))
            continue
        if not more:
            os._exit(0)
        heard += more


def serve():
    global call
    write(GUEST, b"up inline\n")
    for call, source in orders():
        try:
            status = perform(source)
        except KeyboardInterrupt:       # the second of two, in our last steps
            signal(SIGINT, be_deaf)
            status = 130
        if forked:
            sys.exit(status)
        write(GUEST, b"end %d %d\n" % (call, status))


def start():
    for fd in (GUEST, RICH):
        os.set_inheritable(fd, False)
    signal(SIGINT, be_deaf)
    os.register_at_fork(after_in_child=in_child)
    os.environ.setdefault("MPLBACKEND", "agg")
    sys.path[0] = ""                    # not our folder: the one the code is in
    sys.argv = [""]
    sys.modules["__main__"] = MAIN
    NAMES["__builtins__"] = builtins
    builtins.display = display
    OUT.reconfigure(encoding="utf-8", errors="surrogateescape", line_buffering=True)
    ERR.reconfigure(encoding="utf-8")
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    for name in [name for name in ON_IMPORT if name in sys.modules]:
        ON_IMPORT.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, Joiner)


OUT, ERR = sys.stdout, sys.stderr
start()
# By way of other globals: until 3.9, a frame takes the builtins of a caller that has the same.
eval("serve()", {"serve": serve})
