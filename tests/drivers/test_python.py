"""driver.py: what people do in a Python session."""
import base64
import os
import textwrap

import pytest

import rig

PNG = b"\x89PNG\r\n\x1a\n"


def run(session, code, **what):
    return session.run(textwrap.dedent(code), **what)


@pytest.mark.parametrize("code, value", [
    ("1+1", "2"), ("'a'", "'a'"), ("None", None), ("x = 1", None), ("x = 1\nx", "1"),
    ("5;", None), ("5  # five;", "5"), ("'ü';", None), ("print", "<built-in function print>"),
    ("for i in range(3): i", None), ("", None), ("# nothing", None), ("'''doc'''", "'doc'"),
    ("'\\ud800'", "'\\ud800'"), ("def f(): return 1\nf()", "1"), ("[\n1,\n2\n]", "[1, 2]"),
    ("{'a': 1}", "{'a': 1}"), ("1,", "(1,)"), ("lambda: 0;", None), ("__name__", "'__main__'"),
    ("\ufeff7", "7"), ("a = 1\r\na", "1"), ("(yes := 5)", "5"), ("if 1:\n\t2", None),
])
def test_the_value_of_the_last_expression(py, code, value):
    done = py.run(code)
    assert (done.code, done.value, done.err) == (0, value, "")


def test_state_of_all_kinds_stays(py):
    run(py, """
        import math, dataclasses
        n = 3
        def area(r): return math.pi * r ** n
        @dataclasses.dataclass
        class Point:
            x: int
            y: int = 2
        gen = (i * i for i in range(10))
        next(gen), next(gen)
        """)
    assert py.run("area(2) == math.pi * 8, Point(1), next(gen)").value == "(True, Point(x=1, y=2), 4)"
    assert py.run("_[2] + 1").value == "5"
    run(py, "def area(r): return 0")
    assert py.run("area(5)").value == "0"


@pytest.mark.parametrize("code, kind, line, message", [
    ("1/0", "ZeroDivisionError", 1, "division by zero"),
    ("x = 1\n\nint('z')\n", "ValueError", 3, "invalid literal for int() with base 10: 'z'"),
    ("x = (1,\n  2", "SyntaxError", 1, "'(' was never closed"),
    ("a = 1\nb = = 2", "SyntaxError", 2, "invalid syntax"),
    ("if 1:\nx = 2", "IndentationError", 2, "expected an indented block after 'if' statement on line 1"),
    ("x = 1\nreturn 5", "SyntaxError", 2, "'return' outside function"),
    ("def f():\n  x = 1\n  raise KeyError('k')\n\nf()", "KeyError", 3, "'k'"),
    ("import json\njson.loads('{')", "JSONDecodeError", 2, None),
    ("eval('1+')", "SyntaxError", 1, "invalid syntax"),
    ("raise Exception", "Exception", 1, ""),
    ("def f(): f()\nf()", "RecursionError", 1, "maximum recursion depth exceeded"),
    ("class E(Exception):\n  def __str__(self): raise E\nraise E", "E", 3, "<exception str() failed>"),
    ("class R:\n  def __repr__(self): return repr(self)\nR()", "RecursionError", 2, None),
    ("class R:\n  def __repr__(self): return 5\nR()", "TypeError", None,
     "__repr__ returned non-string (type int)"),
    ("print('\\ud800')", "UnicodeEncodeError", 1, None),
    ("await nothing()", "NameError", 1, "name 'nothing' is not defined"),
    ("2 ** 100000", "ValueError", None, None),
    ("x = 1\nassert x == 2, 'no'", "AssertionError", 2, "no"),
])
def test_errors(py, code, kind, line, message):
    done = py.run(code)
    assert (done.code, done.value) == (1, None)
    assert done.error["type"] == kind
    if py.run("import sys; sys.version_info < (3, 10)").value == "True" and "Error: " in done.err \
            and kind in ("SyntaxError", "IndentationError"):
        return      # the old parser has other words, and other places
    assert done.error.get("line") == line
    if message is not None:
        assert done.error["message"] == message
    assert done.error["traceback"].strip() == done.err.strip()
    assert "driver.py" not in done.err
    assert py.run("1+1").value == "2"


