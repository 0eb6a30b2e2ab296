"""What is the same in all languages: the files of a call, its end, its inputs and outputs."""
import hashlib
import os
import time

import pytest

import conftest
import rig

PER_LANGUAGE = {
    "driver.py": {
        "print": "print('{}')", "exit": "import sys; sys.exit({})", "stdin": "print(input())",
        "args": "import sys; print(*sys.argv[1:], sep='|')",
        "env": "import os; print(os.environ['GREETING'])",
        "cwd": "import os; print(os.getcwd())", "set": "kept = 41", "get": "print(kept + 1)",
        "fds": "import subprocess; subprocess.run(['ls', '-l', '/proc/self/fd'])",
        "both": "import sys\nfor i in range({0}):\n print('o' * 99)\n print('e' * 99, file=sys.stderr)",
        "spin": "print('ready', flush=True)\nwhile True: pass",
        "sleep": "import time; print('ready', flush=True); time.sleep(600)",
        "child": "import subprocess; subprocess.run(['sh', '-c', 'echo ready; exec sleep 600'])",
        "pid": "import os; print(os.getpid())", "kill": "import os; os.kill(os.getpid(), 9)",
        "drain": "import sys; print(len(sys.stdin.read()))",
        "file": "f = open('f', 'w'); f.write('x')", "umask": "import os; os.umask(0o27)",
        "show_umask": "import os; print(oct(os.umask(0o27)))",
    },
    "driver.js": {
        "print": "console.log('{}')", "exit": "process.exit({})",
        "stdin": "console.log(require('fs').readFileSync(0, 'utf8').split('\\n')[0] || nil)",
        "args": "console.log(process.argv.slice(2).join('|'))",
        "env": "console.log(process.env.GREETING)", "cwd": "console.log(process.cwd())",
        "set": "const kept = 41", "get": "console.log(kept + 1)",
        "fds": "require('child_process').execFileSync('ls', ['-l', '/proc/self/fd'],"
               " { stdio: 'inherit' }); undefined",
        "both": "for (let i = 0; i < {0}; i++) {{ console.log('o'.repeat(99));"
                " console.error('e'.repeat(99)) }}",
        "spin": "console.log('ready'); while (true);",
        "sleep": "console.log('ready'); await new Promise(() => {})",
        "child": "require('child_process').execFileSync('sh', ['-c', 'echo ready; exec sleep 600'],"
                 " { stdio: 'inherit' })",
        "pid": "console.log(process.pid)", "kill": "process.kill(process.pid, 'SIGKILL')",
        "drain": "console.log(require('fs').readFileSync(0).length)",
        "umask": "process.umask(0o27)", "show_umask": "console.log('0o' + process.umask().toString(8))",
    },
    "driver.sh": {
        "print": "echo '{}'", "exit": "exit {}", "stdin": "read -r x && echo \"$x\"",
        "args": "IFS='|'; echo \"$*\"; unset IFS", "env": "echo $GREETING", "cwd": "pwd",
        "set": "kept=41", "get": "echo $((kept + 1))", "fds": "ls -l /proc/self/fd",
        "both": "i=0; o=$(printf 'o%.0s' {{1..99}}); e=${{o//o/e}};"
                " while ((i++ < {0})); do echo $o; echo $e >&2; done",
        "spin": "echo ready; while true; do true; done", "sleep": "echo ready; sleep 600",
        "child": "(echo ready; sleep 600) | cat", "pid": "echo $$", "kill": "kill -9 $$",
        "drain": "wc -c", "umask": "umask 027", "show_umask": "echo 0o$(umask | tail -c 3)",
    },
}


@pytest.fixture(params=sorted(PER_LANGUAGE))
def both(request):
    with conftest.session_or_skip(request.param) as session:
        yield session, PER_LANGUAGE[request.param]


def test_a_call_prints_and_ends(both):
    session, code = both
    done = session.run(code["print"].format("hello"))
    assert (done.code, done.out, done.err) == (0, "hello\n", "")


def test_the_files_of_a_call_are_taken_away(both):
    session, code = both
    session.run(code["stdin"], stdin=b"x\n", args=["a"], env={"A": "b"}, cwd="/")
    left = set(os.listdir(session.run_dir)) - {session.driver}
    # bash has no builtin that removes a file: there it is for the guest.
    assert left == ({"1.code", "1.in", "1.args", "1.env", "1.cwd"} if session.driver == "driver.sh"
                    else set())


def test_code_may_come_with_the_order(both):
    session, code = both
    if not session.takes_code:          # bash reads code from files only
        assert session.driver == "driver.sh"
        return
    session.run(code["stdin"], stdin=b"x\n", args=["a"], env={"A": "b"}, cwd="/")
    for text in ("x", "\u00fc" * 7000, "1\n2"):   # the second one in several reads
        session.begin_inline(code["print"].format(text.replace("\n", "\\n")).encode())
        done = session.end()
        assert (done.code, done.out, done.err) == (0, text + "\n", "")
    for kind, out in (("args", "\n"), ("cwd", "/\n")):
        session.begin_inline(code[kind].encode())
        assert session.end().out == out
    session.begin_inline(code["drain"].encode())
    assert session.end().out.strip() == "0"
    session.begin_inline(b"")
    assert session.end().code == 0
    assert set(os.listdir(session.run_dir)) == {session.driver}


