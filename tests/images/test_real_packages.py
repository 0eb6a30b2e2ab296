"""The packages themselves in sessions, as programs and notebooks use them: values, tables, figures, no noise."""
import base64
import time

import png
import pytest


@pytest.fixture(scope="module")
def server(data_site):
    with data_site.server("data") as made:
        made.initialize()
        yield made


@pytest.fixture
def run(server):
    ident = server.call("session_create", {"language": "python"})["session_id"]

    def call(code):
        done = server.run_code(code=code, session_id=ident, timeout_ms=60000)
        assert done["stderr"] == "" and done["exit_code"] == 0, done
        return done

    yield call
    server.call("session_close", {"session_id": ident})


def last(done):
    return done["outputs"][-1]


def test_numpy(run):
    run("import numpy")
    assert last(run("numpy.arange(3)"))["text"] == "array([0, 1, 2])"
    assert last(run("numpy.array([[1.5, 2]]) @ numpy.ones((2, 2))"))["text"] == "array([[3.5, 3.5]])"
    assert last(run("numpy.linalg.solve([[2, 0], [0, 4]], [2, 4])"))["text"] == "array([1., 1.])"


def test_pandas(run):
    run("import pandas")
    shown = last(run("pandas.DataFrame({'a': [1, 2]})"))
    assert shown["text"] == "   a\n0  1\n1  2"
    assert any("html" in str(part) for part in shown.values()), shown


def test_matplotlib(server):
    """Shown, and left open: both come, and once."""
    ident = server.call("session_create", {"language": "python"})["session_id"]
    code = ("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2, 3])\nplt.show()\n"
            "plt.figure(); plt.plot([1]);\n")
    result = server.request("tools/call", {"name": "run_code", "arguments": {
        "language": "python", "code": code, "session_id": ident, "timeout_ms": 60000}})
    done = result["structuredContent"]
    images = [block for block in result["content"] if block["type"] == "image"]
    assert done["stderr"] == "" and len(images) == 2
    for image in images:
        assert png.Picture(base64.b64decode(image["data"])).width > 300
    assert "<Figure size 640x480 with 1 Axes>" in [output.get("text") for output in done["outputs"]]
    server.call("session_close", {"session_id": ident})


def test_its_list_of_fonts_is_the_image_s(run):
    """Not made anew: it takes a second, and fc-list, which complains."""
    done = run("import os, matplotlib, matplotlib.font_manager as fonts\n"
               "print(matplotlib.get_cachedir(), matplotlib.get_configdir())\n"
               "for name in os.listdir('/tmp/matplotlib'): print(os.path.realpath('/tmp/matplotlib/' + name))\n"
               "print(fonts.findfont('DejaVu Sans'))")
    cache, listed, font = done["stdout"].splitlines()
    assert cache == "/tmp/matplotlib /tmp/matplotlib"
    assert listed.startswith("/opt/fumehood/cache/matplotlib/fontlist-")
    assert font.startswith("/opt/fumehood/python/matplotlib/") or font.startswith("/usr/share/fonts/")


def test_a_call_without_a_session_has_them_too(server):
    done = server.run_code(code="import matplotlib.pyplot as p, pandas\np.plot([1])\np.savefig('x.png')\n"
                                "print(pandas.Series([1, 2]).sum())", timeout_ms=60000)
    assert done["stdout"] == "3\n" and done["stderr"] == "", done


def test_how_long_importing_takes(run, record_property):
    """Told, not judged: what a session costs once."""
    for name in ("numpy", "pandas", "matplotlib.pyplot"):
        began = time.monotonic()
        run(f"import {name}")
        took = time.monotonic() - began
        record_property(name, took)
        print(f"import {name}: {took:.2f} s")