def test_a_traceback_is_what_the_interpreter_prints(py):
    code = textwrap.dedent("""\
        def f(x):
            return g(x) + 1

        def g(x):
            try:
                return {}[x]
            except KeyError as e:
                raise ValueError("né") from e

        f(3)
        """)
    plain = rig.plain(py, "plain.py", code)
    done = py.run(code)
    assert done.err == plain.stderr.replace(plain.args[-1], "<call 1>")
    assert done.error["line"] == 8


def test_a_syntax_error_is_what_the_interpreter_prints(py):
    for number, code in enumerate(["a = 1\nb = (1 +\nc = 2\n", "x = 'abc\n", "def f(x, x): pass\n",
                                   "for x in y\n    pass\n", "nonlocal x\n"], 1):
        plain = rig.plain(py, "plain.py", code)
        wanted = plain.stderr.replace(plain.args[-1], f"<call {number}>").splitlines()
        # What only the compiler finds has its place in a tree: the line is the same.
        assert py.run(code).err.splitlines()[:2] == wanted[:2]


def test_an_error_in_code_of_an_earlier_call_has_its_line(py):
    py.run("def f():\n\n  return 1 // 0")
    done = py.run("\n\n\n\nf()")
    assert done.error["line"] == 3
    assert 'File "<call 2>", line 5' in done.err and 'File "<call 1>", line 3' in done.err
    assert "return 1 // 0" in done.err


def test_exceptions_in_groups_and_notes(py):
    if py.run("import sys; sys.version_info >= (3, 11)").value == "False":
        pytest.skip("exception groups are of 3.11")
    done = run(py, """
        e = ValueError("x"); e.add_note("remember")
        raise ExceptionGroup("both", [e, TypeError("y")])
        """)
    assert "remember" in done.err and "TypeError: y" in done.err


def test_sys_exit_says_what_it_is_given(py):
    assert py.run("import sys; sys.exit('why')").err == "why\n"
    assert py.run("exit()").code == 0
    assert py.run("quit(7)").code == 7
    assert py.run("raise SystemExit(-1)").code == 255
    assert py.run("try:\n sys.exit(3)\nfinally:\n print('f')").out == "f\n"
    assert py.run("input()", stdin=b"x").value == "'x'"


def test_input_over_calls(py):
    assert run(py, "a = input('? '); b = input(); (a, b)", stdin=b"1\n2\n3").value == "('1', '2')"
    done = py.run("input()")
    assert done.error["type"] == "EOFError" and done.error["message"] == "EOF when reading a line"
    assert py.run("import sys; [l for l in sys.stdin]", stdin=b"a\nb").value == "['a\\n', 'b']"


def test_standard_input_replaced_by_the_code_stays_until_given(py):
    py.run("import sys, io; sys.stdin = io.StringIO('kept')")
    assert py.run("sys.stdin.read()").value == "'kept'"
    assert py.run("sys.stdin.read()", stdin=b"given").value == "'given'"


@pytest.mark.parametrize("code", [
    "import time\ntry:\n  print('ready', flush=True)\n  time.sleep(600)\nfinally: f = 1",
    "import asyncio\nf = 1\nprint('ready')\nawait asyncio.sleep(600)",
    "f = 1\nprint('ready')\n[i for i in iter(int, 1)]",
    "import threading\nf = 1\nprint('ready')\nthreading.Event().wait()",
    "import queue\nf = 1\nprint('ready')\nqueue.Queue().get()",
    "import subprocess\nf = 1\nprint('ready')\nsubprocess.Popen(['sleep', '600']).wait()",
    "f = 1\nprint('ready')\nclass R:\n  def __repr__(self):\n    while True: pass\nR()",
    "f = 1\nprint('ready')\nclass E(Exception):\n  def __str__(self):\n    while True: pass\nraise E",
    "import socket\nf = 1\na, b = socket.socketpair()\nprint('ready')\na.recv(1)",
    "f = 1\nprint('ready')\nwhile True:\n  try: int()\n  except Exception: pass",
    "import asyncio\nf = 1\nasync def a():\n  print('ready')\n  while True: await asyncio.sleep(0)\nawait a()",
    "import asyncio\nf = 1\nasync def a():\n  print('ready')\n  while True: pass\nasyncio.run(a())",
])
def test_interrupts(py, code):
    for _ in range(2):
        done = py.interrupted(code)
        assert done.code == 130
        assert py.run("f").value == "1"


