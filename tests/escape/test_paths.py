"""Paths of files handed in: nothing outside the fresh workspace is touched."""
import os
import shutil
import subprocess
import tempfile

import pytest

import lab

BAD_PATHS = {
    "absolute": "/etc/escaped", "parent": "../escaped", "parent_inside": "a/../../escaped",
    "parent_at_end": "a/..", "dot": ".", "dot_part": "a/./b", "double_slash": "a//b",
    "trailing_slash": "a/", "trailing_dot": "a/.", "empty": "", "nul": "a\x00b",
    "long_name": "n" * 256, "long_path": "d/" * 3000 + "f",
}


@pytest.mark.parametrize("name", sorted(BAD_PATHS))
def test_bad_path_is_refused_and_nothing_runs(server, name):
    error = server.refusal("run_code", language="bash", code="true",
                           files=[{"path": BAD_PATHS[name], "content": "x"}])
    assert error, "it ran"
    assert error.code in (-32602, -32600, "invalid", "limit"), error
    assert not os.path.exists("/etc/escaped")
    assert server.bash("echo lives")["stdout"] == "lives\n"


@pytest.mark.parametrize("path", ["file", "deep/er/file", "n" * 255, "ä" * 127, "a b\nc", "-rf", "..a"])
def test_good_path_arrives_as_named(server, path):
    result = server.python(f"print(open({path!r}).read())", files=[{"path": path, "content": "here"}])
    assert result["stdout"] == "here\n", result


def test_folder_in_the_place_of_the_code_file_stays_in_the_workspace(server):
    server.refusal("run_code", language="python", code="1",
                   files=[{"path": "main.py/x", "content": "x"}])
    assert server.bash("echo lives")["stdout"] == "lives\n"


@pytest.fixture
def outside():
    made = tempfile.mkdtemp(prefix="escape-oldroot-")
    os.chmod(made, 0o777)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_planted_link_makes_nothing_on_the_host(server, outside):
    """F-09 (CVE-2026-87766): a link to /oldroot in a tree that is used again."""
    plant = f"ln -s /oldroot{outside} /workspace/sub; ln -s {outside} /workspace/sub2; " \
            f"ln -s /oldroot{outside} /tmp/sub; ls -l"
    assert server.bash(plant)["status"] == "exited"
    for path in ("sub/made", "sub2/made", "sub/x/made"):
        server.refusal("run_code", language="bash", code="true",
                       files=[{"path": path, "content": "x"}])
    assert os.listdir(outside) == []


def test_planted_link_does_make_something_with_old_bubblewrap(outside):
    """The control of the one above: the very trick, with a mount below the tenant's tree."""
    workspace = tempfile.mkdtemp(prefix="escape-ws-")
    os.chmod(workspace, 0o777)
    os.symlink("/oldroot" + outside, os.path.join(workspace, "sub"))
    try:
        subprocess.run(lab.AS_USER + [
            lab.bwrap(), "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
            "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--bind",
            workspace, "/w", "--dir", "/w/sub/made", "/bin/true"],
            check=False, stderr=subprocess.DEVNULL)
        version = subprocess.run(lab.AS_USER + [lab.bwrap(), "--version"], capture_output=True, text=True,
                                 check=True).stdout.split()[-1]
        fixed = tuple(int(n) for n in version.split(".")[:2]) >= (0, 12)
        assert bool(os.listdir(outside)) != fixed, \
            f"bubblewrap {version}: made {os.listdir(outside)}"
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
