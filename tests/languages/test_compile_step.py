"""The step before the program: its own output, limits and end, and what it leaves of the session."""
import mcp
import pytest
import rows
from conftest import Session
from processes import offspring
from rows import made


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    file = rows.write(tmp_path_factory.mktemp("rows") / "rows.json", rows.STEPS, rows.SCRIPTED, rows.HASTY,
                      rows.PLAIN)
    with mcp.Server(env={"FUMEHOOD_RUNTIMES": file}) as started:
        started.initialize()
        yield started


@pytest.fixture(params=["alone", "in_session"])
def run(request, server):
    if request.param == "alone":
        yield lambda code, language="steps", **more: server.run_code(language=language, code=code, **more)
        return
    session = Session(server)
    yield lambda code, language="steps", **more: session.run(language, code, **more)
    session.close()


def ended_there(answer, status):
    """The program was not started."""
    assert answer["status"] == answer["compile"]["status"] == status, answer
    assert answer["stdout"] == answer["stderr"] == "" and answer["duration_ms"] == 0
    assert "exit_code" not in answer and "signal" not in answer
    assert "not started" in answer["note"]
    return answer["compile"]


def test_two_programs_with_an_output_each(run):
    answer = run("echo warning; echo worse >&2\n" + made("echo out; echo err >&2; exit 3"))
    assert (answer["status"], answer["exit_code"]) == ("exited", 3)
    assert (answer["stdout"], answer["stderr"]) == ("out\n", "err\n")
    assert answer["compile"]["output"] == "warning\nworse\n" and answer["compile"]["exit_code"] == 0


def test_the_product_may_need_an_interpreter(run):
    assert run(made('echo "$0 $*"'), "scripted", args=["a", "b"])["stdout"] == "/tmp/made a b\n"


def test_arguments_and_input_are_the_programs(run):
    answer = run('echo "compiler: $# $(cat)" \n' + made('echo "$# $1 $NAME $(cat)"'), args=["one"], stdin="in",
                 env={"NAME": "value"})
    assert answer["compile"]["output"] == "compiler: 0 \n"
    assert answer["stdout"] == "1 one value in\n"


def test_files_are_there_for_both_and_unpacked_once(run):
    answer = run("cat given.txt; echo changed >given.txt\n" + made("cat given.txt"),
                 files=[{"path": "given.txt", "content": "given"}])
    assert answer["compile"]["output"] == "given" and answer["stdout"] == "changed\n"


def test_a_compiler_that_says_no(run):
    step = ended_there(run("echo main.step:3: no; exit 5\n" + made("echo never")), "compile_error")
    assert (step["exit_code"], step["output"]) == (5, "main.step:3: no\n")


def test_one_that_crashes(run):
    assert ended_there(run("kill -SEGV $$"), "signaled")["signal"] == "SIGSEGV"


def test_one_that_makes_nothing(run):
    # the product is the caller's: where there is none, that is no crash of ours
    with pytest.raises(mcp.ToolError) as why:
        run("rm -f /tmp/made")
    assert why.value.code == "unavailable" and "start" in why.value.cause


def test_one_that_takes_too_long(run):
    answer = run("echo begin; sleep 60", "hasty")
    step = ended_there(answer, "timeout")
    assert step["output"] == "begin\n" and step["duration_ms"] < 10000
    assert answer["limits_hit"] == ["time"] and "compiler was still working" in answer["note"]


def test_the_time_of_the_program_is_its_own(run):
    # the step takes longer than the program may
    answer = run("sleep 0.5\n" + made("echo in time"), timeout_ms=300)
    assert answer["stdout"] == "in time\n" and answer["compile"]["duration_ms"] >= 500
    answer = run(made("echo begin; sleep 60"), "hasty", timeout_ms=600)
    assert answer["status"] == "timeout" and answer["compile"]["status"] == "exited"
    assert answer["stdout"] == "begin\n" and answer["duration_ms"] >= 600


def test_one_that_needs_too_much_memory(run):
    answer = run("exec tail /dev/zero")
    ended_there(answer, "out_of_memory")
    assert answer["limits_hit"] == ["memory"] and "compiler needed more" in answer["note"]
    assert run(made("echo lives"))["stdout"] == "lives\n"


def test_one_that_prints_without_end(run):
    answer = run("echo first; yes")
    step = ended_there(answer, "output_limit")
    assert step["output_truncated"] and step["output_bytes"] > 16 << 20
    assert step["output"].startswith("first\ny\n") and len(step["output"]) < 40000


