"""Every file of examples/ as far as it can be tried without a network: configurations are read the
way their client reads them, started or called as written, and indexed."""
import ast
import json
import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

import mcp
from mcp import BINARY, ROOT, Server
from post import Client, Refused, Serving

EXAMPLES = Path(ROOT, "examples")
CLIENTS = EXAMPLES / "clients"
INSTALLED = "/usr/local/bin/fumehood"
URL = "http://127.0.0.1:8080/mcp"
FILES = sorted(str(p.relative_to(EXAMPLES)) for p in EXAMPLES.rglob("*")
               if p.is_file() and "__pycache__" not in p.parts)

# How each client names a variable that it fills in: what it holds in the test below.
BRACES = {"${FUMEHOOD_KEY}": "{key}"}
STDIO = {
    "claude_code_mcp.json": "mcpServers",
    "claude_desktop.json": "mcpServers",
    "codex.toml": "mcp_servers",
    "cursor_mcp.json": "mcpServers",
    "gemini_settings.json": "mcpServers",
    "vscode_mcp.json": "servers",
}
HTTP = {    # the name of the servers, of the URL, and how the key gets in
    "claude_code_mcp_http.json": ("mcpServers", "url", BRACES),
    "codex_http.toml": ("mcp_servers", "url", {}),
    "cursor_mcp_http.json": ("mcpServers", "url", {"${env:FUMEHOOD_KEY}": "{key}"}),
    "gemini_settings_http.json": ("mcpServers", "httpUrl", BRACES),
    "vscode_mcp_http.json": ("servers", "url", {"${input:fumehood-key}": "{key}"}),
}
# What a client takes of an entry; a word it does not know is a mistake that nobody would notice.
KNOWN = {
    "claude_code_mcp.json": {"type", "command", "args"},
    "claude_code_mcp_http.json": {"type", "url", "headers"},
    "claude_desktop.json": {"command", "args"},
    "claude_desktop_http.json": {"command", "args", "env"},
    "codex.toml": {"command", "args", "startup_timeout_sec", "tool_timeout_sec"},
    "codex_http.toml": {"url", "bearer_token_env_var", "startup_timeout_sec",
                        "tool_timeout_sec"},
    "cursor_mcp.json": {"command", "args"},
    "cursor_mcp_http.json": {"url", "headers"},
    "gemini_settings.json": {"command", "args", "timeout"},
    "gemini_settings_http.json": {"httpUrl", "headers", "timeout"},
    "vscode_mcp.json": {"type", "command", "args"},
    "vscode_mcp_http.json": {"type", "url", "headers"},
}


def unique(pairs):
    assert len({name for name, _ in pairs}) == len(pairs), "a name is there twice"
    return dict(pairs)


def parsed(name):
    text = (CLIENTS / name).read_text()
    return tomllib.loads(text) if name.endswith(".toml") else json.loads(
        text, object_pairs_hook=unique)


def entry(name):
    """The one server of a client's configuration."""
    config = parsed(name)
    servers = (STDIO.get(name) or HTTP.get(name, ("mcpServers",))[0])
    assert set(config) <= {servers, "inputs"}
    assert list(config[servers]) == ["fumehood"]
    return config[servers]["fumehood"]


def python_files():
    return [name for name in FILES if name.endswith(".py")]


@pytest.fixture(scope="module")
def serving():
    with Serving(BINARY) as made:
        yield made


# --- client configurations ------------------------------------------------------------------------

def test_every_client_file_is_of_a_known_kind():
    ours = {name.removeprefix("clients/") for name in FILES if name.startswith("clients/")}
    assert ours - {"claude_code.sh", "claude_code_http.sh"} == set(KNOWN)
    assert set(STDIO) | set(HTTP) | {"claude_desktop_http.json"} == set(KNOWN)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_an_entry_has_only_what_its_client_knows(name):
    made = entry(name)
    assert set(made) == KNOWN[name]
    if "type" in made:
        assert made["type"] == ("stdio" if name in STDIO else "http")
    for word in ("timeout", "tool_timeout_sec", "startup_timeout_sec"):
        assert isinstance(made.get(word, 1), int)


