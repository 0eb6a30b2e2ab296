"""The command line: flag before variable before file before default; what is wrong is named."""
import json
import os
import re
import subprocess

import pytest
from mcp import BINARY, ROOT


def fumehood(*args, **env):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=30, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, **env})


@pytest.fixture
def config(tmp_path):
    def write(content):
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)
    return write


def test_flag_before_variable_before_file(config, tmp_path):
    bad = {"log-level": "debug", "max-runs": 3, "json": True}
    path = config(bad)
    assert json.loads(fumehood("version", "--config", path).stdout)["name"] == "fumehood"
    assert fumehood("version", "--config", path, FUMEHOOD_JSON="0").stdout.startswith("fumehood ")
    assert json.loads(fumehood("version", "--json", FUMEHOOD_JSON="0").stdout)


def test_the_file_can_be_named_by_the_variable(config):
    path = config({"json": True})
    assert json.loads(fumehood("version", FUMEHOOD_CONFIG=path).stdout)["version"]


@pytest.mark.parametrize("content,named", [
    ("{", "config"), ("[]", "object"), ('{"nonsense": 1}', "nonsense"), ('{"max-runs": "x"}', "max-runs"),
    ('{"max-runs": 0}', "max-runs"), ('{"json": 1}', "json"), ('{"json": true, "json": true}', "json"),
])
def test_a_wrong_file_is_refused_and_says_where(config, content, named):
    got = fumehood("version", "--config", config(content))
    assert got.returncode == 2 and named in got.stderr, got.stderr


@pytest.mark.parametrize("args,named", [
    (["version", "--nonsense"], "--nonsense"), (["nonsense"], "nonsense"), (["run"], "file"),
    (["run", "/nonexistent.py"], "/nonexistent.py"), (["version", "--max-runs", "0"], "--max-runs"),
    (["version", "--max-runs=1e3"], "--max-runs"), (["version", "--state"], "--state"),
    (["version", "--log-level", "loud"], "--log-level"), (["audit", "nonsense"], "nonsense"),
    (["run", os.path.join(ROOT, "README.md")], "language"),
])
def test_a_wrong_line_is_refused_and_says_what_to_do(args, named, tmp_path):
    got = fumehood(*args, FUMEHOOD_STATE=str(tmp_path / "state"))
    assert got.returncode != 0 and named in got.stderr
    assert len(got.stderr.splitlines()) == 2, "a cause and a remedy: " + got.stderr


def test_every_option_is_in_the_manual_and_in_the_config_schema():
    listed = fumehood("help").stdout
    with open(os.path.join(ROOT, "mcp", "fumehood.1"), encoding="utf-8") as f:
        manual = f.read().replace("\\-", "-")
    with open(os.path.join(ROOT, "schemas", "config.json"), encoding="utf-8") as f:
        schema = json.load(f)["properties"]
    options = re.findall(r"^  --([a-z-]+) ", listed, re.M)
    assert len(options) >= 12
    for name in options:
        assert "--" + name in manual, f"--{name} is not in the manual"
        assert name in schema or name == "config", f"{name} is not in the config schema"
        assert "FUMEHOOD_" + name.upper().replace("-", "_") in listed + manual


def test_a_run_passes_arguments_input_and_exit_code(tmp_path):
    program = tmp_path / "p.sh"
    program.write_text('echo "$1 $2"; cat; exit 7\n')
    got = subprocess.run([BINARY, "run", "--state", str(tmp_path / "s"), str(program), "one", "--two"],
                         input="from stdin\n", capture_output=True, text=True, timeout=30, check=False)
    assert (got.stdout, got.returncode) == ("one --two\nfrom stdin\n", 7), got


def test_a_program_can_come_from_standard_input(tmp_path):
    got = subprocess.run([BINARY, "run", "--language", "python", "--state", str(tmp_path / "s"), "-"],
                         input="print(6*7)\n", capture_output=True, text=True, timeout=30, check=False)
    assert (got.stdout, got.returncode) == ("42\n", 0), got
