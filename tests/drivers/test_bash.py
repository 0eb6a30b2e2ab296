"""driver.sh: what people do in a bash session."""
import os
import subprocess
import textwrap
import time

import pytest

import rig


def test_state_of_all_kinds_stays(sh):
    sh.run(textwrap.dedent("""\
        x='a  b'; declare -a list=(1 "two words" 3); declare -A map=([key one]=1); declare -i n=5
        export EXPORTED=yes; readonly FIXED=1
        greet() { local who=$1; echo "hello $who"; }
        alias say='echo said'; shopt -s nullglob; set -o noclobber; cd /usr; umask 077
        exec 5>&1; trap 'echo usr1' USR1"""))
    check = ("echo \"$x|${list[1]}|${map[key one]}|$n|$EXPORTED|$FIXED|$PWD|$(umask)|$-\"; greet you\n"
             "say it; shopt nullglob; n+=2; echo $n; n=5; echo five >&5; kill -USR1 $$; sh -c 'echo $EXPORTED'")
    done = sh.run(check)
    assert done.out.splitlines() == [
        "a  b|two words|1|5|yes|1|/usr|0077|" + done.out.split("|")[8].split("\n")[0], "hello you",
        "said it", "nullglob       \ton", "7", "five", "usr1", "yes"]
    assert "C" in done.out.split("|")[8].split("\n")[0]
    sh.run("exit 3")
    assert sh.run(check).out == done.out
    assert sh.interrupted("f() { local x=1 n=2; echo ready; while :; do :; done; }; f").code == 130
    assert sh.run(check).out == done.out


@pytest.mark.parametrize("code, status, out", [
    ("false", 1, ""), ("(exit 7)", 7, ""), ("exit", 0, ""), ("false; exit", 1, ""), ("exit 300", 44, ""),
    ("return 5; echo no", 5, ""), ("true | false", 1, ""), ("set -o pipefail; false | true", 1, ""),
    ("nosuchcommand", 127, ""), ("kill -9 $BASHPID & wait $!", 137, ""), ("break; echo no", 0, None),
    ("continue; echo no", 0, None), ("builtin exit 6", 6, ""), ("command exit 6", 6, ""),
    ("set -e; false; echo no", 1, ""), ("set -e; false || true; echo yes", 0, "yes\n"),
    ("set -e; f() { false; echo no; }; f; echo no", 1, ""), ("set -e; (exit 3); echo no", 3, ""),
    ("set -e; if false; then :; fi; echo yes", 0, "yes\n"), ("set -u; echo $nope; echo no", 1, ""),
    ("set -eu; f() { local q=1; echo $nope; }; f", 1, ""), (": ${nope:?message}; echo no", 1, ""),
    ("readonly r=1; r=2; echo no", 1, ""), ("x=$(exit 4); echo $?", 0, "4\n"),
    ("echo a | while read x; do exit 9; done; echo $?", 0, "9\n"), ("eval 'exit 8'", 8, ""),
    ("f() { exit 2; }; f | cat; echo $?; f", 2, "0\n"), ("f() { for i in 1; do exit 3; done; }; f", 3, ""),
    ("exit 5 & wait $!; echo $?", 0, "5\n"), ("source <(echo exit 6); echo no", 6, ""),
    ("trap 'echo bye $?' EXIT; exit 4", 4, "bye 4\n"), ("trap 'echo bye $?' EXIT; false", 1, "bye 1\n"),
    ("trap 'echo a; exit 9' EXIT; exit 4", 9, "a\n"), ("trap 'x=1' 0; trap - EXIT; exit 2", 2, ""),
    ("c() { local rc=$?; echo c$rc; exit $rc; }; trap c EXIT; exit 4", 4, "c4\n"),
    ("(trap 'echo sub' EXIT; exit 3); echo $?", 0, "sub\n3\n"), ("trap 'echo err' ERR; false; true", 0, "err\n"),
    ("set -e; trap 'echo t' EXIT; false", 1, "t\n"), ("set -euo pipefail; false | true; echo no", 1, ""),
    ("cat <<X\na $((1 + 1))\nX\n", 0, "a 2\n"), ("cat <<< here", 0, "here\n"),
    ("for i in {1..3}; do echo $i; done | tac", 0, "3\n2\n1\n"), ("diff <(echo a) <(echo a)", 0, ""),
    ("a=(x y); a+=(z); echo ${#a[@]} ${a[-1]}", 0, "3 z\n"), ("echo ${BASH_SOURCE[0]##*.} $LINENO", 0, "code 1\n"),
    ("set -- a b; echo $# $2; shift; echo $1", 0, "2 b\nb\n"), ("printf '%s' x", 0, "x"),
    ("[[ -t 0 ]] || echo no terminal", 0, "no terminal\n"), ("time true 2>/dev/null", 0, ""),
])
def test_statuses_and_outputs(sh, code, status, out):
    sh.run("kept='still here'")
    done = sh.run(code)
    assert done.code == status
    if out is not None:
        assert done.out == out
    assert sh.run("set +eu; echo $kept").out == "still here\n"


