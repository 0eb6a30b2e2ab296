"""The command line: flag before variable before file before default; what is wrong is named."""
import json
import os
import re
import shlex
import socket
import subprocess

import pytest
from httpd import Authority
from mcp import BINARY, ROOT, Server, ToolError

COMMANDS = ["stdio", "serve", "key", "image", "run", "doctor", "audit", "version", "help"]


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
    (["run", os.path.join(ROOT, "README.md")], "language"), (["version", "--state", "--json"], "--state"),
    (["-x"], "-x"), (["run", "-x"], "-x"), (["help", "nonsense"], "nonsense"), (["audit", "show"], "audit show RUN"),
    (["audit", "list", "more"], "audit list"), (["serve", "0.0.0.0:80"], "0.0.0.0:80"), (["doctor", "x"], "doctor"),
    (["stdio", "x"], "stdio"), (["version", "x"], "version"), (["key"], "key create"), (["key", "create"], "key create"),
    (["key", "create", "no good"], "letters"), (["key", "create", "x", "--expires", "soon"], "--expires"),
    (["image"], "image create"), (["image", "create"], "image create"), (["image", "create", "x"], "--python"),
    (["image", "show", "x"], "--state"), (["stdio", "--image", "x"], "image create"), (["image", "list", "x"], "image create"),
    (["image", "create", "../x"], "letters"), (["image", "create", "x", "--python", "./x"], "no paths"),
    (["key", "revoke", "x"], "key list"), (["key", "list"], "--state"), (["audit", "verify"], "--state"),
    (["audit", "list", "--limit", "0"], "--limit"), (["version", "--config", "/nonexistent"], "--config"),
    (["run", "--timeout-ms", "99", "x.py"], "100 to 300000"), (["run", "--timeout-ms=1s", "x.py"], "100 to 300000"),
    (["run", "--language", "cobol", __file__], "python, javascript, bash"), (["run", "/etc/hosts"], "before the file"),
    (["audit", "list", "--state", "/dev/null"], "--state"),
    (["serve", "--listen", "8080"], "127.0.0.1:8080"), (["serve", "--listen", ":8080"], "127.0.0.1:8080"),
    (["serve", "--listen", "mcp.example.org:443"], "no address"), (["serve", "--listen", "127.0.0.1:65536"], "no address"),
    (["serve", "--listen", "192.0.2.1:8080"], "of this host"), (["serve", "--listen", "unix:x"], "unix:/PATH"),
    (["serve", "--listen", "unix:/nonexistent/x"], "folder"), (["serve", "--listen", "unix:/dev/null"], "remove it"),
    (["serve", "--listen", "0.0.0.0:0"], "--insecure-plaintext"),
    (["serve", "--listen", "0.0.0.0:0", "--insecure-no-auth"], "--insecure-no-auth-anywhere"),
    (["serve", "--insecure-no-auth-anywhere"], "needs --insecure-no-auth"), (["serve", "--tls-cert", "x"], "--tls-key"),
    (["serve", "--tls-cert", "/nonexistent", "--tls-key", "x"], "/nonexistent"),
    (["serve", "--tls-client-ca", "x"], "--tls-cert"), (["serve", "--tls-client-required"], "--tls-client-ca"),
    (["serve", "--public-url", "mcp.example.org/mcp"], "http"), (["serve", "--oauth-jwks", "x"], "--oauth-issuer"),
    (["serve", "--oauth-issuer", "https://example.org"], "--public-url"),
    (["serve", "--oauth-issuer", "https://example.org", "--public-url", "https://example.org/mcp"], "--oauth-jwks"),
])
def test_a_wrong_line_is_refused_and_says_what_to_do(args, named, tmp_path):
    listen = [] if "--listen" in args or args[0] != "serve" else ["--listen", "127.0.0.1:0"]
    got = fumehood(*args, *listen, FUMEHOOD_STATE=str(tmp_path / "state"))
    assert got.returncode in (1, 2, 125) and named in got.stderr, got
    assert len(got.stderr.splitlines()) == 2, "a cause and a remedy: " + got.stderr
    for line in got.stderr.splitlines():
        assert len(line) <= 160 and "send it again" not in line and "server's log" not in line, line
    assert not got.stdout


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        got = fumehood("serve", "--listen", "127.0.0.1:%d" % taken.getsockname()[1], FUMEHOOD_STATE=str(tmp_path / "s"))
    assert got.returncode == 2 and "another program has that port" in got.stderr


@pytest.fixture(scope="module", name="pems")
def some_pems(tmp_path_factory):
    """good.pem and good.key, other.key, empty and junk, in a folder."""
    made = Authority(tmp_path_factory.mktemp("pems"))
    made.sign("good")
    made.sign("other")
    for name, text in (("empty", ""), ("junk", "-----BEGIN NONSENSE-----\n")):
        with open(made.path(name), "w", encoding="utf-8") as f:
            f.write(text)
    return made


