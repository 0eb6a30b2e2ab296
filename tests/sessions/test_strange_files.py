"""Trees that hostile code makes: too many files, too deep, names that lead elsewhere, files that change while
they are read. Listing, downloading, deleting and closing give correct answers in bounded memory."""
import base64
import hashlib
import os

import callers
import mcp
import pytest
from callers import Session
from processes import gone
from weight import Weight


def error_of(call, *arguments, **named):
    with pytest.raises(mcp.ToolError) as why:
        call(*arguments, **named)
    assert why.value.code != "internal", why.value
    return why.value


def close(stdio, session):
    """Closes it, and nothing of it is left."""
    inside = list(callers.inside(stdio.pid))
    assert inside
    session.close()
    assert gone(inside, 10)
    assert Session(stdio).value("6 * 7") == "42"


# --- too many, too deep ---------------------------------------------------------------------------

def test_a_million_files(stdio):
    session = Session(stdio)
    made = int(session.good("""
import os
os.mkdir('many'); os.chdir('many')
n = 0
try:
    while n < 10 ** 6:
        os.close(os.open('%x' % n, os.O_WRONLY | os.O_CREAT)); n += 1
except OSError as e:
    print(e)
os.chdir('..')
n""", timeout_ms=240000)["outputs"][-1]["text"])
    assert made > 10000
    with Weight(stdio.pid) as weight:
        first = session.tool("artifact_list")
        assert len(first["entries"]) == 2000 and first["more"] is True
        assert first["entries"][0]["path"] == "many"
        later = session.tool("artifact_list", offset=first["next_offset"], path="many")
        assert len(later["entries"]) == 2000
        names = {e["path"] for e in first["entries"][1:]}
        assert all(name.startswith("many/") and int(name[5:], 16) < made for name in names)
        assert len(names) == 1999
        assert session.value("1 + 1") == "2"
        assert session.tool("artifact_delete", path="many/5")["deleted"] is True
        assert session.value("len(os.listdir('many'))") == str(made - 1)
        full = session.run("open('one more', 'w').write('x')")
        assert full["status"] == "exited"
        close(stdio, session)
    weight.check()


def test_ten_thousand_folders_deep(stdio):
    session = Session(stdio)
    depth = int(session.good("""
import os
home, depth = os.open('.', os.O_RDONLY), 0
here = os.open('.', os.O_RDONLY)
try:
    for depth in range(1, 10001):
        os.mkdir('d', dir_fd=here)
        here, old = os.open('d', os.O_RDONLY, dir_fd=here), here
        os.close(old)
except OSError as e:
    print(e)
os.close(os.open('bottom', os.O_WRONLY | os.O_CREAT, dir_fd=here))
os.close(here)
open('top', 'w').write('here')
depth""")["outputs"][-1]["text"])
    assert depth > 5000
    with Weight(stdio.pid) as weight:
        entries = session.entries()
        paths = [e["path"] for e in entries]
        assert "top" in paths and len(set(paths)) == len(paths)
        deep = [p for p in paths if p != "top"]
        # each level once, as far as a path can be named
        assert deep == ["d" + "/d" * i for i in range(len(deep))] and len(deep) > 100
        for path in ("d" + "/d" * (depth - 1) + "/bottom", "d" + "/d" * 1000 + "/none"):
            error_of(session.tool, "artifact_download", path=path)
            error_of(session.tool, "artifact_delete", path=path)
        error_of(session.tool, "artifact_delete", path="d")     # not empty
        assert session.download("top")[0] == b"here"
        assert session.value("1 + 1") == "2"
        close(stdio, session)
    weight.check()


# --- names and kinds ------------------------------------------------------------------------------

NAMES = {
    "newline": b"a\nb", "control": b"\x01\x1b[31mred\x7f", "not utf-8": b"\xff\xfe\x80", "long": b"n" * 255,
    "long ones of four bytes": "🙂".encode() * 63, "dash": b"-rf", "dots": b"...", "dot first": b".hidden",
    "space": b" ", "backslash": b"a\\b", "right to left": "\u202egpj.exe".encode(),
    "quotes": b"'\"`$(id)`", "glob": b"*?[a]", "combining": "e\u0301".encode(), "percent": b"%2e%2e%2f",
    "surrogate": b"\xed\xa0\x80", "tab": b"a\tb", "tilde": b"~root", "colon": b"C:\\x", "nul-like": b"\\0",
    "half": b"ok\xc3",
}


