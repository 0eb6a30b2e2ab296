"""`fumehood image`: what it makes, what it refuses, and what is left when it is stopped."""
import http.server
import json
import os
import re
import signal
import stat
import threading

import pytest
from cannot import cannot
from lab import digest
from processes import gone, offspring


def test_it_is_made_listed_shown_and_removed(site):
    made = site.create()
    assert re.match(r"small: intact\n", made.stdout) and "python small 1.0" in made.stdout
    assert "fumehood stdio --image small" in made.stderr
    one, = site.images()
    assert one["name"] == "small" and one["asked"] == {"python": ["small"], "javascript": []}
    assert one["packages"] == [{"language": "python", "name": "small", "version": "1.0"}]
    assert one["interpreters"]["python"].startswith("Python 3")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", one["created"])
    assert json.loads(site("image", "show", "small", "--json").stdout) == {**one, "state": "intact"}
    assert site.python("import small; print(small.VERSION, small.__file__)") == \
        "1 /opt/fumehood/python/small/__init__.py\n"
    assert "removed small" in site("image", "remove", "small").stdout
    assert site.images() == [] and os.listdir(os.path.dirname(site.folder())) == []


def test_the_digest_is_that_of_its_description(made):
    manifest = json.load(open(os.path.join(made.folder(), "image.json"), encoding="utf-8"))
    assert digest(made.folder()) == (manifest["sha256"], manifest["entries"], manifest["bytes"])


def test_others_may_read_it_and_nobody_else_may_write(made):
    assert stat.S_IMODE(os.stat(made.state).st_mode) == 0o700
    for folder, names, files in os.walk(made.folder()):
        for path in [folder] + [os.path.join(folder, name) for name in names + files]:
            about = os.lstat(path)
            assert stat.S_IMODE(about.st_mode) in (0o755, 0o644), path
            assert about.st_uid == (os.getuid() if made.uid is None else made.uid)


def test_what_is_compiled_is_believed_and_names_no_path_of_the_host(made):
    cache = os.path.join(made.folder(), "python", "small", "__pycache__")
    one, = os.listdir(cache)
    with open(os.path.join(cache, one), "rb") as file:
        code = file.read()
    assert code[4:8] == b"\1\0\0\0"                 # PEP 552: by hash, which is not checked
    assert b"/opt/fumehood/python/small/__init__.py" in code and b"fumehood-images-" not in code


def test_the_config_file_and_the_variable_name_it(made):
    path = made.program(json.dumps({"image": "small"}), "config.json")
    program = made.program("import small; print(small.VERSION)")
    assert made("run", "--config", path, program).stdout == "1\n"
    assert made("run", program, env={"FUMEHOOD_IMAGE": "small"}).stdout == "1\n"
    assert "ModuleNotFoundError" in made("run", program, code=1).stderr


@pytest.mark.parametrize("name", ["", ".", "..", "../small", "a/b", "-x", ".hidden", "a b", "a\n", "x.new", "é",
                                  "a" * 65, "small\x1b[31m"])
def test_odd_names_are_refused(site, name):
    for deed in ("create", "show", "remove"):
        done = site("image", deed, "--", name, code=2, env={"FUMEHOOD_PYTHON": "small"})
        assert "no name for an image" in done.stderr and "\x1b" not in done.stderr
    assert not os.path.exists(site.state)


@pytest.mark.parametrize("spec", ["-e.", "--index-url=http://x", "./small", "/tmp/small", "git+https://x/y", "small.whl",
                                  "https://x/y.whl", "small@file:///x", "small;python_version>'3'", "s%6dall", "*",
                                  "small-1.0-py3-none-any.whl", "x.tar.gz", "..", "small\x1b[0m", "a" * 200])
def test_a_requirement_that_names_a_place_is_refused(site, spec):
    done = site.create(packages=f"small {spec}", code=2)
    assert "no package" in done.stderr and "\x1b" not in done.stderr
    assert not os.path.exists(site.folder())


@pytest.mark.parametrize("spec", ["-g", "../x", "a/b", "a/b/c", "@a", "@a/", "x@file:..", "x@git+ssh://y", "npm:x", "x.tgz",
                                  "github:a/b", "a@b@c", "a@1/2", "https://x", "."])
def test_the_same_of_npm(site, spec):
    done = site("image", "create", "small", "--javascript", spec, code=2)
    assert "no package" in done.stderr and not os.path.exists(site.folder())


def test_without_packages_there_is_no_image(site):
    assert "--python" in site("image", "create", "small", code=2).stderr
    assert "--python" in site("image", "create", "small", "--python", " \t", code=2).stderr


def test_what_pip_cannot_find_is_said_and_leaves_nothing(site):
    done = site.create(packages="small no-such-package", code=1)
    assert "no-such-package" in done.stderr and "pip failed" in done.stderr
    assert os.listdir(site.folder(".")) == [] and site.images() == []