def test_what_it_prints_is_bounded_and_utf8(run):
    step = run("head -c 100000 /dev/zero | tr '\\0' '\\377'\n" + made("echo ok"))["compile"]
    assert step["output_bytes"] == 100000 and step["output_truncated"]
    assert step["output_invalid_utf8"] == (24 << 10) + (8 << 10)


def test_the_text_says_it_too(server):
    def text(code, language="steps"):
        return server.request("tools/call", {"name": "run_code", "arguments": {
            "language": language, "code": code}})["content"][0]["text"]

    said = text("echo why; exit 1")
    assert said.startswith("compile_error: the compiler ended after ") and "with exit code 1" in said
    assert "--- compiler output, 4 bytes: untrusted" in said and "\nwhy\n" in said
    assert text("sleep 60", "hasty").startswith("timeout: the compiler ended after ")
    assert text("echo warning\n" + made("echo out")).startswith("compiled in ")


def test_cancelled_in_it(server):
    session = Session(server)
    begun = session.run("steps", "echo begin >begun; sleep 600", background=True)
    while not session.run("bash", "cat begun 2>/dev/null")["stdout"]:
        pass
    answer = server.call("run_cancel", {"run_id": begun["run_id"]})
    assert answer["status"] == "cancelled" and answer["compile"]["status"] == "cancelled"
    assert "compiled" in answer["note"] and answer["stdout"] == ""
    assert session.run("bash", "pgrep -c sleep")["stdout"] == "0\n"
    assert session.run("steps", made("echo lives"))["stdout"] == "lives\n"
    session.close()


def test_the_session_closed_in_it(server):
    session = Session(server)
    begun = session.run("steps", "echo begin >begun; sleep 600", background=True)
    while not session.run("bash", "cat begun 2>/dev/null")["stdout"]:
        pass
    session.close()
    answer = server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 20000})
    assert answer["status"] == "cancelled" and answer["session_ended"] == "closed"
    assert answer["compile"]["status"] == "cancelled"


def test_a_later_look_says_the_same(server):
    answer = server.run_code(language="steps", code="echo why; exit 4", background=True)
    while answer["status"] == "running":
        answer = server.call("run_status", {"run_id": answer["run_id"], "wait_ms": 10000})
    assert answer["status"] == "compile_error" and answer["compile"]["output"] == "why\n"


@pytest.mark.parametrize("language,name", [("steps", "main.step"), ("plain", "main.plain")])
def test_calls_of_one_language_do_not_share_its_file(server, language, name):
    """Sent at the same time, each still runs its own code."""
    session = Session(server)
    begun = []
    for n in range(4):
        code = f"sleep 0.2\ngrep -q 'number {n}$' {name} || exit 9\n" + (
            made(f"echo {n}") if language == "steps" else f"echo {n}") + f"\n# number {n}\n"
        begun.append(session.run(language, code, background=True)["run_id"])
    for n, run_id in enumerate(begun):
        answer = {"status": "running"}
        while answer["status"] == "running":
            answer = server.call("run_status", {"run_id": run_id, "wait_ms": 10000})
        assert answer["stdout"] == f"{n}\n", answer
    session.close()


def test_input_that_is_sent_while_it_compiles(server):
    session = Session(server)
    begun = session.run("steps", "echo >begun; until [ -e go ]; do sleep 0.02; done\n" + made("read -r x; echo got $x"),
                        background=True, open_stdin=True)
    while session.run("bash", "cat begun")["exit_code"]:
        pass
    server.call("run_input", {"run_id": begun["run_id"], "stdin": "early\n"})
    session.run("bash", "touch go")
    answer = server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 20000})
    while answer["status"] == "running":
        answer = server.call("run_status", {"run_id": begun["run_id"], "wait_ms": 20000})
    assert answer["stdout"] == "got early\n", answer
    session.close()


def test_what_was_compiled_is_gone_with_the_sandbox(server):
    assert server.run_code(language="steps", code=made("echo 1"))["stdout"] == "1\n"
    assert server.run_code(language="bash", code="ls -A /tmp /workspace")["stdout"] == (
        "/tmp:\n\n/workspace:\nmain.sh\n")
    assert server.call("session_list")["sessions"] == []


def test_nothing_is_left_of_many(server):
    before = len(offspring(server.proc.pid))
    for code in ("exit 1", made("exit 0"), "kill -9 $$"):
        server.run_code(language="steps", code=code)
    # a sandbox is taken down behind the answer
    while len(offspring(server.proc.pid)) > before:
        pass