def test_names_that_are_hard_to_read(stdio):
    session = Session(stdio)
    session.good("import os\nfor i, name in enumerate(" + repr(list(NAMES.values())) + "):\n"
                 "    with open(os.path.join(b'/workspace', name), 'wb') as f: f.write(b'%d' % i)")
    rows = session.entries()
    assert len(rows) == len(NAMES)
    good = {name.decode(): i for i, name in enumerate(NAMES.values()) if name.isascii() or is_utf8(name)}
    found = {e["path"]: e for e in rows}
    for name, i in good.items():
        assert "path_not_utf8" not in found[name] and found[name]["size"] == len(str(i))
    bad = [e for e in rows if e.get("path_not_utf8")]
    assert len(bad) == len(NAMES) - len(good) and all("\ufffd" in e["path"] for e in bad)
    for name, i in good.items():
        if any(ord(c) < 32 or ord(c) == 127 for c in name):
            continue        # may be refused: below
        assert session.download(name)[0] == str(i).encode(), name
    for name in good:
        try:
            assert session.tool("artifact_delete", path=name)["deleted"] is True
        except mcp.ToolError as why:
            assert why.code == "invalid" and any(ord(c) < 32 or ord(c) == 127 for c in name), (name, why)
    session.good("for name in os.listdir(b'/workspace'): os.unlink(os.path.join(b'/workspace', name))")
    assert session.entries() == []


def is_utf8(name):
    try:
        name.decode()
        return True
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("path", [
    "..", "../x", "d/../../x", "/etc/passwd", "//etc/passwd", "d/..", "./f", "d/./f", "d//f", "", ".", "d/", "x\0y",
    "a" * 256, "d/" * 3000 + "f"])
def test_paths_that_lead_elsewhere_are_refused(session, path):
    session.good("import os\nos.makedirs('d', exist_ok=True)\nopen('f', 'w').write('x')")
    for tool, more in (("artifact_download", {}), ("artifact_delete", {}), ("artifact_upload", {"content": "x"})):
        with pytest.raises((mcp.ToolError, mcp.RpcError)):
            session.tool(tool, path=path, **more)
    assert session.value("sorted(os.listdir('/workspace')), os.listdir('d')") == "(['d', 'f'], [])"


KINDS = """
import os, socket, stat
try:
    os.mkfifo('fifo')
except PermissionError:
    pass                                # none can be made
socket.socket(socket.AF_UNIX).bind('socket')
made = []
for name, kind, device in (('chr', stat.S_IFCHR, (1, 3)), ('blk', stat.S_IFBLK, (7, 0)), ('kmsg', stat.S_IFCHR, (1, 11))):
    try:
        os.mknod(name, kind | 0o666, os.makedev(*device))
        made.append(name)
    except OSError:
        pass
os.symlink('loop', 'loop')
os.symlink('b', 'a'); os.symlink('a', 'b')
os.symlink('/etc/passwd', 'out')
os.symlink('/proc/self/environ', 'magic')
os.symlink('/', 'root')
os.symlink('../../../../etc', 'up')
os.symlink('file', 'inside')
open('file', 'w').write('plain')
os.mkdir('d')
os.symlink('..', 'd/back')
os.link('file', 'hard')
made
"""


def test_what_is_no_file_is_not_read(stdio):
    session = Session(stdio)
    assert session.value(KINDS) == "[]"                 # no device can be made at all
    kinds = {e["path"]: e["type"] for e in session.entries()}
    links = {"loop", "a", "b", "out", "magic", "root", "up", "inside", "d/back"}
    nodes = {"fifo", "socket"} & set(kinds)
    assert kinds == {**{name: "link" for name in links}, **{name: "other" for name in nodes}, "file": "file",
                     "hard": "file", "d": "folder"} and "socket" in nodes
    with Weight(stdio.pid) as weight:
        for name in sorted(links | nodes | {"d"}):
            error_of(session.tool, "artifact_download", path=name)
        for path in ("root/etc/passwd", "up/passwd", "d/back/file", "root", "magic/x", "loop/x"):
            error_of(session.tool, "artifact_download", path=path)
            error_of(session.tool, "artifact_upload", path=path + "/new", content="x")
    weight.check()
    for name in sorted(links | nodes):
        assert session.tool("artifact_delete", path=name)["deleted"] is True
    assert session.download("file")[0] == b"plain"      # what a link led to is still there
    assert session.value("os.path.exists('/etc/passwd'), os.listdir('d'), os.stat('file').st_nlink"
                         ) == "(True, [], 2)"