def test_an_interrupt_is_told_with_its_place(py):
    # The marker is written by a thread while the code sleeps.
    py.run("import threading, time; say = threading.Timer(0.1, print, ['ready']).start")
    done = py.interrupted("import time\nsay()\n\ntime.sleep(600)")
    assert (done.error["type"], done.error["line"]) == ("KeyboardInterrupt", 4)
    done = py.interrupted("import asyncio\nthreading.Timer(0.1, print, ['ready']).start()\n\n\n"
                          "await asyncio.sleep(600)")
    assert (done.error["type"], done.error["line"]) == ("KeyboardInterrupt", 5)


def test_code_may_handle_an_interrupt(py):
    py.run("import os, signal, time, threading\n"
           "def sleep():\n  threading.Timer(0.1, os.write, [1, b'ready\\n']).start()\n  time.sleep(600)")
    done = py.interrupted("try: sleep()\nexcept KeyboardInterrupt: print('caught')")
    assert (done.code, done.out) == (0, "ready\ncaught\n")
    done = py.interrupted("signal.signal(2, lambda *_: print('mine') or 1/0)\nsleep()")
    assert (done.code, done.out) == (1, "ready\nmine\n")
    assert py.interrupted("sleep()").out == "ready\nmine\n"


def test_interrupts_at_any_time_leave_every_line_whole(py):
    """Each call shows 40 lines on 4, and is struck somewhere; JSON that is torn does not parse."""
    py.run("import time")
    for number in range(60):
        py.begin("for i in range(40): display('x' * 5000)")
        py.until('"display"', fd=4)
        for _ in range(number % 3):
            py.interrupt()
        done = py.end()
        assert done.code in (0, 130)
    assert py.run("1+1").value == "2"


def test_top_level_await_and_tasks_that_go_on(py):
    run(py, """
        import asyncio
        log = []
        async def work():
            for i in range(3):
                await asyncio.sleep(0.01)
                log.append(i)
            print("worked")
        task = asyncio.create_task(work())
        """)
    py.until("worked")      # between calls: nobody awaits it
    assert py.run("log").value == "[0, 1, 2]"
    assert py.run("await task; task.done()").value == "True"
    assert py.run("async def f(): return 5\nawait f()").value == "5"
    py.run("async def numbers():\n  for i in range(3): yield i")
    assert py.run("[x async for x in numbers()]").value == "[0, 1, 2]"
    assert py.run("asyncio.run(f())").value == "5"
    assert py.run("await f()").value == "5"
    assert py.run("loop = asyncio.get_event_loop(); loop.run_until_complete(f())").value == "5"
    assert run(py, """
        q = asyncio.Queue()
        await q.put(1)
        async with asyncio.Lock():
            r = await q.get()
        r
        """).value == "1"


def test_a_task_that_fails_or_exits_between_calls(py):
    run(py, """
        import asyncio, sys
        async def leave():
            await asyncio.sleep(0.01)
            print("leaving")
            sys.exit(3)
        t = asyncio.create_task(leave())
        """)
    py.until("leaving")
    assert py.run("1+1").value == "2"


def test_threads_go_on_after_the_end(py):
    run(py, """
        import threading
        go, said = threading.Event(), threading.Event()
        def late():
            go.wait()
            print("late")
            said.set()
        threading.Thread(target=late, daemon=True).start()
        """)
    assert py.run("go.set(); said.wait(30)").value == "True"
    run(py, "go.clear(); said.clear(); threading.Thread(target=late, daemon=True).start()")
    run(py, "threading.Timer(0.01, go.set).start()")
    py.until("late")