@pytest.mark.parametrize("name", sorted(STDIO))
def test_a_stdio_configuration_starts_a_server_that_runs_code(name, tmp_path):
    made = entry(name)
    assert made["command"] == INSTALLED
    with Server(argv=made["args"], env={"XDG_STATE_HOME": str(tmp_path)}) as server:
        server.initialize()
        assert server.run_code(code="print(6*7)")["stdout"] == "42\n"


def request_headers(name, key):
    """What the client sends, with the key where it puts it."""
    made = entry(name)
    headers = dict(made.get("headers", {}))
    if "bearer_token_env_var" in made:
        assert made["bearer_token_env_var"] == "FUMEHOOD_KEY"
        headers["Authorization"] = f"Bearer {key}"
    for variable, value in HTTP[name][2].items():
        headers = {h: v.replace(variable, value.format(key=key)) for h, v in headers.items()}
    assert not re.search(r"\$|\{", "".join(headers.values())), headers
    return headers


@pytest.mark.parametrize("name", sorted(HTTP))
def test_an_http_configuration_reaches_a_server_that_runs_code(name, serving):
    assert entry(name)[HTTP[name][1]] == URL    # where `fumehood serve` listens unless told
    client = Client(serving.url, request_headers(name, serving.key))
    assert client.run_code("python", "print(6*7)")["stdout"] == "42\n"


def test_a_server_refuses_the_same_with_a_wrong_key(serving):
    other = serving.key[:-10] + serving.key[-10:].swapcase()
    assert other != serving.key
    wrong = request_headers("cursor_mcp_http.json", other)
    with pytest.raises(Refused) as refused:
        Client(serving.url, wrong).initialize()
    assert refused.value.status == 401


def test_the_url_is_where_serve_listens_by_default():
    """Without a second server on the real port: by what the help says."""
    said = subprocess.run([BINARY, "help", "serve"], capture_output=True, text=True,
                          check=True).stdout
    line = next(line for line in said.splitlines() if line.strip().startswith("--listen"))
    assert "(127.0.0.1:8080)" in line


def test_vs_code_asks_for_the_key_it_uses_and_hides_it():
    asked = parsed("vscode_mcp_http.json")["inputs"]
    assert [(i["id"], i["type"], i["password"]) for i in asked] == [
        ("fumehood-key", "promptString", True)]
    assert asked[0]["description"]


def test_claude_desktop_reaches_http_by_a_bridge_of_a_fixed_version():
    made = entry("claude_desktop_http.json")
    assert made["command"] == "npx" and made["args"][0] == "-y"
    assert re.fullmatch(r"mcp-remote@\d+\.\d+\.\d+", made["args"][1]) and made["args"][2] == URL
    name, _, value = made["args"][made["args"].index("--header") + 1].partition(":")
    assert name == "Authorization" and value == "${FUMEHOOD_AUTHORIZATION}"
    assert made["env"]["FUMEHOOD_AUTHORIZATION"].startswith("Bearer fh_")


def test_no_file_holds_a_real_key():
    for name in FILES:
        text = (EXAMPLES / name).read_bytes()
        assert not re.search(rb"fh_[0-9A-Za-z]{8}_", text), name


# --- programs -------------------------------------------------------------------------------------

FAKE_CLAUDE = """#!/bin/sh
printf '%s\\n' "$@" >>"$CALLS"
echo -- >>"$CALLS"
"""


def calls_of(script, tmp_path, **env):
    """The argument lists that a script of Claude Code's gives to `claude`, which is not here."""
    fake = tmp_path / "claude"
    fake.write_text(FAKE_CLAUDE)
    fake.chmod(0o755)
    calls = tmp_path / "calls"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                   "CALLS": str(calls), "HOME": str(tmp_path), **env}
    done = subprocess.run(["sh", CLIENTS / script], env=environment, capture_output=True,
                          text=True, check=False)
    lists = calls.read_text().removesuffix("--\n").split("--\n") if calls.exists() else []
    return done, [part.splitlines() for part in lists]