def test_the_status_of_a_call_is_there_in_the_next(sh):
    sh.run("(exit 7)")
    assert sh.run("echo $?").out == "7\n"
    sh.run("exit 8")
    assert sh.run("echo $?").out == "8\n"
    assert sh.run("set -e; (exit 9)").code == 9
    assert sh.run("echo $?; echo on").out == "9\non\n"


@pytest.mark.parametrize("code", ["if then", "echo 'open", "for x in; do", "}", "a=(1", "$((1 +", "case x in"])
def test_syntax_errors(sh, code):
    done = sh.run("echo first\n\n" + code)
    assert done.code in (1, 2) and done.out == "first\n"
    assert ".code: line " in done.err
    assert sh.run("echo on").out == "on\n"


def test_errors_have_the_lines_of_the_call(sh):
    assert "code: line 3: nosuch: command not found" in sh.run("\n\nnosuch").err


def test_locals_do_not_become_globals(sh):
    sh.run("x=global; y=(g1 g2); unset z; IFS=':'; declare -A m=([k]=global)")
    done = sh.run(textwrap.dedent("""\
        outer() { local x=outer y=1 z=local; inner; }
        inner() { local x=inner IFS=, ; local -a y=(9); local -A m=([k]=local); local only=1; exit 3; }
        outer"""))
    assert done.code == 3
    assert sh.run('echo "$x ${y[1]} ${z-unset} ${only-unset} ${m[k]} $IFS"').out == "global g2 unset unset global :\n"
    assert sh.interrupted("f() { local x=loc IFS=-; echo ready; sleep 600; }; f").code == 130
    assert sh.run('echo "$x $IFS"').out == "global :\n"


@pytest.mark.parametrize("code", [
    "f() { while :; do :; done; }; echo ready; f", "echo ready; (while :; do :; done)",
    "echo ready; sleep 600 | sleep 600", "echo ready; x=$(sleep 600)", "echo ready; sleep 600 & wait",
    "echo ready; read x < <(sleep 600)", "echo ready; for i in 1 2 3; do sleep 600; done",
    "echo ready; while read -r l; do sleep 600; done < /etc/passwd", "set -e; echo ready; sleep 600",
    "set -eu; f() { local a=1; echo ready; sleep 600; echo no; }; f || echo no", "echo ready; eval 'sleep 600'",
    "echo ready; if sleep 600; then echo no; else echo no; fi; echo no",
    "trap 'echo cleaned' EXIT; echo ready; sleep 600",
])
def test_interrupts(sh, code):
    sh.run("kept=1")
    for _ in range(3):
        done = sh.interrupted(code)
        assert done.code == 130
        assert "no" not in done.out.split()
        assert ("cleaned" in done.out) == ("cleaned" in code)
        assert sh.run("set +eu; echo $kept").out == "1\n"


def test_a_trap_of_the_code_takes_interrupts(sh):
    sh.run("trap 'echo mine' INT")
    done = sh.interrupted("echo ready; sleep 600; echo after")
    assert (done.code, done.out) == (0, "ready\nmine\nafter\n")
    sh.run("trap - INT; exit 2")
    assert sh.run("echo on").out == "on\n"