def test_forked_children_end_as_processes_do(py):
    done = run(py, """
        import os, sys
        pid = os.fork()
        if pid == 0:
            print("child"); display("shown")
            sys.exit(7)
        os.waitpid(pid, 0)[1] >> 8
        """)
    assert (done.value, done.out) == ("7", "child\n'shown'\n")
    done = run(py, """
        pid = os.fork()
        if pid:
            print(os.waitpid(pid, 0)[1] >> 8)
        else:
            1/0
        """)
    assert (done.code, done.out, done.error) == (0, "1\n", None)
    assert "ZeroDivisionError" in done.err
    done = run(py, "pid = os.fork()\nif pid: os.waitpid(pid, 0)\npid > 0")
    assert done.value == "True"


def test_a_forked_child_has_none_of_our_descriptors(py):
    done = run(py, """
        import os
        pid = os.fork()
        if pid == 0:
            print(sorted(int(n) for n in os.listdir("/proc/self/fd"))[:4])
            os._exit(0)
        os.waitpid(pid, 0);
        """)
    assert done.out == "[0, 1, 2, 3]\n"     # 3: the folder that is being listed


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(py, method):
    done = run(py, f"""
        import multiprocessing as mp, os, math
        def square(x): return x * x
        with mp.get_context("{method}").Pool(2) as pool:
            r = pool.map({'square' if method == 'fork' else 'math.sqrt'}, range(5))
        r
        """)
    assert done.value == ("[0, 1, 4, 9, 16]" if method == "fork"
                          else "[0.0, 1.0, 1.4142135623730951, 1.7320508075688772, 2.0]")


def test_what_the_code_breaks_is_its_own(py):
    run(py, "import builtins; kept = dict(vars(builtins))")
    run(py, "for name in ('print', 'len', 'isinstance', 'open', 'map', 'str'): delattr(builtins, name)")
    assert py.run("1+1").value == "2"
    assert py.run("1/0").error["type"] == "ZeroDivisionError"
    assert py.run("len").error["type"] == "NameError"
    run(py, "vars(builtins).update(kept)")
    assert py.run("len('abc')").value == "3"
    run(py, "import sys; saved = dict(sys.modules); sys.modules.clear()")
    assert py.run("1+1").value == "2"
    run(py, "sys.modules.update(saved)")
    assert py.run("import os; os.sep").value == "'/'"


def test_streams_the_code_closes_or_replaces(py):
    assert py.run("import sys, io; sys.stdout = io.TextIOWrapper(sys.stdout.detach(), "
                  "encoding='utf-8'); print('ü')").out == "ü\n"
    assert py.run("sys.stdout.close()").code == 0
    assert py.run("print('again')").out == "again\n"
    py.run("out = sys.stdout = io.StringIO(); print('kept')")
    assert py.run("sys.stdout = sys.__stdout__; out.getvalue()").value == "'kept\\n'"
    assert py.run("print('back')").out == "back\n"
    py.run("del sys.stdout")
    assert py.run("print('and again')").out == "and again\n"
    py.run("sys.stderr = None")
    assert py.run("1/0").code == 1
    assert "ZeroDivisionError" in py.run("1/0").err


def test_output_keeps_its_order_with_that_of_children(py):
    done = run(py, """
        import subprocess, os
        print("one")
        subprocess.run(["echo", "two"])
        print("three")
        os.system("echo four")
        os.write(1, b"five\\n");
        """)
    assert done.out.split() == ["one", "two", "three", "four", "five"]


def test_partial_lines_are_flushed_at_the_end(py):
    done = py.run("import sys; print('a', end=''); sys.stderr.write('b');")
    assert (done.out, done.err) == ("a", "b")


def test_rich_forms(py):
    done = run(py, r"""
        class Rich:
            def _repr_html_(self): return "<b>é</b>"
            def _repr_png_(self): return b"\x89PNG\r\n\x1a\n"
            def _repr_svg_(self): return "<svg/>"
            def _repr_markdown_(self): return "**m**"
            def _repr_latex_(self): return "$l$", {"width": 5}
            def _repr_json_(self): return {"a": [1, None, "ü"]}
            def _repr_jpeg_(self): raise NotImplementedError
            def _repr_pdf_(self): return None
            def __repr__(self): return "plain"
        Rich()
        """)
    (record,) = done.rich
    assert record["data"] == {
        "text/plain": "plain", "text/html": "<b>é</b>", "image/svg+xml": "<svg/>",
        "image/png": base64.b64encode(PNG).decode(), "text/markdown": "**m**",
        "text/latex": "$l$", "application/json": {"a": [1, None, "ü"]}}
    assert record["metadata"] == {"text/latex": {"width": 5}}
    assert py.run("display(Rich(), 5, 'x')").displays == [record["data"], {"text/plain": "5"},
                                                         {"text/plain": "'x'"}]
    assert py.run("Rich").value == "<class '__main__.Rich'>"


