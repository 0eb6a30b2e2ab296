"""The doctor: what it says must be what is so, and what is wrong must come with its cure."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import mcp
import pytest

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can spoil a /proc of its own")
USER = 43118


def doctor(*args, prefix=(), binary=mcp.BINARY, home):
    return subprocess.run([*prefix, binary, "doctor", *args], capture_output=True, text=True,
                          timeout=60, check=False, env={**os.environ, "HOME": str(home),
                                                       "XDG_STATE_HOME": str(home)})


@pytest.fixture
def lent():
    """The binary and its bwrap where any user may run them; pytest's own folders are closed."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="fumehood-doctor-"))
    os.chmod(place, 0o755)
    copy = shutil.copy(mcp.BINARY, place / "fumehood")
    if mcp.bwrap_of() != "/usr/bin/bwrap":
        (place / "deps" / "bin").mkdir(parents=True)
        shutil.copy(mcp.bwrap_of(), place / "deps" / "bin" / "bwrap")
    home = place / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    yield str(copy), home
    shutil.rmtree(place)


def test_all_escapes_hold_here(tmp_path):
    got = doctor(home=tmp_path)
    assert got.returncode in (0, 3), got.stdout + got.stderr
    assert "OPEN" not in got.stdout and "all 21 held" in got.stdout


def test_the_json_says_the_same(tmp_path):
    got = doctor("--json", home=tmp_path)
    said = json.loads(got.stdout)
    assert said["sandbox"] and set(said["probes"].values()) == {"held"}
    assert len(said["probes"]) == 21
    assert got.returncode == (3 if said["degraded"] else 0)


def test_what_the_doctor_proved_is_what_sandbox_info_says(tmp_path):
    said = json.loads(doctor("--json", home=tmp_path).stdout)
    with mcp.Server() as server:
        server.initialize()
        isolation = server.call("sandbox_info")["isolation"]
    assert isolation["proven"] and isolation["escapes"] == {"tried": 21, "open": []}
    assert isolation["cgroup"] == said["cgroup"]
    assert isolation["bwrap_version"] == said["bwrap_version"]


def test_a_bwrap_that_is_none_is_said_so(tmp_path):
    got = doctor("--bwrap", "/bin/true", home=tmp_path)
    assert got.returncode == 1 and "NO SANDBOX" in got.stdout
    assert "/bin/true does not answer --version" in got.stderr


@ROOT_ONLY
def test_masked_proc_as_in_a_container_is_named_with_its_cure(lent):
    binary, home = lent
    as_user = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
    fine = doctor("--json", prefix=as_user, binary=binary, home=home)
    assert json.loads(fine.stdout)["sandbox"], "the control: without a mask it works"
    spoil = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /proc/timer_list; exec "$@"', "sh"]
    got = doctor("--json", prefix=[*spoil, *as_user], binary=binary, home=home)
    said = json.loads(got.stdout)
    assert got.returncode == 1 and not said["sandbox"], got.stdout
    assert any("procMount" in fix for fix in said["fixes"]), said