def test_jobs_go_on(sh):
    done = sh.run("mkfifo go; { read x < go; echo \"late $x\"; } & echo $!")
    assert done.out.strip().isdigit()
    sh.run("exit 1")        # a new shell, the same children
    sh.run("echo now > go")
    sh.until("late now")
    assert sh.run("sleep 600 & kill $!; wait $!").code == 143
    assert sh.run("sleep 0 & wait; jobs").out == ""


def test_traps_of_the_code_are_listed_without_ours(sh):
    sh.run("trap 'echo \"it'\\''s\"' EXIT; trap; trap -p EXIT")
    assert sh.buffers[1].decode() == "trap -- 'echo \"it'\\''s\"' EXIT\n" * 2 + "it's\n"
    assert sh.run("trap '' HUP; trap").out == "trap -- '' SIGHUP\n"
    assert sh.run("trap -l | head -1").out.startswith(" 1) SIGHUP")
    assert sh.run("trap - HUP; trap").out == ""
    assert sh.run("f() { trap 'echo ret' RETURN; }; f; trap - RETURN").out.startswith("ret\n")


@pytest.mark.parametrize("code, status", [
    ("exec true", 0), ("exec sh -c 'exit 4'", 4), ("kill $$", -15), ("kill -9 $$", -9), ("kill -HUP $$", -1), ("kill -SEGV $$", -11),
    ("x=1; kill -ABRT $$", -6), ("kill -USR1 $$", -10), ("kill -PIPE $$", -13), ("kill -ALRM $$", -14),
])
def test_deaths(sh, code, status):
    assert sh.dies(code) == status


def test_exec_of_redirections_stays(sh):
    sh.run("exec 3>three 4>&1 2>&1")
    assert sh.run("echo a >&3; echo b >&4; echo c >&2; cat three").out == "b\nc\na\n"
    sh.run("exit 1")
    assert sh.run("echo d >&3; cat three; exec 3>&-").out == "a\nd\n"


def test_xtrace_shows_the_code_and_not_the_driver(sh):
    done = sh.run("set -x; echo traced")
    assert "echo traced" in done.err and "_fumehood" not in done.err
    done = sh.run("echo more")
    assert "echo more" in done.err and "_fumehood" not in done.err.replace("${_fumehood_args", "")
    assert sh.run("set +x; exit 1").code == 1


def test_an_order_that_is_torn_by_a_timeout_of_the_code(sh):
    assert sh.run("TMOUT=1").code == 0
    sh.calls += 1
    sh.put("code", b"echo whole; exit 3")
    for piece in b"r", b"un ", b"%d" % sh.calls, b"\n":
        time.sleep(1.2)
        sh.line.sendall(piece)
    done = sh.end()
    assert done.code == 3 and done.out == "whole\n"


@pytest.mark.parametrize("name", ["line", "part", "word", "status", "pair", "folder", "action", "name", "others", "copy"])
def test_read_only_variables_are_the_codes_alone(sh, name, tmp_path):
    assert sh.run(f"readonly {name}=x").code == 0
    for _ in range(2):
        assert sh.run("false").code == 1 and sh.run(f"echo ${name}").out == "x\n"
        done = sh.run("trap 'echo bye' EXIT; echo $A; pwd", env={"A": "b"}, cwd="/")
        assert done.out == "b\n/\nbye\n" and not done.err
        assert sh.run("exit 3").code == 3


def test_functions_outlive_aliases(sh):
    """A shell that follows is told of both; what was read before an alias came does not know it."""
    sh.run("f() { true && echo f; }; alias true=false builtin=false f=g; trap 'echo bye' EXIT")
    assert sh.run("exit 3").code == 3
    assert sh.run("\\f; alias f; trap 'echo bye' EXIT").out == "f\nalias f='g'\nbye\n"
    assert sh.run("true").code == 1