def test_bundles_and_self_display(py):
    assert run(py, """
        class Bundle:
            def _repr_mimebundle_(self, include=None, exclude=None):
                return {"text/plain": "mine", "image/png": b"x", "a/b": "c"}, {"a/b": {"k": 1}}
        Bundle()
        """).rich == [{"call": 1, "kind": "result", "metadata": {"a/b": {"k": 1}},
                       "data": {"text/plain": "mine", "image/png": "eA==", "a/b": "c"}}]
    assert run(py, """
        class Own:
            def _ipython_display_(self): print("own")
        Own()
        """).out == "own\n"
    assert py.run("display({'text/html': '<i>'}, raw=True)").displays == [
        {"text/plain": "{'text/html': '<i>'}", "text/html": "<i>"}]


def test_rich_forms_that_fail_cost_only_themselves(py):
    done = run(py, """
        class Bad:
            def _repr_html_(self): raise ValueError("oops")
            def _repr_json_(self): return {1, 2}
            def _repr_markdown_(self): return "ok"
        Bad()
        """)
    assert done.code == 0
    assert set(done.rich[0]["data"]) == {"text/plain", "text/markdown"}
    assert "oops" in done.err and "application/json is left out" in done.err
    assert run(py, "class Yes:\n  def __getattr__(self, name): return lambda *a, **k: 'all'\nYes();").code == 0
    assert set(py.run("Yes()").rich[0]["data"]) == {"text/plain"}
    assert py.run("import unittest.mock as m; m.MagicMock()").rich[0]["data"].keys() == {"text/plain"}


def test_large_values_are_cut(py):
    value = py.run("'x' * 1_000_000").value
    assert len(value) <= 65536 and value.endswith("[cut: 1000002 bytes in all]")
    value = py.run("'é' * 60_000").value
    assert len(value.encode()) <= 65536
    done = py.run("display({'text/html': 'x' * (20 << 20), 'text/plain': 'small'}, raw=True)")
    assert done.displays == [{"text/plain": "small"}] and "left out" in done.err
    done = py.run("display({'text/html': 'x' * (15 << 20), 'text/plain': 'small'}, raw=True)")
    assert len(done.displays[0]["text/html"]) == 15 << 20
    assert len(py.run("raise ValueError('x' * 1_000_000)").error["message"]) <= 65536


FAKE_MATPLOTLIB = {
    "matplotlib/__init__.py": "import os\nbackend = os.environ.get('MPLBACKEND')\n",
    "matplotlib/figure.py": """
class Figure:
    def __init__(self, name): self.name = name
    def savefig(self, file, format, **_): file.write(b'\\x89PNG' + self.name.encode())
    def __repr__(self): return f'<Figure {self.name}>'
""",
    "matplotlib/_pylab_helpers.py": """
class Gcf:
    figs = []
    @classmethod
    def get_all_fig_managers(cls): return list(cls.figs)
    @classmethod
    def destroy_all(cls): cls.figs.clear()
""",
    "matplotlib/pyplot.py": """
from matplotlib.figure import Figure
from matplotlib._pylab_helpers import Gcf
class Manager: pass
def figure(name='f'):
    manager = Manager(); manager.canvas = Manager(); manager.canvas.figure = Figure(name)
    Gcf.figs.append(manager)
    return manager.canvas.figure
def close(figure): Gcf.figs[:] = [m for m in Gcf.figs if m.canvas.figure is not figure]
def show(): raise RuntimeError('no display')
""",
}


def png(name):
    return base64.b64encode(b"\x89PNG" + name.encode()).decode()


