"""Programs that will not end, or want to seem to have ended otherwise: deadline, kill and verdict hold."""
import secrets
import time

import pytest

import lab


@pytest.fixture
def mark():
    return "escape-" + secrets.token_hex(8)


def nothing_left(mark):
    return lab.eventually(lambda: not lab.marked(mark))


def test_marked_processes_can_be_seen_while_they_run(server, mark):
    """The control of every `nothing is left` below: the search does find what is there."""
    run = server.start("run_command", {"argv": ["sleep", "30"], "env": {"MARK": mark},
                                       "timeout_ms": 2000})
    assert lab.eventually(lambda: lab.marked(mark), 10)
    assert server.finish(run)["status"] == "timeout"
    assert nothing_left(mark)


DAEMON = """
import os, time
for depth in range(3):
    if os.fork():
        {parent}
    os.setsid()
for fd in range(3):
    {close}
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize("close", ["os.close(fd)", "pass"], ids=["detached", "holding_stdout"])
def test_daemon_does_not_outlive_a_program_that_ended(server, mark, close):
    began = time.monotonic()
    result = server.python(DAEMON.format(parent="os._exit(7)", close=close), env={"MARK": mark},
                           timeout_ms=20000)
    assert (result["status"], result.get("exit_code")) == ("exited", 7), result
    assert time.monotonic() - began < 10, "the daemon kept the call waiting"
    assert nothing_left(mark)


def test_daemon_does_not_outlive_the_deadline(server, mark):
    result = server.python(DAEMON.format(parent="time.sleep(60)", close="os.close(fd)"),
                           env={"MARK": mark}, timeout_ms=1500)
    assert result["status"] == "timeout" and "time" in result["limits_hit"], result
    assert nothing_left(mark)


RUN_ON = {
    "ignores_sigterm": "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
    "stops_itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "stops_its_tree": "import os, signal\nos.fork()\nos.kill(0, signal.SIGSTOP)",
    "closes_its_output": "import os, time\nos.close(1); os.close(2); os.close(0)\nwhile True: time.sleep(1)",
    "never_reads_or_writes": "import time\ntime.sleep(1000)",
    "blocks_all_signals": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "waits_for_a_child": "import os, time\nif os.fork() == 0: time.sleep(1000)\nos.wait()",
    "vfork_chain": "import subprocess\nsubprocess.run(['sh', '-c', 'sh -c \"sleep 1000; true\"; true'])",
}


@pytest.mark.parametrize("name", sorted(RUN_ON))
def test_deadline_holds_against_a_program_that(server, mark, name):
    began = time.monotonic()
    result = server.python(RUN_ON[name], env={"MARK": mark}, timeout_ms=1500)
    assert result["status"] == "timeout" and "time" in result["limits_hit"], result
    assert time.monotonic() - began < 8, "killed late"
    assert nothing_left(mark)


VERDICTS = {
    "exit_37": ("import os; os._exit(37)", {"status": "exited", "exit_code": 37}),
    "kills_itself": ("import os; os.kill(os.getpid(), 9)", {"status": "signaled", "signal": "SIGKILL"}),
    "terminates_itself": ("import os; os.kill(os.getpid(), 15)", {"status": "signaled", "signal": "SIGTERM"}),
    "aborts": ("import os; os.abort()", {"status": "signaled", "signal": "SIGABRT"}),
    "segfaults": ("import ctypes; ctypes.string_at(0)", {"status": "signaled", "signal": "SIGSEGV"}),
    "signals_everybody": ("import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nos._exit(5)",
                          {"status": "exited", "exit_code": 5}),
    "signals_pid1": ("import os\ntry: os.kill(1, 9)\nexcept OSError: pass\nos._exit(6)",
                     {"status": "exited", "exit_code": 6}),
    "writes_into_every_descriptor":
        ("import os\nfor fd in range(3, 1024):\n    try: os.write(fd, b'\\0' * 64)\n    except OSError: pass\nos._exit(8)",
         {"status": "exited", "exit_code": 8}),
    "writes_into_every_descriptor_of_others":
        ("import os, glob\nfor p in glob.glob('/proc/[0-9]*/fd/*'):\n"
         "    if '/%d/' % os.getpid() in p or '/self/' in p: continue\n"
         "    try: os.write(os.open(p, os.O_RDWR | os.O_NONBLOCK), b'\\0' * 64)\n    except OSError: pass\nos._exit(9)",
         {"status": "exited", "exit_code": 9}),
    "child_is_killed_parent_exits":
        ("import os\npid = os.fork()\nif pid == 0: os.kill(os.getpid(), 9)\nos.waitpid(pid, 0)\nos._exit(3)",
         {"status": "exited", "exit_code": 3}),
    "exits_with_256": ("import os; os._exit(256)", {"status": "exited", "exit_code": 0}),
}


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_verdict_is_the_kernels_when_a_program(server, name):
    code, expected = VERDICTS[name]
    result = server.python(code)
    assert {k: result.get(k) for k in expected} == expected, result
    assert server.python("print('next')")["stdout"] == "next\n"


def test_forbidden_call_that_kills_is_told_as_denied(server):
    """int 0x80 as machine code: the filter kills, and the result says so."""
    code = ("import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\n"
            "m.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')\n"
            "ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()")
    result = server.python(code)
    assert result["status"] == "denied" and result.get("signal") in (None, "SIGSYS"), result


def test_no_cgroup_and_no_process_outlives_the_server(fresh_server, mark):
    fresh_server.start("run_command", {"argv": ["sleep", "60"], "env": {"MARK": mark},
                                       "timeout_ms": 30000})
    assert lab.eventually(lambda: lab.marked(mark), 10)
    during = lab.cgroups_of(fresh_server)
    result = fresh_server.python("print(1)")
    assert (result["limits"] == "enforced") == bool(during), (during, result)
    fresh_server.close()
    assert nothing_left(mark)
    assert lab.eventually(lambda: not lab.cgroups_of(fresh_server)), lab.cgroups_of(fresh_server)


def test_cgroup_of_a_run_is_gone_after_it(server, mark):
    assert lab.eventually(lambda: not any(lab.cgroups_of(server).values()))
    before = set(lab.cgroups_of(server))
    for _ in range(5):
        server.bash("sleep 0.01 & true", env={"MARK": mark})
    assert lab.eventually(lambda: len(set(lab.cgroups_of(server)) - before) <= 4), \
        "cgroups pile up: " + str(lab.cgroups_of(server))
    assert lab.eventually(lambda: not lab.children_of(server.proc.pid)), "defunct processes"
