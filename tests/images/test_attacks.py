"""From inside a sandbox, and from beside it: an image is what the operator made, for all, and no way out."""
import json
import os
import shutil

import lab
import mcp
import pytest

WRITES = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
top = "/opt/fumehood"
def attempt(name, deed):
    try:
        deed()
    except (OSError, PermissionError) as why:
        print(name, "refused", why.errno)
    else:
        print(name, "WORKED")
def call(*args):
    if libc.mount(*args) != 0:
        raise OSError(ctypes.get_errno(), "mount")
attempt("create", lambda: open(top + "/python/new", "w"))
attempt("write", lambda: open(top + "/python/small/__init__.py", "r+"))
attempt("append", lambda: os.open(top + "/image.json", os.O_WRONLY | os.O_APPEND))
attempt("truncate", lambda: os.truncate(top + "/image.json", 0))
attempt("unlink", lambda: os.unlink(top + "/image.json"))
attempt("rename", lambda: os.rename(top + "/python", top + "/other"))
attempt("chmod", lambda: os.chmod(top + "/image.json", 0o777))
attempt("utime", lambda: os.utime(top + "/image.json"))
attempt("mkdir", lambda: os.mkdir(top + "/python/small/__pycache__/x"))
attempt("link", lambda: os.link(top + "/image.json", "/workspace/x"))
attempt("symlink", lambda: os.symlink("/x", top + "/python/x"))
attempt("xattr", lambda: os.setxattr(top + "/image.json", "user.x", b"x"))
attempt("remount", lambda: call(b"none", top.encode(), None, 32 | 4096, None))
attempt("cover", lambda: call(b"tmpfs", top.encode(), b"tmpfs", 0, None))
attempt("by /proc", lambda: open("/proc/self/root" + top + "/python/new", "w"))
"""

ESCAPES = """
import os
for path in ("/opt/fumehood/..", "/opt/fumehood/../..", "/opt/fumehood/python/../../../.."):
    print(path, os.path.realpath(path))
for path in ("/opt/fumehood/../../STATE", "STATE", "STATE/images"):
    print(path, os.path.exists(path))