def test_figures_left_open_are_shown_and_closed(py):
    rig.install(py, FAKE_MATPLOTLIB)
    done = py.run("import matplotlib.pyplot as plt, matplotlib\nplt.figure('a'); plt.figure('b');")
    assert done.displays == [{"text/plain": f"<Figure {n}>", "image/png": png(n)} for n in "ab"]
    assert py.run("plt.Gcf.figs, matplotlib.backend").value == "([], 'agg')"
    done = py.run("f = plt.figure('c'); plt.show(); print('x'); g = plt.figure('d')")
    assert [d["image/png"] for d in done.displays] == [png("c"), png("d")]
    done = py.run("plt.figure('e')")
    assert [(r["kind"], r["data"]["image/png"]) for r in done.rich] == [("result", png("e"))]
    assert py.run("display(f)").displays[0]["image/png"] == png("c")
    done = py.run("plt.figure('z'); 1/0")
    assert [r["kind"] for r in done.rich] == ["display", "error"]


def test_the_backend_the_code_chose_stays(py):
    rig.install(py, FAKE_MATPLOTLIB)
    assert py.run("import matplotlib; matplotlib.backend", env={"MPLBACKEND": "svg"}).value == "'svg'"


def test_pickles_sources_and_annotations(py):
    run(py, """
        import pickle, inspect
        class Point:
            '''A point.'''
            x = 5
        def f(a):
            # says a
            return a
        p = Point(); p.y = 1
        """)
    assert py.run("pickle.loads(pickle.dumps(p)).y, pickle.loads(pickle.dumps(f)) is f").value \
        == "(1, True)"
    assert py.run("print(inspect.getsource(f), end='')").out == "def f(a):\n    # says a\n    return a\n"
    assert py.run("print(inspect.getsource(Point), end='')").out == \
        "class Point:\n    '''A point.'''\n    x = 5\n"
    assert py.run("inspect.getsourcelines(f)[1]").value == "6"
    run(py, "class Point:\n    z = 1")
    assert py.run("inspect.getsource(Point)").value == "'class Point:\\n    z = 1\\n'"


def test_future_imports_stay(py):
    py.run("from __future__ import annotations\ndef f(x: nowhere): pass")
    assert py.run("def g(y: neither): pass\ng.__annotations__").value == "{'y': 'neither'}"


def test_warnings_are_shown_each_time(py):
    for number in (1, 2):
        assert py.run("import warnings; warnings.warn('careful')").err == \
            f"<call {number}>:1: UserWarning: careful\n  import warnings; warnings.warn('careful')\n"


def test_imports_from_the_workspace_follow_the_folder(py):
    rig.install(py, {"mine.py": "value = 1", "sub/other.py": "value = 2\ndef bad(): 1/0"})
    assert py.run("import mine, sys; mine.value, sys.path[0], sys.argv").value == "(1, '', [''])"
    assert py.run("import other; other.value", cwd=os.path.join(py.workspace, "sub")).value == "2"
    done = py.run("x = 1\nother.bad()")
    assert done.error["line"] == 2 and "sub/other.py" in done.err


def test_the_main_module_is_clean(py):
    assert py.run("sorted(n for n in dir() if n != '__annotations__')").value == \
        "['__builtins__', '__doc__', '__loader__', '__name__', '__package__', '__spec__']"
    assert py.run("import __main__; __main__.__dict__ is globals()").value == "True"
    assert "FUMEHOOD" not in py.run("import os; os.environ").value


def test_code_that_is_no_utf8_or_has_a_nul(py):
    assert py.run(b"x = '\xff'").error["type"] == "SyntaxError"
    assert py.run(b"x = '\0'").code == 1
    assert py.run("1+1").value == "2"


def test_unicode_everywhere(py):
    assert py.run("größe = '漢字🎉'; größe").value == "'漢字🎉'"
    assert py.run("print(größe)").out == "漢字🎉\n"
    assert py.run("import os; open('ü'.encode('latin-1'), 'w').close(); print(os.listdir('.'))").code == 0
    assert py.run("1/größe").err.count("1/größe") == 1