@pytest.mark.parametrize("cert,key,ca,named", [
    ("empty", "good.key", "", "empty"), ("good.pem", "empty", "", "empty"), ("good.pem", "good.key", "empty", "empty"),
    ("junk", "good.key", "", "the TLS certificate"), ("good.pem", "junk", "", "the TLS key"),
    ("good.pem", "other.key", "", "not that of the certificate"), ("good.pem", "good.key", "junk", "the CA"),
    (".", "good.key", "", "PEM file"),
])
def test_a_file_that_is_no_certificate_ends_serve_before_it_listens(pems, cert, key, ca, named, tmp_path):
    """An empty one is no TLS at all: keys would be asked for in the clear."""
    ca = ["--tls-client-ca", pems.path(ca), "--tls-client-required"] if ca else []
    got = fumehood("serve", "--listen", "127.0.0.1:0", "--tls-cert", pems.path(cert), "--tls-key", pems.path(key), *ca,
                   FUMEHOOD_STATE=str(tmp_path / "state"))
    assert got.returncode == 1 and "event=listening" not in got.stderr, got
    line = next(line for line in got.stderr.splitlines() if "event=front_failed" in line)
    assert named in line and 'remediation="' in line


@pytest.mark.parametrize("word,yes", [("1", True), ("true", True), ("yes", True), ("on", True), ("0", False),
                                      ("false", False), ("no", False), ("off", False), ("", False)])
def test_a_switch_takes_yes_and_no_in_words(word, yes):
    for got in (fumehood("version", FUMEHOOD_JSON=word), fumehood("version", "--json=" + word)):
        assert got.returncode == 0 and got.stdout.startswith("{") == yes, got


@pytest.mark.parametrize("word", ["No", "nope", "disabled", "2", " "])
def test_a_switch_does_not_guess(word):
    """`FUMEHOOD_INSECURE_NO_AUTH=nope` must not let everybody in."""
    for got in (fumehood("serve", FUMEHOOD_INSECURE_NO_AUTH=word), fumehood("serve", "--insecure-no-auth=" + word)):
        assert got.returncode == 2 and "neither yes nor no" in got.stderr and "listening" not in got.stderr, got


def test_the_longest_line_of_arguments_arrives(tmp_path):
    program = tmp_path / "count.sh"
    program.write_text("echo $#")
    words = ["x"] * 255
    assert fumehood("run", "--state", str(tmp_path / "s"), str(program), *words).stdout == "255\n"
    got = fumehood("run", str(program), *words, "x")
    assert got.returncode == 2 and "256" in got.stderr


def test_without_a_queue_nobody_waits(tmp_path):
    with Server(argv=["stdio", "--max-runs", "1", "--max-queue", "0"], env={"XDG_STATE_HOME": str(tmp_path)}) as server:
        server.initialize()
        first = server.call("run_code", {"language": "bash", "code": "sleep 60", "background": True})["run_id"]
        with pytest.raises(ToolError) as refused:
            server.run_code(code="pass")
        assert refused.value.code == "busy"
        server.call("run_cancel", {"run_id": first})


# --- help -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples_and_exit_codes(command):
    text = fumehood("help", command).stdout
    assert text == fumehood(command, "--help").stdout == fumehood(command, "-h").stdout
    assert text.startswith(f"usage: fumehood {command} ")
    assert max(map(len, text.splitlines())) <= 100
    assert "\nexamples:\n" in text and "\nexit status:\n" in text and "  2      the command line is wrong" in text
    everything = fumehood("help").stdout
    listed = set(re.findall(r"^  --([a-z-]+)", text, re.M))
    assert listed and listed <= set(re.findall(r"^  --([a-z-]+)", everything, re.M))
    takes = re.escape(re.match(r".*\[OPTION\.\.\.\] ?(.*)", text)[1])
    assert re.search(rf"^  {command} +{takes}  +\S", everything, re.M), "what it takes, a gap, and what it does"


def test_every_option_belongs_to_a_command():
    everything = set(re.findall(r"^  --([a-z-]+)", fumehood("help").stdout, re.M))
    assert everything == set().union(*(re.findall(r"^  --([a-z-]+)", fumehood("help", c).stdout, re.M) for c in COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_uses_what_there_is(command):
    text = fumehood("help", command).stdout.replace("\\\n", " ")
    examples = re.search(r"\nexamples:\n(.*?)\n\n", text, re.S)[1].splitlines()
    listed = set(re.findall(r"^  --([a-z-]+)", text, re.M)) | {"help"}
    for line in examples:
        words = shlex.split(line, comments=True)
        words = words[len(words) - words[::-1].index(command):] if command in words else words
        assert {w[2:] for w in words if w.startswith("--")} <= listed, line


def test_help_comes_whatever_is_wrong_in_the_surroundings():
    got = fumehood("help", FUMEHOOD_CONFIG="/nonexistent", FUMEHOOD_MAX_RUNS="x", FUMEHOOD_JSON="nope")
    assert got.returncode == 0 and got.stdout.startswith("fumehood runs code")


def test_help_after_the_file_is_the_programs(tmp_path):
    program = tmp_path / "p.sh"
    program.write_text('echo "$1"')
    assert fumehood("run", "--state", str(tmp_path / "s"), str(program), "--help").stdout == "--help\n"


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
        assert "FUMEHOOD_" + name.upper().replace("-", "_") in manual


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