def test_an_order_may_come_in_pieces(both):
    session, code = both
    if not session.takes_code:
        assert session.driver == "driver.sh"
        return
    text = code["print"].format("\u00fc").encode()
    session.calls += 1
    for byte in b"code 1 %d\n" % len(text) + text:
        session.line.sendall(bytes([byte]))
    assert session.end().out == "\u00fc\n"


def test_variables_stay(both):
    session, code = both
    session.run(code["set"])
    assert session.run(code["get"]).out == "42\n"


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_exit_ends_the_call_with_its_status_and_keeps_the_state(both, status):
    session, code = both
    pid = session.run(code["pid"]).out
    session.run(code["set"])
    done = session.run(code["exit"].format(status))
    assert (done.code, done.error) == (status, None)
    assert session.run(code["get"]).out == "42\n"
    assert session.run(code["pid"]).out == pid


def test_nothing_after_exit_runs(both):
    session, code = both
    assert session.run(code["exit"].format(4) + "\n" + code["print"].format("late")).out == ""


def test_standard_input_is_the_calls(both):
    session, code = both
    assert session.run(code["stdin"], stdin="één\nrest\n".encode()).out == "één\n"
    assert session.run(code["stdin"], stdin=b"second\n").out == "second\n"


def test_what_one_call_did_not_read_is_gone(both):
    session, code = both
    session.run(code["print"].format("x"), stdin=b"unread\n")
    assert session.run(code["stdin"]).code == 1


def test_standard_input_is_empty_unless_given(both):
    session, code = both
    assert session.run(code["drain"]).out.strip() == "0"


def test_standard_input_may_come_later(both):
    session, code = both
    session.begin(code["print"].format("ready") + "\n" + code["drain"], stdin="fifo")
    session.until("ready")
    os.write(session.fifo, b"x" * 1000)
    os.close(session.fifo)
    assert session.end().out.split() == ["ready", "1000"]


def test_large_standard_input(both):
    session, code = both
    assert session.run(code["drain"], stdin=b"x" * (3 << 20)).out.strip() == str(3 << 20)


def test_arguments_are_replaced_each_call(both):
    session, code = both
    assert session.run(code["args"], args=["a b", "", "ü*"]).out == "a b||ü*\n"
    assert session.run(code["args"]).out == "\n"


def test_environment_stays(both):
    session, code = both
    assert session.run(code["env"], env={"GREETING": "a=b\nc"}).out.rstrip("\n") in ("a=b\nc", "a=b c")
    assert "a=b" in session.run(code["env"]).out


def test_folder_stays(both):
    session, code = both
    assert session.run(code["cwd"], cwd="/usr").out == "/usr\n"
    assert session.run(code["cwd"]).out == "/usr\n"


def test_a_folder_that_is_not_there(both):
    session, code = both
    done = session.run(code["print"].format("x"), cwd="/nowhere/at all")
    assert (done.code, done.out) == (1, "")
    assert "/nowhere/at all" in done.err
    assert session.run(code["cwd"]).out == session.workspace + "\n"


def test_umask_stays(both):
    session, code = both
    session.run(code["umask"])
    session.run(code["exit"].format(1))
    assert session.run(code["show_umask"]).out == "0o27\n"


def test_children_get_none_of_our_descriptors(both):
    session, code = both
    out = session.run(code["fds"]).out
    open_files = [line.split(" -> ")[1] for line in out.splitlines() if " -> " in line]
    assert "/proc/" in out and not any("socket:" in name for name in open_files)
    assert len([name for name in open_files if name.startswith("pipe:")]) == 2, out


def test_much_output_on_both_streams_is_there_before_the_end(both):
    session, code = both
    lines = 10_000 if session.driver == "driver.sh" else 100_000
    done = session.run(code["both"].format(lines))
    assert hashlib.sha256(done.out.encode()).digest() == \
        hashlib.sha256(("o" * 99 + "\n").encode() * lines).digest()
    assert len(done.err) == lines * 100


@pytest.mark.parametrize("kind", ["spin", "sleep", "child"])
def test_an_interrupt_ends_the_call_and_keeps_the_state(both, kind):
    session, code = both
    session.run(code["set"])
    for _ in range(3):
        assert session.interrupted(code[kind]).code == 130
        assert session.run(code["get"]).out == "42\n"


def test_an_interrupt_between_calls_does_nothing(both):
    session, code = both
    session.run(code["set"])
    for _ in range(5):
        session.interrupt()
    time.sleep(0.05)    # signals have no acknowledgement: give them time to do harm
    assert session.run(code["get"]).out == "42\n"


def test_interrupts_after_an_exit_and_an_exit_after_interrupts(both):
    session, code = both
    session.run(code["set"])
    for _ in range(3):
        assert session.run(code["exit"].format(2)).code == 2
        assert session.interrupted(code["spin"]).code == 130
    assert session.run(code["get"]).out == "42\n"


def test_death_is_left_to_the_kernel_to_tell(both):
    session, code = both
    assert session.dies(code["kill"]) == -9


def test_the_end_of_the_guest_is_the_end_of_the_driver(both):
    session, code = both
    session.run(code["set"])
    session.line.close()
    assert session.process.wait(rig.PATIENCE_S) == 0
