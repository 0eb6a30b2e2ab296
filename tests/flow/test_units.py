"""The systemd units of examples/ as text, and that `make install` puts them where systemd looks. They
are run in tests/vm, where a systemd is."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from mcp import BINARY, ROOT
from unit_file import unit_file

UNITS = Path(ROOT, "examples", "systemd")
INSTALLED = "/usr/local/bin/fumehood"


@pytest.mark.parametrize("kind", ["system", "user"])
def test_the_units_of_both_managers_belong_together(kind):
    socket = unit_file(UNITS / kind / "fumehood.socket")
    service = unit_file(UNITS / kind / "fumehood.service")
    assert socket["Socket"]["ListenStream"] == "127.0.0.1:8080"
    assert socket["Install"]["WantedBy"] == "sockets.target"
    assert service["Unit"]["Requires"] == service["Unit"]["After"] == "fumehood.socket"
    assert service["Service"]["ExecStart"] == f"{INSTALLED} serve"
    assert service["Service"]["Type"] == "notify" and service["Service"]["Delegate"] == "yes"
    # what is sent to the whole group would end the programs that a drain waits for
    assert service["Service"]["KillMode"] == "mixed"


def test_the_user_unit_is_hardened_by_nothing_that_the_system_unit_is_not():
    system, user = (unit_file(UNITS / kind / "fumehood.service")["Service"]
                    for kind in ("system", "user"))
    assert {(k, v) for k, v in user.items() if k != "LimitNOFILE"} <= set(system.items())


def test_no_unit_has_what_was_tried_and_breaks_the_sandbox():
    text = (UNITS / "system/fumehood.service").read_text()
    tried = set(re.findall(r"^#\t([A-Z]\w+)=", text, re.M)) - {"SystemCallFilter"}
    assert len(tried) >= 5
    service = unit_file(UNITS / "system/fumehood.service")["Service"]
    assert not tried & set(service) and "DynamicUser" not in service


def test_every_variable_of_a_drop_in_is_an_option():
    said = subprocess.run([BINARY, "help"], capture_output=True, text=True, check=True).stdout
    text = "".join(p.read_text() for p in UNITS.rglob("*.conf"))
    used = set(re.findall(r"^Environment=(\w+)=", text, re.M))
    assert len(used) >= 5 and used <= {
        "FUMEHOOD_" + name.upper().replace("-", "_") for name in re.findall(r"^  --([a-z-]+)", said, re.M)}


def test_install_puts_the_units_where_systemd_looks(tmp_path):
    """-o: what is installed is the binary under test, built or not by this Makefile's rules."""
    subprocess.run(["make", "-s", "-C", ROOT, "-o", BINARY, f"BIN={BINARY}",
                    f"DESTDIR={tmp_path}", "PREFIX=/opt/fumehood", "install"], check=True,
                   env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    prefix = tmp_path / "opt/fumehood"
    assert (prefix / "bin/fumehood").read_bytes() == Path(BINARY).read_bytes()
    for name in ("lib/systemd/system/fumehood.socket", "lib/systemd/user/fumehood.socket",
                 "lib/sysusers.d/fumehood.conf"):
        assert (prefix / name).is_file(), name
    for kind in ("system", "user"):
        text = (prefix / f"lib/systemd/{kind}/fumehood.service").read_text()
        assert "ExecStart=/opt/fumehood/bin/fumehood serve" in text
        assert INSTALLED not in text