def test_an_excepthook_of_the_code_writes_in_our_place(py):
    py.run("import sys; sys.excepthook = lambda t, e, tb: print('hook', t.__name__)")
    done = py.run("1/0")
    assert (done.out, done.err, done.error["type"]) == ("hook ZeroDivisionError\n", "",
                                                       "ZeroDivisionError")


@pytest.mark.parametrize("code, status", [
    ("import os; os._exit(5)", 5), ("import os; os.abort()", -6),
    ("import ctypes; ctypes.string_at(0)", -11),
])
def test_deaths(py, code, status):
    assert py.dies(code) == status


def test_forty_steps_are_what_one_script_prints(py):
    """The same statements in one plain interpreter and call by call print the same."""
    steps = ["import math, json, collections, itertools, re, random, functools, datetime as dt",
             "random.seed(7); data = [random.gauss(0, 1) for _ in range(500)]",
             "mean = sum(data) / len(data); print(round(mean, 9))",
             "sd = math.sqrt(sum((x - mean) ** 2 for x in data) / len(data)); print(sd)",
             "words = 'the quick brown the fox the'.split()",
             "print(collections.Counter(words).most_common(2))",
             "def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)",
             "fib = functools.lru_cache(None)(fib)", "print(fib(80))",
             "class Stack(list):\n    push = list.append",
             "s = Stack(); s.push(1); s.push(2); print(s, s.pop())",
             "print(json.dumps({'a': [1, 2.5, None, True, 'é']}, sort_keys=True))",
             "print(re.findall(r'\\d+', 'a1b22c333'))",
             "with open('t.txt', 'w') as f: f.write('\\n'.join(map(str, range(5))))",
             "print(open('t.txt').read().split())",
             "it = itertools.count(5); next(it)", "print(next(it))",
             "print(dt.date(2024, 2, 29) + dt.timedelta(days=366))",
             "matrix = [[i * j for j in range(4)] for i in range(4)]",
             "print([sum(r) for r in zip(*matrix)])", "del words",
             "try:\n    words\nexcept NameError as e:\n    print(e)",
             "x: int = 5", "print(__annotations__)", "import os; print(os.path.basename('a/b'))",
             "print(f'{math.pi:.10f} {1e100} {2**70} {-7 // 2} {0.1 + 0.2}')",
             "print({3, 1, 2} | {9}, {**{'a': 1}, 'b': 2})", "a, *b = range(5); print(a, b)",
             "g = (n for n in range(3))", "print(list(g), list(g))",
             "import decimal; print(decimal.Decimal(1) / 7)",
             "import fractions; print(fractions.Fraction(3, 6) + 1)",
             "print(sorted({'b': 1, 'a': 2}.items(), key=lambda kv: -kv[1]))",
             "print(bytes(range(5)), bytearray(b'x') * 3)", "import enum",
             "class C(enum.Enum):\n    RED = 1\n    BLUE = 2", "print(C.RED, list(C))",
             "print(hash((1, 2)) == hash((1, 2)), id(s) == id(s))",
             "nums = list(map(int, '1 2 3'.split())); nums[1:1] = [9, 9]; print(nums)",
             "print(sum(data[:3]), max(data), min(data))"]
    assert len(steps) == 40
    plain = rig.plain(py, "plain.py", "\n".join(steps) + "\n",
                      env={"PATH": "/usr/bin", "LANG": "C.UTF-8"})
    assert plain.returncode == 0, plain.stderr
    outs = []
    for step in steps:
        done = py.run(step)
        assert (done.code, done.err) == (0, "")
        outs.append(done.out)
    assert "".join(outs) == plain.stdout


@pytest.mark.parametrize("left", [0, 1 << 20])
def test_code_that_leaves_no_memory_is_no_flood(py, left):
    """The next call is run, or the interpreter ends and that is told; it does not complain for ever."""
    py.run(f"""
import resource
spare = bytearray({left})
size = int(open('/proc/self/statm').read().split()[0]) * 4096 + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (size, size))
all = []
for n in (1 << 20, 1 << 16, 1 << 12, 512, 16):
    try:
        while True:
            all.append(bytearray(n))
    except MemoryError:
        pass
del spare""")
    try:
        py.run("1 + 1")
    except rig.Died:
        assert not left
    assert len(py.buffers[2]) < 1 << 16
