"""--runtimes: an operator's own languages, without building anything."""
import json
import os
import shutil
import subprocess

import mcp
import pytest
import rows
from conftest import Session

EXAMPLE = os.path.join(mcp.ROOT, "examples", "languages", "more.json")
ASSEMBLY = """\t.globl main
main:
\tpush %rbp
\tlea text(%rip), %rdi
\tcall puts
\txor %eax, %eax
\tpop %rbp
\tret
text:\t.asciz "hello"
\t.section .note.GNU-stack,"",@progbits
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    path = tmp_path_factory.mktemp("example") / "more.json"
    shutil.copy(EXAMPLE, path)
    path.chmod(0o644)
    return str(path)


@pytest.fixture
def server(example):
    with mcp.Server(env={"FUMEHOOD_RUNTIMES": example}) as started:
        started.initialize()
        yield started


def test_the_example_is_two_more_languages(server):
    said = {r["name"]: r for r in server.call("sandbox_info")["runtimes"]}
    assert said["awk"]["available"] and "mawk" in said["awk"]["version"]
    assert said["assembly"]["available"] and said["assembly"]["aliases"] == ["asm"]
    assert list(said)[:2] == ["python", "javascript"] and list(said)[-2:] == ["awk", "assembly"]


def test_they_run_alone_and_in_a_session(server):
    session = Session(server)
    for run in (lambda language, code, **more: server.run_code(language=language, code=code, **more),
                session.run):
        answer = run("awk", "{ sum += $1 } END { print sum }", stdin="1\n2\n39\n")
        assert answer["stdout"] == "42\n"
        wrong = run("awk", "BEGIN {\n\tx = = 1\n}")
        assert wrong["exit_code"] == 2 and "line 2" in wrong["stderr"] and "compile" not in wrong
        assert run("asm", ASSEMBLY)["stdout"] == "hello\n"
        refused = run("assembly", "main:\n\tnonsense\n")
        assert refused["status"] == "compile_error" and "main.s:2: Error" in refused["compile"]["output"]


def test_the_command_line_and_the_doctor_know_them(example, tmp_path):
    program = tmp_path / "sum.awk"
    program.write_text('{ n += $1 } END { print n }')
    done = subprocess.run([mcp.BINARY, "run", "--state", str(tmp_path / "state"), "--runtimes", example,
                           str(program)], input=b"40\n2\n", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"42\n"), done.stderr
    done = subprocess.run([mcp.BINARY, "doctor", "--state", str(tmp_path / "state")], capture_output=True,
                          timeout=60, env=dict(os.environ, FUMEHOOD_RUNTIMES=example))
    assert b"  awk " in done.stdout and b"  assembly " in done.stdout


def test_the_command_line_compiles(tmp_path):
    program = tmp_path / "x.c"
    for code, status, out, err in (("#include <stdio.h>\nint main(int n, char **v) { puts(v[1]); return 7; }\n", 7,
                                    b"arg\n", b""), ("int main(void) { return x; }\n", 125, b"", b"main.c:1:")):
        program.write_text(code)
        done = subprocess.run([mcp.BINARY, "run", "--state", str(tmp_path / "state"), str(program), "arg"],
                              capture_output=True, timeout=60)
        assert (done.returncode, done.stdout) == (status, out) and err in done.stderr, done


ROW = {"name": "x", "title": "X", "find": ["/usr/bin/true"], "version": ["-v"], "file": "x"}


@pytest.mark.parametrize("rows_given,complaint", [
    ([dict(ROW, name="python")], "runtimes[0].name is taken by another runtime (python)"),
    ([ROW, dict(ROW, name="y", aliases=["js"])], "runtimes[1].aliases are taken by another runtime (javascript)"),
    ([dict(ROW, name="py")], "runtimes[0].name is taken"),
    ([ROW, ROW], "runtimes[1].name is taken by another runtime (x)"),
    ([dict(ROW, driver="driver.py")], "runtimes[0].driver must be empty"),
    ([dict(ROW, zygote="zygote.py")], "runtimes[0].zygote must be empty"),
    ([dict(ROW, ahead="ahead.js")], "runtimes[0].ahead must be empty"),
    ([dict(ROW, find=["bin/x"])], "runtimes[0].find must be a plain absolute path"),
    ([dict(ROW, find=["/opt/x/x"])], "runtimes[0].find must lie below /usr"),
    ([dict(ROW, find=[])], "runtimes[0].find must be an array of at least one"),
    ([dict(ROW, etc=["/etc/passwd"])], "runtimes[0].etc is something every sandbox has"),
    ([dict(ROW, etc=["/root"])], "runtimes[0].etc must be a plain path below /etc"),
    ([dict(ROW, compile=dict(rows.STEP, product="/tmp/x"))], "runtimes[0].find is not for a row whose"),
    ([dict(ROW, compile=dict(rows.STEP, product="/workspace/x"))], "runtimes[0].compile.product must be a plain path below"),
    ([dict(ROW, run=["x" * 3000] * 3)], "runtimes[0].run is too long"),
    ([dict(ROW, finds=[])], "finds"),
    ([{"name": "x"}], "title"),
    ([], "runtimes"),
    ([dict(ROW, name=f"x{n}") for n in range(19)], "more than 32 runtimes"),
])
def test_a_bad_row_is_named_and_nothing_starts(tmp_path, rows_given, complaint):
    file = rows.write(tmp_path / "rows.json", *rows_given)
    done = subprocess.run([mcp.BINARY, "stdio", "--state", str(tmp_path / "state"), "--runtimes", file],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and complaint in done.stderr and file in done.stderr, done.stderr


@pytest.mark.parametrize("text,complaint", [(None, "No such file"), ("", "correct"), ("{", "correct"),
                                            ('{"runtimes": [], "runtimes": []}', "correct"),
                                            (" " * 70000, "at most 65535 bytes"),
                                            ("[]", "correct")])
def test_a_bad_file_is_named_and_nothing_starts(tmp_path, text, complaint):
    file = tmp_path / "rows.json"
    if text is not None:
        file.write_text(text)
    done = subprocess.run([mcp.BINARY, "stdio", "--state", str(tmp_path / "state"), "--runtimes", str(file)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and complaint in done.stderr, done.stderr


def test_what_is_not_installed_is_said_with_its_package(tmp_path):
    missing = dict(ROW, find=["/usr/bin/there-is-no-such"], package="no-such-package")
    half = dict(rows.SCRIPTED, find=["/usr/bin/there-is-none"])
    file = rows.write(tmp_path / "rows.json", missing, half)
    with mcp.Server(env={"FUMEHOOD_RUNTIMES": file}) as server:
        server.initialize()
        said = {r["name"]: r for r in server.call("sandbox_info")["runtimes"]}
        assert not said["x"]["available"] and "no-such-package" in said["x"]["problem"]
        assert not said["scripted"]["available"] and "there-is-none" in said["scripted"]["problem"]
        with pytest.raises(mcp.ToolError) as why:
            server.run_code(language="x", code="")
        assert why.value.code == "not_found" and "apt-get install no-such-package" in why.value.remediation


def test_memory_is_filled_in(tmp_path):
    row = dict(rows.PLAIN, run=["-c", "echo {memory_mib} $GIVEN"], env=["GIVEN={memory_mib}MiB"],
               extra_memory_bytes=1 << 26)
    with mcp.Server(env={"FUMEHOOD_RUNTIMES": rows.write(tmp_path / "rows.json", row)}) as server:
        server.initialize()
        assert server.run_code(language="plain", code="")["stdout"] == "256 256MiB\n"
        session = Session(server, memory_bytes=100 << 20)
        assert session.run("plain", "")["stdout"] == "100 100MiB\n"
        session.close()


def test_the_example_matches_the_schema():
    import jsonschema
    with open(os.path.join(mcp.ROOT, "schemas", "runtimes.schema.json")) as f:
        schema = json.load(f)
    with open(EXAMPLE) as f:
        jsonschema.validate(json.load(f), schema)