def test_hard_links_and_files_without_permissions(session):
    session.good("import os\nopen('f', 'w').write('one')\nos.link('f', 'g')\nos.mkdir('shut')\n"
                 "open('shut/x', 'w').write('two')\nopen('none', 'w').write('three')\n"
                 "os.chmod('none', 0)\nos.chmod('shut', 0)")
    rows = {e["path"]: e for e in session.entries()}
    assert {"f", "g", "none", "shut"} <= set(rows)
    session.tool("artifact_upload", path="g", content="mine")
    assert session.value("open('f').read(), open('g').read()") == "('one', 'mine')"
    for path in ("none", "shut/x"):
        try:        # whoever runs the sandbox may read it; but it is an answer, and not a wrong one
            assert session.download(path)[0] == {"none": b"three", "shut/x": b"two"}[path]
        except mcp.ToolError as why:
            assert why.code in ("denied", "invalid", "not_found"), why
    session.good("os.chmod('shut', 0o700); os.chmod('none', 0o600)")
    assert session.download("shut/x")[0] == b"two" and session.download("none")[0] == b"three"


def test_a_sparse_file(stdio):
    session = Session(stdio)
    refused = session.run("with open('sparse', 'wb') as f:\n    f.truncate(1 << 40)")
    assert refused["outputs"][-1]["error"]["message"] == "[Errno 27] File too large"   # a tebibyte
    size = int(session.value("import resource\nsize = resource.getrlimit(resource.RLIMIT_FSIZE)[0]\n"
                             "with open('sparse', 'wb') as f:\n    f.truncate(size)\n    f.seek(5)\n"
                             "    f.write(b'here')\nsize"))
    assert 100 << 20 < size < 1 << 40
    with Weight(stdio.pid) as weight:
        (row,) = session.entries()
        assert (row["path"], row["size"]) == ("sparse", size)
        first = session.tool("artifact_download", path="sparse", encoding="base64")
        assert first["size"] == size and "sha256" not in first and first["eof"] is False
        assert base64.b64decode(first["content"])[:12] == b"\0" * 5 + b"here" + b"\0" * 3
        last = session.tool("artifact_download", path="sparse", encoding="base64", offset=size - 7)
        assert base64.b64decode(last["content"]) == bytes(7) and last["eof"] is True
        error_of(session.tool, "artifact_download", path="sparse", offset=size + 7)
        error_of(session.tool, "artifact_upload", path="sparse", content="x", offset=size)
        assert session.tool("artifact_delete", path="sparse")["deleted"] is True
    weight.check()


def test_the_largest_file_is_downloaded_whole_and_hashed(stdio):
    """The control of the test above: 100 MiB go through, and no process grows by them."""
    session = Session(stdio)
    wanted = session.value("import hashlib, os\nblock = bytes(range(256)) * 4096\nh = hashlib.sha256()\n"
                           "with open('big', 'wb') as f:\n    for i in range(100):\n        f.write(block)\n"
                           "        h.update(block)\nh.hexdigest()")
    with Weight(stdio.pid) as weight:
        data, first = session.download("big")
    weight.check()
    assert len(data) == 100 << 20 and first["sha256"] == hashlib.sha256(data).hexdigest() == wanted.strip("'")


# --- what changes while it is looked at -------------------------------------------------------------