print(sorted(fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}")))
for fd in range(256):
    for up in ("..", "../..", "../../.."):
        try:
            there = os.open(up, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        except OSError:
            continue
        print("LEAK", fd, up, os.listdir(there))
"""


def everything(folder):
    return {path: os.lstat(os.path.join(os.fsencode(folder), path)).st_mtime_ns
            for path in lab.walk(os.fsencode(folder))}, lab.digest(folder)


def test_it_cannot_be_written_from_inside(made):
    before = everything(made.folder())
    lines = made.python(WRITES).splitlines()
    assert len(lines) == 15 and not [line for line in lines if "refused" not in line], lines
    assert everything(made.folder()) == before
    with made.server() as server:                       # and of a session
        server.initialize()
        session = server.call("session_create")["session_id"]
        again = server.run_code(code=WRITES, session_id=session)["stdout"].splitlines()
        assert [line for line in again if "refused" not in line] == [] and len(again) == 15
        assert server.run_command("touch /opt/fumehood/x", session_id=session)["exit_code"] == 1
    assert everything(made.folder()) == before


def test_the_attacks_can_work(made):
    """The same, by the operator outside: so what is refused inside is not refused by chance."""
    path = os.path.join(made.folder(), "python", "new")
    with open(path, "w", encoding="utf-8"):
        pass
    os.chmod(path, 0o644)
    if made.uid is not None:
        os.chown(path, made.uid, made.uid)
    assert "not as it was made" in made.refused()


def test_it_is_read_only_nosuid_nodev(made):
    found = made.python("for line in open('/proc/self/mounts'):\n"
                        "    at = line.split()\n"
                        "    if at[1].startswith('/opt'): print(at[1], at[3])")
    at, options = found.split()
    assert at == "/opt/fumehood" and {"ro", "nosuid", "nodev"} <= set(options.split(","))


def test_nothing_above_it_is_reached(made):
    lines = made.python(ESCAPES.replace("STATE", made.state)).splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["/opt", "/", "/"]
    assert [line.split()[-1] for line in lines[3:6]] == ["False"] * 3
    assert lines[6] == "[0, 1, 2]" and len(lines) == 7, lines


def test_links_in_it_lead_nowhere_but_into_the_sandbox(made):
    """A package may bring any link; it is followed where the program is, not where the image is."""
    secret = os.path.join(made.dir, "home", "secret")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("secret")
    folder = os.path.join(made.folder(), "python")
    for name, to in (("absolute", secret), ("up", "../../../../secret"), ("state", "../../../audit.db"),
                     ("shadow", "/etc/shadow"), ("far", "../" * 30 + "etc/shadow"), ("loop", "loop"),
                     ("inside", "small/data.txt"), ("fd", "/proc/1/root/etc/shadow"), ("etc", "/etc")):
        os.symlink(to, os.path.join(folder, name))
        if made.uid is not None:
            os.chown(os.path.join(folder, name), made.uid, made.uid, follow_symlinks=False)
    lab.sign(made.folder())
    got = made.python("import os\n"
                      "for name in sorted(os.listdir('/opt/fumehood/python')):\n"
                      "    path = '/opt/fumehood/python/' + name\n"
                      "    if os.path.islink(path) and not os.path.isdir(path):\n"
                      "        try: print(name, open(path).read())\n"
                      "        except OSError as why: print(name, 'refused', why.errno)\n"
                      "print(sorted(os.listdir('/opt/fumehood/python/etc')))")
    assert "secret\n" not in got and "root:" not in got and "inside text" in got
    assert [line.split()[0] for line in got.splitlines() if "refused" in line] == \
        ["absolute", "far", "fd", "loop", "shadow", "state", "up"]
    assert "shadow" not in got.splitlines()[-1]
    assert "intact" in made("image", "show", "small").stdout


@pytest.mark.parametrize("what", ["file", "group", "folder", "top", "images", "setuid", "fifo", "unreadable"])
def test_what_others_could_have_written_is_refused(made, what):
    folder = made.folder()
    module = os.path.join(folder, "python", "small", "__init__.py")
    change = {"file": lambda: os.chmod(module, 0o646), "group": lambda: os.chmod(module, 0o664),
              "folder": lambda: os.chmod(os.path.dirname(module), 0o777), "top": lambda: os.chmod(folder, 0o757),
              "images": lambda: os.chmod(os.path.dirname(folder), 0o777), "setuid": lambda: os.chmod(module, 0o4755),
              "fifo": lambda: (os.unlink(module), os.mkfifo(module, 0o644)),
              "unreadable": lambda: os.chmod(module, 0o600)}
    change[what]()
    if what == "fifo" and made.uid is not None:
        os.chown(module, made.uid, made.uid)
    why = made.refused()
    assert any(part in why for part in ("written by others", "neither a file", "cannot be read by all")), why
    assert made("stdio", "--image", "small", code=2).stderr == why


@pytest.mark.skipif(os.getuid() != 0, reason="another user's file takes root to make")
@pytest.mark.parametrize("what", ["python/small/__init__.py", "", "image.json", "python"])
def test_what_belongs_to_another_user_is_refused(made, what):
    os.chown(os.path.join(made.folder(), what), 4243, 4243)
    assert "belongs to" in made.refused()


def test_what_was_altered_is_told(made):
    module = os.path.join(made.folder(), "python", "small", "__init__.py")
    with open(module, "r+", encoding="utf-8") as file:
        file.write("VERSION = 6\n")                         # as long as it was: a start does not see it
    assert made.python("import small") == ""
    done = made("image", "show", "small", code=1)
    assert done.stdout.startswith("small: altered\n") and "altered" in done.stderr
    assert json.loads(made("image", "show", "small", "--json", code=1).stdout)["state"] == "altered"
    assert "altered" in made("doctor", "--image", "small", code=1).stderr
    with open(module, "a", encoding="utf-8") as file:
        file.write("more = 1\n")
    assert "not as it was made" in made.refused()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2, "name": "small"}',
                                  '{"format": 1, "name": "../x", "sha256": "' + "0" * 64 + '"}'])
def test_a_manifest_that_is_none_is_refused(made, text):
    with open(os.path.join(made.folder(), "image.json"), "w", encoding="utf-8") as file:
        file.write(text)
    why = made.refused()
    assert "image" in why and "create" in why
    made("image", "show", "small", code=1)
    made("image", "list")


def test_a_link_is_no_image(made):
    os.rename(made.folder(), made.folder("other"))
    os.symlink("other", made.folder())
    assert made.refused()
    made("image", "remove", "small")                        # the link goes, the image stays
    assert made.images()[0]["name"] == "other"


def test_one_that_is_missing_says_what_to_do(site):
    for words in (("stdio",), ("run", site.program("")), ("doctor",), ("serve", "--listen", "127.0.0.1:0", "--insecure-no-auth")):
        code = 1 if words[0] == "doctor" else 2
        done = site(words[0], "--image", "small", *words[1:], code=code)
        assert "image create" in done.stderr, done.stderr
    assert "no name" in site("stdio", "--image", "../x", code=2).stderr


def version(server):
    return server.run_code(code="import small; print(small.VERSION)")["stdout"].strip()


def test_a_server_keeps_the_image_it_was_started_with(made):
    with made.server() as old:
        old.initialize()
        session = old.call("session_create")["session_id"]
        assert version(old) == "1"
        made.wheel("small", {"small/__init__.py": "VERSION = 2\n"}, "2.0")
        made.create()
        assert version(old) == "1"                          # a sandbox made after the change
        assert old.run_code(code="import small; print(small.VERSION)",
                            session_id=session)["stdout"] == "1\n"
        with made.server() as new:
            new.initialize()
            assert version(new) == "2"
            assert "keep it" in made("image", "remove", "small").stdout
            assert version(old) == "1" and version(new) == "2"
            assert made.images() == []
        assert len(os.listdir(made.folder("."))) == 2
    made.create()
    assert os.listdir(made.folder(".")) == ["small"]        # what nobody has open any more is gone


def test_it_is_named_by_sandbox_info_doctor_and_the_record(made):
    one, = made.images()
    with made.server() as server:
        server.initialize()
        info = server.call("sandbox_info")
        assert info["runtime_image"] == {
            "name": "small", "sha256": one["sha256"], "packages_count": 1,
            "packages": [{"language": "python", "name": "small", "version": "1.0"}]}
        run = server.run_code(code="1")["run_id"]
        session = server.call("session_create")["session_id"]
        server.call("session_close", {"session_id": session})
    for what in (run, session):
        record = made("audit", "show", what, "--json").stdout
        assert one["sha256"] in record, record
    seen = made("doctor", "--image", "small", "--json", code=doctor_code(made))
    assert json.loads(seen.stdout)["image"]["sha256"] == one["sha256"]
    assert set(json.loads(seen.stdout)["probes"].values()) == {"held"}
    with mcp.Server() as bare:
        bare.initialize()
        assert "runtime_image" not in bare.call("sandbox_info")
        assert bare.run_command("ls -d /opt/fumehood; env")["stdout"].count("fumehood") == 0


def doctor_code(site):
    """3 where this host lacks something, with an image or without."""
    with site.popen("doctor") as proc:
        proc.communicate(timeout=120)
    return proc.returncode


def test_a_caller_can_name_no_image(made):
    with made.server() as server:
        server.initialize()
        for tool, more in (("run_code", {"language": "python", "code": "1"}), ("session_create", {})):
            with pytest.raises((mcp.ToolError, mcp.RpcError)):
                server.call(tool, dict(more, image="other"))
        moved = server.run_code(code="import sys; print([p for p in sys.path if 'opt' in p])",
                                env={"PYTHONPATH": "/tmp"})
        assert moved["stdout"] == "[]\n"                    # a caller may do without


def test_the_cache_of_a_sly_package_is_not_taken(site):
    """What a package prints when its cache is made could name a file elsewhere, or run where it should not."""
    trace = os.path.join(site.dir, "home", "ran")
    site.wheel("matplotlib", {
        "matplotlib/__init__.py": "def get_cachedir(): return '/tmp/cache'\n",
        "matplotlib/font_manager.py":
            "import os\n"
            f"try: open({trace!r}, 'w')\nexcept OSError: pass\n"
            "print('fontlist/../../../../x')\nprint('{}')\nos._exit(0)\n"})
    done = site.create(packages="matplotlib small")
    assert "did not work" in done.stderr and not os.path.exists(trace)
    assert sorted(os.listdir(site.folder())) == ["image.json", "python"]
    assert not os.path.exists(os.path.join(site.folder(), "python", "sitecustomize.py"))


def test_a_tree_too_deep_is_refused(made):
    deep = os.path.join(made.folder(), "python", *["d"] * 60)
    os.makedirs(deep)
    assert made.refused()
    shutil.rmtree(os.path.join(made.folder(), "python", "d"))
    assert made.python("import small; print(small.VERSION)") == "1\n"