def test_a_source_package_is_not_built(site):
    trace = os.path.join(site.dir, "home", "built")
    site.source("sly", f"open({trace!r}, 'w')\nfrom setuptools import setup\nsetup(name='sly')\n")
    site.create(packages="sly", code=1)
    assert not os.path.exists(trace) and site.images() == []


def test_nothing_of_a_package_runs_while_it_is_installed(site):
    """Neither what Python imports by itself, nor a name of the standard library or of pip, nor a current folder."""
    trace = os.path.join(site.dir, "home", "ran")
    code = f"open({trace!r}, 'w')\n"
    site.wheel("sly", {"sitecustomize.py": code, "usercustomize.py": code, "sly.pth": f"import os; {code}",
                       "json.py": code, "pip/__init__.py": code, "pip/__main__.py": code, "compileall.py": code})
    for name in ("pip.py", "compileall.py", "json.py"):
        with open(os.path.join(site.dir, name), "w", encoding="utf-8") as file:
            file.write(code)
    site.create(packages="sly small", env={"PYTHONPATH": site.dir})
    assert not os.path.exists(trace)
    assert site.images()[0]["name"] == "small"


def test_names_that_could_drive_a_terminal_are_not_shown(site):
    site.wheel("sly", {"sly.py": ""})
    site.create(packages="sly")
    path = os.path.join(site.folder(), "image.json")
    manifest = json.load(open(path, encoding="utf-8"))
    manifest["packages"] = [{"language": "python", "name": "x\x1b[31m", "version": "1\n2"},
                            {"language": "python", "name": "sound", "version": "1"}]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    shown = site("image", "show", "small").stdout
    assert "\x1b" not in shown and "python sound 1" in shown
    with site.server() as server:
        server.initialize()
        assert [p["name"] for p in server.call("sandbox_info")["runtime_image"]["packages"]] == ["sound"]


class Stuck(http.server.BaseHTTPRequestHandler):
    """An index that takes for ever."""

    def do_GET(self):
        self.server.asked.set()
        self.server.end.wait()

    def log_message(self, *_):
        pass


@pytest.fixture
def stuck():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stuck)
    server.daemon_threads = True
    server.asked, server.end = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.end.set()
    server.shutdown()
    server.server_close()


def slow(site, server):
    proc = site.popen("image", "create", "small", "--python", "small",
                      env={"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "no_proxy": "127.0.0.1",
                           "PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple"})
    assert server.asked.wait(60), proc.stderr.read()
    return proc


def test_a_killed_creation_leaves_nothing_that_counts(site, stuck):
    with slow(site, stuck) as proc:
        children = offspring(proc.pid)
        assert children and os.listdir(site.folder(".")) == ["small.new"]
        proc.send_signal(signal.SIGKILL)
        proc.communicate()
    assert gone(children, 10)
    assert site.images() == []
    assert "no image small" in site("image", "show", "small", code=1).stderr
    site.create()
    assert os.listdir(site.folder(".")) == ["small"]


def test_one_at_a_time(site, stuck):
    with slow(site, stuck) as proc:
        for words in (("create", "other", "--python", "small"), ("remove", "small")):
            assert "another" in site("image", *words, code=1).stderr
        assert site.images() == []
        proc.kill()
        proc.communicate()


def test_a_failed_replacement_leaves_the_old_one(made):
    before = made.images()
    made.create(packages="no-such-package", code=1)
    assert made.images() == before
    assert "intact" in made("image", "show", "small").stdout


def test_it_stands_on_disk_before_it_has_its_name(made):
    """Replacing is one exchange: at no time is there a small without a manifest."""
    missing, stop = [], threading.Event()

    def watch():
        while not stop.wait(0.0005):
            if not os.path.exists(os.path.join(made.folder(), "image.json")):
                missing.append(os.listdir(made.folder(".")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for version in ("2.0", "3.0"):
            made.wheel("small", {"small/__init__.py": ""}, version)
            made.create()
    finally:
        stop.set()
        watcher.join()
    assert not missing and made.images()[0]["packages"][0]["version"] == "3.0"


def test_npm(site):
    """From the registry, without scripts; require finds it."""
    if not os.access("/usr/bin/npm", os.X_OK):
        cannot("npm is not installed")
    site("image", "create", "js", "--javascript", "lodash@4")
    one, = site.images()
    assert [(p["language"], p["name"]) for p in one["packages"]] == [("javascript", "lodash")]
    program = site.program("console.log(require('lodash').chunk([1, 2, 3], 2))", "p.js")
    assert site("run", "--image", "js", program).stdout == "[ [ 1, 2 ], [ 3 ] ]\n"
    with site.server("js") as server:
        server.initialize()
        session = server.call("session_create")["session_id"]
        done = server.run_code(language="javascript", session_id=session,
                               code="const _ = require('lodash'); _.sum([1, 2, 3])")
        assert done["outputs"][-1]["text"] == "6", done