CHANGES = {
    "grows": "with open('f', 'ab') as f:\n            f.write(b'x' * 100000)\n        if os.path.getsize('f') > 50 << 20:"
             " os.truncate('f', 1000)",
    "shrinks": "os.truncate('f', 0)\n        with open('f', 'r+b') as f: f.write(b'x' * 3000000)",
    "is replaced": "open('new', 'wb').write(b'x' * 1000000)\n        os.rename('new', 'f')",
    "comes and goes": "os.unlink('f')\n        open('f', 'wb').write(b'x' * 1000000)",
    "becomes a link": "os.symlink('/etc/passwd', 'l')\n        os.rename('l', 'f')\n"
                      "        open('new', 'wb').write(b'x' * 1000000)\n        os.rename('new', 'f')",
    "becomes a folder": "os.unlink('f')\n        os.mkdir('f')\n        os.rmdir('f')\n"
                        "        open('f', 'wb').write(b'x' * 1000000)",
    "becomes a socket": "socket.socket(socket.AF_UNIX).bind('p')\n        os.rename('p', 'f')\n"
                      "        open('new', 'wb').write(b'x' * 1000000)\n        os.rename('new', 'f')",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read(stdio, change):
    session = Session(stdio)
    session.good("open('f', 'wb').write(b'x' * 1000000)")
    run_id = session.begin("import os, socket\nprint('on', flush=True)\nwhile not os.path.exists('stop'):\n"
                           "    try:\n        " + CHANGES[change] + "\n    except FileNotFoundError: pass")
    session.until(run_id, "on")
    seen, offset = 0, 0
    with Weight(stdio.pid) as weight:
        tries = 0
        while tries < 60 or not seen:
            tries += 1
            assert tries < 3000, "it is never there"
            try:
                got = session.tool("artifact_download", path="f", offset=offset, length=1 << 20,
                                   encoding="base64")
            except mcp.ToolError as why:
                assert why.code in ("not_found", "invalid", "denied", "busy"), why
                offset = 0
                continue
            data = base64.b64decode(got["content"])
            assert set(data) <= {ord("x"), 0} and len(data) == got["length"] <= 1 << 20, data[:100]
            if "sha256" in got and got["eof"]:
                assert got["sha256"] == hashlib.sha256(data).hexdigest() and got["size"] == len(data)
            offset = got.get("next_offset", 0)
            seen += len(data)
            kinds = {e["path"]: e["type"] for e in session.entries()}
            assert set(kinds) <= {"f", "new", "l", "p", "stop"}, kinds
    weight.check()
    assert seen > 0
    session.tool("artifact_upload", path="stop", content="")
    assert session.end_of(run_id)["exit_code"] == 0
    session.good("import shutil\nos.path.isdir('f') and shutil.rmtree('f')\nopen('f', 'wb').write(b'still')")
    assert session.download("f")[0] == b"still"


def test_a_tree_that_changes_while_it_is_listed(stdio):
    session = Session(stdio)
    run_id = session.begin("""
import os, random
print('on', flush=True)
while not os.path.exists('stop'):
    try:
        os.makedirs('t/%d/%d' % (random.randrange(5), random.randrange(5)), exist_ok=True)
        open('t/%d/f%d' % (random.randrange(5), random.randrange(9)), 'w').close()
        os.rename('t/%d' % random.randrange(5), 'moved%d' % random.randrange(9))
        os.rename('moved%d' % random.randrange(9), 't/%d' % random.randrange(5))
        os.symlink('/etc', 't/%d/link' % random.randrange(5))
    except OSError: pass""")
    session.until(run_id, "on")
    with Weight(stdio.pid) as weight:
        for _ in range(60):
            for row in session.entries():
                assert row["path"].split("/")[0] in {"t", "stop", *(f"moved{i}" for i in range(9))}, row
                assert "passwd" not in row["path"] and row["type"] in ("file", "folder", "link"), row
    weight.check()
    session.tool("artifact_upload", path="stop", content="")
    assert session.end_of(run_id)["exit_code"] == 0
    close(stdio, session)


def test_workspace_is_full(stdio):
    session = Session(stdio, workspace_bytes=8 << 20)
    full = session.run("with open('big', 'wb') as f:\n    while True: f.write(b'x' * 65536)")
    assert full["exit_code"] == 1 and full["outputs"][-1]["error"]["type"] == "OSError"
    assert full["status"] == "disk_full"
    other = session.run("1/0")      # which does not fail for that
    assert other["status"] == "exited" and other["limits_hit"] == ["disk"], other
    error_of(session.tool, "artifact_upload", path="more", content="x" * 100000)
    assert "more" not in {e["path"] for e in session.entries()}     # as a whole or not at all
    session.tool("artifact_delete", path="big")
    session.tool("artifact_upload", path="more", content="x" * 100000)
    assert session.value("import os\nos.path.getsize('more')") == "100000"
