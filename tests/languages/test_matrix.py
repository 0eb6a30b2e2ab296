"""Each language does the same things, in a sandbox of its own and in a session: says hello, computes, is
refused by its compiler or parser, fails at a known line, echoes its input, writes a file, starts threads (or
processes where it has none) and is stopped when its time is over.

The programs are in programs/LANGUAGE.txt, one after a line `=== WHAT`."""
import os
import re

import mcp
import pytest
from cannot import cannot
from conftest import Session

HERE = os.path.dirname(os.path.abspath(__file__))
# language: compiled; up to where it counts primes; lines of `wrong` and `boom`
LANGUAGES = {
    "python": (False, 30000, 3, 3),
    "javascript": (False, 1200000, 3, 3),
    "typescript": (True, 1200000, 3, 6),
    "bash": (False, 5000, 3, 3),
    "c": (True, 1200000, 3, 5),
    "cpp": (True, 1200000, 4, 6),
    "go": (True, 1200000, 4, 5),
    "rust": (True, 1200000, 3, 3),
    "java": (True, 1200000, 3, 4),
    "ruby": (False, 60000, 3, 3),
    "php": (False, 200000, 3, 4),
    "perl": (False, 50000, 3, 3),
    "lua": (False, 120000, 3, 3),
    "r": (False, 20000, 3, 3),
}
# main.py", line 3   main.sh: line 3   main.php on line 4   main.pl line 3   main.c:5; a session's bash: 7.code: line 3
PLACE = re.compile(r'(?:[Mm]ain\.\w+|\d\.code)(?:"?, line |: line | on line | line |:)(\d+)')


def programs(language):
    with open(os.path.join(HERE, "programs", language + ".txt")) as f:
        parts = re.split(r"^=== (\w+)\n", f.read(), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2]))


def primes_below(n):
    sieve = bytearray([1]) * n
    sieve[:2] = b"\0\0"
    for i in range(2, int(n ** 0.5) + 1):
        sieve[i * i::i] = bytes(len(range(i * i, n, i)))
    return sum(sieve)


def line_of(language, answer, text):
    """Where the error is said to be. A session's interpreter says so beside the text."""
    for shown in answer.get("outputs", []):
        if shown["type"] == "error" and "line" in shown["error"]:
            return shown["error"]["line"]
    found = [int(n) for n in PLACE.findall(text)]
    assert found, text
    # Python names the innermost frame last, all others first
    return found[-1] if language == "python" else found[0]


@pytest.fixture(scope="module")
def installed(server):
    return {r["name"]: r for r in server.call("sandbox_info")["runtimes"]}


@pytest.fixture(params=LANGUAGES)
def language(request, installed):
    row = installed[request.param]
    if not row["available"]:
        cannot(f"{request.param}: {row['problem']}")
    return request.param


@pytest.fixture(params=["alone", "in_session"])
def run(request, server, language):
    """Runs one of the language's programs."""
    code = programs(language)
    if request.param == "alone":
        yield lambda what, **more: server.run_code(language=language, code=code[what], **more)
        return
    session = Session(server)
    yield lambda what, **more: session.run(language, code[what], **more)
    session.close()


def ran(answer, language):
    """Its output, and nothing else; what was compiled says so."""
    assert (answer["status"], answer["exit_code"]) == ("exited", 0), answer
    assert answer["stderr"] == "", answer
    if LANGUAGES[language][0]:
        step = answer["compile"]
        assert (step["status"], step["exit_code"], step["output"]) == ("exited", 0, ""), step
        assert not step["output_truncated"] and step["duration_ms"] >= 0
    else:
        assert "compile" not in answer
    return answer["stdout"]


def test_all_are_there(installed):
    assert set(LANGUAGES) <= set(installed)


def test_hello(run, language):
    assert ran(run("hello"), language) == "hello\n"


def test_a_computation(run, language):
    below = LANGUAGES[language][1]
    assert ran(run("compute", timeout_ms=60000), language) == f"{primes_below(below)}\n"


def test_what_is_no_program_is_refused_with_its_line(run, language):
    compiled, _, line, _ = LANGUAGES[language]
    answer = run("wrong")
    if compiled:
        assert answer["status"] == "compile_error" and "exit_code" not in answer, answer
        step = answer["compile"]
        assert step["status"] == "compile_error" and step["exit_code"] > 0
        assert answer["stdout"] == answer["stderr"] == "" and answer["duration_ms"] == 0
        assert step["output_bytes"] == len(step["output"].encode()) and "refused" in answer["note"]
        assert line_of(language, answer, step["output"]) == line
    else:
        assert answer["status"] == "exited" and answer["exit_code"] > 0, answer
        assert "compile" not in answer and answer["stdout"] == ""
        assert line_of(language, answer, answer["stderr"]) == line


def test_an_exception_has_the_line_of_the_code_given(run, language):
    answer = run("boom")
    assert answer["status"] in ("exited", "signaled") and answer.get("exit_code") != 0, answer
    assert "boom" in answer["stderr"]
    assert line_of(language, answer, answer["stderr"]) == LANGUAGES[language][3]
    assert answer.get("compile", {"status": "exited"})["status"] == "exited"


def test_standard_input(run, language):
    text = "one\ntwo \u00e4\u20ac\n"
    assert ran(run("echo", stdin=text), language) == text


def test_a_file_is_seen_by_the_next_call(server, session, language):
    answer = session.run(language, programs(language)["file"])
    assert ran(answer, language) == ""
    files = [f["path"] for f in session.tool("artifact_list")["entries"]]
    # the code of what no interpreter takes lies beside it; what a compiler made does not
    assert "out.txt" in files and len(files) <= 2, files
    assert session.run("bash", "cat out.txt")["stdout"] == "kept"


def test_threads(run, language):
    assert ran(run("threads"), language) == "30\n"


def test_a_program_without_end_is_stopped(run, language):
    answer = run("loop", timeout_ms=3000)
    assert answer["status"] == "timeout" and answer["limits_hit"] == ["time"], answer
    assert answer["stdout"] == "begin\n" and answer["timeout_ms"] == 3000
    assert "compiler" not in answer["note"]


@pytest.fixture(scope="module")
def ordinary():
    with mcp.Server(uid=4242 if os.geteuid() == 0 else None) as made:
        made.initialize()
        yield made


@pytest.mark.parametrize("what,output", [("hello", "hello\n"), ("threads", "30\n")])
def test_on_a_server_of_an_ordinary_user(ordinary, language, what, output):
    code = programs(language)[what]
    assert ran(ordinary.run_code(language=language, code=code), language) == output
    session = Session(ordinary)
    assert ran(session.run(language, code), language) == output
    session.close()