def test_options_that_could_break_the_driver(sh):
    for code in ["IFS=0123456789", "set -f", "set -o noclobber", "TMOUT=1", "set -a",
                 "shopt -s failglob extglob nocasematch", "LC_ALL=C",
                 "alias printf=false read=false cd=false exec=false '[[=false' while=false builtin=false",
                 # with the aliases still there, this would define a `false` that calls itself
                 "unalias -a", "read() { false; }; printf() { false; }; cd() { false; }; export() { false; }",
                 "unset -f read printf cd export",
                 "export BASH_ENV=/nowhere PS4='$(echo x)'", "unset PATH HOME IFS", "PATH=", "set -v", "set -o posix",
                 "POSIXLY_CORRECT=1"]:
        assert sh.run(code).code == 0, code
        assert sh.run("exit 3").code == 3, code
        assert sh.run("(exit 4)", env={"A": "b"}, args=["x"], cwd="/").code == 4, code
        assert sh.run("false").code == 1, code


def test_much_state_survives_an_exit(sh):
    sh.run("big=$(head -c 3000000 /dev/zero | tr '\\0' x); for i in {1..2000}; do a[i*7]=$i; done; exit 1")
    assert sh.run("echo ${#big} ${#a[@]} ${a[13993]}").out == "3000000 2000 1999\n"
    sh.run("weird=$'a\\nb\\'\\\"\\\\\\x01\\xff'; f() { cat <<'E'\n$x `y`\nE\n}; exit 1")
    assert sh.run("printf %q \"$weird\"; f").out == "$'a\\nb\\'\"\\\\\\001\\377'$x `y`\n"


def test_forty_steps_are_what_one_script_prints(sh):
    steps = ["x=5; y=7", "echo $((x * y))", "name='a b'; echo \"<$name>\"", "arr=(one two three)",
             "for i in \"${!arr[@]}\"; do echo \"$i ${arr[i]}\"; done", "declare -A h; h[k]=v; h[j]=w",
             "echo ${h[k]}${h[j]} ${#h[@]}", "f() { local n=$1; ((n < 2)) && echo $n || echo $(($(f $((n-1))) + $(f $((n-2))))); }",
             "f 10", "printf '%05d|%-5s|%x\\n' 42 ab 255", "echo {a,b}{1,2}", "s=hello.tar.gz; echo ${s%%.*} ${s#*.}",
             "echo ${s^^} ${s:1:3} ${s/l/L} ${#s}", "mkdir -p d/e; cd d; pwd | sed 's|.*/||'", "cd ..",
             "printf 'b\\na\\nc\\n' > t; sort t", "wc -l < t | tr -d ' '", "while read -r l; do echo \"[$l]\"; done < t",
             "grep -c . t; grep zzz t || echo none", "false; echo $?", "(cd /; pwd)", "x=$(cat t | head -1); echo $x",
             "case $x in a) echo A;; b) echo B;; esac", "set -- p q r; echo $# $2", "export V=1; sh -c 'echo $V'",
             "unset V; echo ${V:-default}", "a=3; ((a++)); let a*=2; echo $a", "echo $((16#ff)) $((2**10)) $((7/2))",
             "[[ abc =~ ^a(.)c$ ]] && echo ${BASH_REMATCH[1]}", "shopt -s extglob; echo ${s/+(l)/_}",
             "mapfile -t lines < t; echo ${lines[2]}", "exec 7> log; echo logged >&7; exec 7>&-; cat log",
             "trap 'echo got' USR1; kill -USR1 $$", "{ echo out; echo err >&2; } 2>/dev/null", "echo a b c | awk '{print $2}'",
             "time_is() { echo now; }; time_is", "alias hi='echo hello'", "i=0; until ((i >= 3)); do ((i++)); done; echo $i",
             "readonly R=1; echo $R", "seq 1 100 | paste -sd+ | bc 2>/dev/null || echo 5050"]
    assert len(steps) == 40
    path = os.path.join(sh.top, "plain.sh")
    with open(path, "w") as file:
        file.write("\n".join(steps) + "\n")
    folder = os.path.join(sh.top, "plain")
    os.mkdir(folder)
    plain = subprocess.run(["/usr/bin/bash", path], capture_output=True, text=True, cwd=folder)
    assert plain.stderr == ""
    outs = [sh.run(step) for step in steps]
    assert [done.err for done in outs] == [""] * 40
    assert "".join(done.out for done in outs) == plain.stdout
    assert sh.run("hi").out == "hello\n"