def test_claude_code_sh_adds_what_runs_code(tmp_path):
    done, _ = calls_of("claude_code.sh", tmp_path, FUMEHOOD=BINARY)
    assert done.returncode == 0, done.stderr
    # `--` is an argument here, so the calls are taken apart by hand
    words = (tmp_path / "calls").read_text().splitlines()
    assert words[:5] == ["mcp", "add", "--scope", "user", "fumehood"]
    command = words[words.index("--") + 1:words.index("mcp", 1) - 1]
    assert command == [BINARY, "stdio"]
    with Server(argv=command[1:], env={"XDG_STATE_HOME": str(tmp_path)}) as server:
        server.initialize()


def test_claude_code_http_sh_keeps_the_key_out_of_the_configuration(tmp_path):
    done, calls = calls_of("claude_code_http.sh", tmp_path, FUMEHOOD_KEY="fh_secret")
    assert done.returncode == 0, done.stderr
    assert calls[0] == ["mcp", "add", "--scope", "user", "--transport", "http", "fumehood", URL,
                        "--header", "Authorization: Bearer ${FUMEHOOD_KEY}"]
    assert calls[1] == ["mcp", "list"]


def test_claude_code_http_sh_wants_a_key(tmp_path):
    done, calls = calls_of("claude_code_http.sh", tmp_path, FUMEHOOD_KEY="")
    assert done.returncode != 0 and "fumehood key create" in done.stderr and not calls


@pytest.mark.parametrize("name", python_files())
def test_a_python_example_parses(name):
    ast.parse((EXAMPLES / name).read_text(), name, feature_version=(3, 10))


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith((".mjs", ".js"))])
def test_a_javascript_example_parses(name):
    done = subprocess.run(["node", "--check", EXAMPLES / name], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("agent_")])
def test_an_agent_takes_a_command_or_a_url_and_shows_how_to_hand_tools_to_a_model(name):
    text = (EXAMPLES / name).read_text()
    assert "FUMEHOOD" in text and "/usr/local/bin/fumehood" in text and "run_code" in text
    assert os.access(EXAMPLES / name, os.X_OK)
    if name in ("agent_python.py", "agent_node.mjs"):   # those that show a bare tool call
        return
    assert "FUMEHOOD_KEY" in text and "set FUMEHOOD_KEY: `fumehood key create NAME`" in text
    asked = re.search(r"^(?:export )?async (?:def|function) ask\(.*?\n(?=\n\n|\}\n)", text,
                      re.S | re.M)
    assert asked and "model" in asked[0] and "tools" in asked[0] or "mcp_servers" in asked[0]


def test_the_scripts_of_clients_can_be_run():
    for path in CLIENTS.iterdir():
        script = path.read_bytes().startswith(b"#!")
        assert bool(path.stat().st_mode & stat.S_IXUSR) == script, path


# --- what is written about them -------------------------------------------------------------------

def test_the_index_names_every_file_and_no_other():
    text = (EXAMPLES / "README.md").read_text()
    named = set()
    for cell in re.findall(r"^\| (.+?) \|", text, re.M):
        named |= set(re.findall(r"`([^`]+)`", cell))
    there = {name for name in FILES if name != "README.md" and not name.startswith("programs/")}
    for name in named - {"programs/*"}:
        assert (EXAMPLES / name).exists(), f"{name} is in the index, not here"
    folders = {name for name in named if name.endswith("/")}
    missing = {n for n in there - named if not any(n.startswith(f) for f in folders)}
    assert not missing, f"not in the index: {sorted(missing)}"


def test_the_readme_names_only_examples_that_exist():
    text = Path(ROOT, "README.md").read_text()
    for name in set(re.findall(r"examples/[\w./-]*\w", text)):
        assert Path(ROOT, name).exists(), name


def test_the_readme_shows_the_configurations_as_they_are():
    text = Path(ROOT, "README.md").read_text()
    shown = json.loads(re.search(r"^    (\{ \"mcpServers\".*\})$", text, re.M)[1])
    assert shown == parsed("claude_desktop.json") == parsed("cursor_mcp.json")


def test_a_client_needs_no_more_than_the_binary():
    """The control of the tests above: a command that is no server is found out."""
    with pytest.raises((mcp.Breach, BrokenPipeError)):
        with Server(binary="/bin/true", argv=[]) as server:
            server.initialize()
