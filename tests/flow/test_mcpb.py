"""The MCP bundle of `make mcpb`: whole, true, and runnable where it is unpacked, by anybody."""
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from cannot import cannot
from mcp import BINARY, ROOT, Server

BUNDLE = BINARY + ".mcpb"
PACK = os.path.join(ROOT, "examples", "mcpb", "pack.py")
UID = 4242


@pytest.fixture(scope="module")
def bundle():
    """The zip file, open."""
    if not os.path.exists(BUNDLE):
        cannot(f"{BUNDLE} is not built: run make mcpb")
    with zipfile.ZipFile(BUNDLE) as opened:
        yield opened


@pytest.fixture(scope="module")
def manifest(bundle):
    return json.loads(bundle.read("manifest.json"))


@pytest.fixture(scope="module")
def unpacked(bundle):
    """A folder with the bundle in it, modes and all, as a host unpacks it; another user's if root."""
    home = Path(tempfile.mkdtemp(prefix="mcpb-", dir="/tmp"))
    folder = home / "extensions" / "fumehood"
    for entry in bundle.infolist():
        path = folder / entry.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bundle.read(entry))
        path.chmod(stat.S_IMODE(entry.external_attr >> 16))
    if os.geteuid() == 0:
        for name in [home, *home.rglob("*")]:
            os.chown(name, UID, UID)
    yield folder
    shutil.rmtree(home, ignore_errors=True)


def filled_in(value, folder, manifest):
    """What a host makes of the manifest's ${variables}: the place, the defaults of user_config.

    A variable in a default is not replaced by every host: there must be none.
    """
    known = {"__dirname": str(folder)}
    for name, setting in manifest["user_config"].items():
        known[f"user_config.{name}"] = str(setting["default"])
    made = re.sub(r"\$\{([^}]*)\}", lambda match: known[match[1]], value)
    assert "${" not in made
    return made


def started(folder, manifest):
    """A server by the bundle's own mcp_config, as an ordinary user."""
    home = str(folder.parent.parent)
    config = manifest["server"]["mcp_config"]
    argv = [filled_in(word, folder, manifest) for word in [config["command"], *config["args"]]]
    env = {name: filled_in(text, folder, manifest) for name, text in config["env"].items()}
    if os.geteuid() == 0:
        argv = ["/usr/bin/setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *argv]
    return Server(binary=argv[0], argv=argv[1:], env={**env, "HOME": home, "XDG_STATE_HOME": None})


def test_the_zip_holds_plain_files_with_their_modes(bundle):
    assert bundle.testzip() is None
    names = bundle.namelist()
    assert len(set(names)) == len(names)
    for entry in bundle.infolist():
        assert not entry.filename.startswith("/") and ".." not in entry.filename.split("/")
        mode = entry.external_attr >> 16
        assert stat.S_ISREG(mode), entry.filename
        program = entry.filename.startswith("server/")
        assert stat.S_IMODE(mode) == (0o755 if program else 0o644), entry.filename


def test_the_manifest_names_what_is_there(bundle, manifest):
    names = set(bundle.namelist())
    assert manifest["manifest_version"] == "0.3"
    assert manifest["icon"] in names
    assert bundle.read(manifest["icon"]).startswith(b"\x89PNG\r\n\x1a\n")
    server = manifest["server"]
    assert server["type"] == "binary" and server["entry_point"] in names
    assert server["mcp_config"]["command"] == "${__dirname}/" + server["entry_point"]
    assert manifest["compatibility"]["platforms"] == ["linux"]
    version = subprocess.run([BINARY, "version"], capture_output=True, text=True, check=True)
    assert version.stdout.split() == ["fumehood", manifest["version"]]


def test_every_setting_is_used_and_every_one_used_is_declared(manifest):
    used = set(re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(manifest["server"])))
    assert used == set(manifest["user_config"])
    for setting in manifest["user_config"].values():
        assert setting["title"] and setting["description"] and "default" in setting


def test_what_is_not_ours_comes_with_its_licence(bundle):
    names = bundle.namelist()
    assert "licenses/fumehood" in names
    libraries = [n for n in names if n.startswith("server/lib/")]
    licences = [n for n in names if n.startswith("licenses/lib")]
    assert len(libraries) >= 4 and len(licences) >= len(libraries)


def test_the_unpacked_bundle_runs_code_as_another_user(unpacked, manifest):
    with started(unpacked, manifest) as server:
        server.initialize()
        assert server.run_code(code="import os; print(6*7, os.getuid())")["stdout"] == "42 1000\n"
        info = server.call("sandbox_info")
        assert info["server"]["version"] == manifest["version"]
        if os.geteuid() == 0:
            assert os.stat(f"/proc/{server.proc.pid}").st_uid == UID
    record = unpacked.parent.parent / ".local/state/fumehood"
    assert list(record.iterdir()), "the record is not where the description of `state` says"


def test_it_uses_its_own_libraries_and_bubblewrap(unpacked, manifest):
    with started(unpacked, manifest) as server:
        server.initialize()
        server.run_code(code="pass")
        mapped = Path(f"/proc/{server.proc.pid}/maps").read_text()
        for library in (unpacked / "server/lib").iterdir():
            assert str(library) in mapped, f"{library.name} is the host's"
        own = unpacked / "server/libexec/fumehood/bwrap"
        if not own.exists():    # Debian 13's is new enough: then none is built, nor packed
            return
        version = subprocess.run([own, "--version"], capture_output=True, text=True, check=True)
        isolation = server.call("sandbox_info")["isolation"]
        assert isolation["bwrap_version"] == version.stdout.split()[1]


def test_the_tools_of_the_manifest_are_those_of_the_server(manifest, unpacked):
    with started(unpacked, manifest) as server:
        server.initialize()
        offered = {name: tool["description"] for name, tool in server.tools().items()}
    assert {t["name"]: t["description"] for t in manifest["tools"]} == offered


def test_the_same_input_gives_the_same_bundle(tmp_path):
    made = []
    for name in ("one", "two"):
        subprocess.run([sys.executable, PACK, "--version", "0", "--binary", BINARY, "--schemas",
                        os.path.join(ROOT, "schemas"), "--output", tmp_path / name], check=True)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_a_library_that_is_missing_is_said(tmp_path):
    ldd = tmp_path / "ldd"
    ldd.write_text("#!/bin/sh\necho '\tlibgone.so.1 => not found'\n")
    ldd.chmod(0o755)
    done = subprocess.run([sys.executable, PACK, "--version", "0", "--binary", BINARY, "--schemas",
                           os.path.join(ROOT, "schemas"), "--output", tmp_path / "out"],
                          capture_output=True, text=True, check=False,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 1 and "libgone.so.1" in done.stderr
    assert not (tmp_path / "out").exists()
