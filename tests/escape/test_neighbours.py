"""Runs do not see each other, and leave nothing for the next."""
import os
import secrets

import pytest

import lab


@pytest.fixture
def mark():
    return "escape-" + secrets.token_hex(8)


NANOSLEEP = {"35", "230"}  # the calls' numbers, nanosleep and clock_nanosleep


def asleep(mark):
    """Marked processes that are `sleep` and asleep: past their loader, which still opens files."""
    found = []
    for pid in lab.marked(mark):
        try:
            with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
                call = f.read().split()[0]
            if lab.status_of(pid)["Name"] == "sleep" and call in NANOSLEEP:
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.fixture
def pair(server, mark):
    """Two programs asleep at the same time, and their processes as the host sees them."""
    runs = [server.start("run_command", {"argv": ["sleep", "60"], "timeout_ms": 20000,
                                         "env": {"MARK": mark + end}}) for end in ("-a", "-b")]
    assert lab.eventually(lambda: asleep(mark + "-a") and asleep(mark + "-b"), 10)
    yield asleep(mark + "-a")[0], asleep(mark + "-b")[0]
    for run in runs:
        server.cancel(run)
    assert lab.eventually(lambda: not lab.marked(mark), 10), "cancelled, but still there"


@pytest.mark.parametrize("folder", ["/workspace", "/tmp", "/dev/shm"])
def test_file_of_one_run_is_not_there_in_the_next(server, folder):
    name = "left-" + secrets.token_hex(4)
    first = server.bash(f"echo x > {folder}/{name} && ls {folder}")
    assert name in first["stdout"], first
    assert name not in server.bash(f"ls -a {folder}")["stdout"]


def test_program_does_not_see_its_neighbours_processes(server, pair):
    assert pair
    result = server.bash("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done; true")
    assert "main.sh" in result["stdout"] and "sleep" not in result["stdout"], result


LISTEN_THEN_SLEEP = """
import os, socket
for family, address in ((socket.AF_INET, ("127.0.0.1", 45454)), (socket.AF_UNIX, "\\0neighbour")):
    s = socket.socket(family)
    s.bind(address)
    s.listen()
    os.dup2(s.fileno(), 100 + family, inheritable=True)
os.execv("/usr/bin/sleep", ["sleep", "60"])
"""


def test_network_of_one_run_is_not_the_neighbours(server, mark):
    run = server.start("run_code", {"language": "python", "timeout_ms": 20000,
                                    "env": {"MARK": mark}, "code": LISTEN_THEN_SLEEP})
    assert lab.eventually(lambda: asleep(mark), 10), "the neighbour listens before it sleeps"
    code = ("import socket\n"
            "for f, a in ((2, ('127.0.0.1', 45454)), (1, '\\0neighbour')):\n"
            "    try: socket.socket(f).connect(a); print('reached')\n"
            "    except OSError as e: print(e.errno)")
    assert server.python(code)["stdout"] == "111\n111\n"
    own = server.python("import socket\ns = socket.socket(); s.bind(('127.0.0.1', 45454)); s.listen()\n"
                        "socket.create_connection(('127.0.0.1', 45454)); print('reached')")
    assert own["stdout"] == "reached\n", "loopback of its own is there: " + str(own)
    server.cancel(run)


def test_seen_from_the_host_it_has_no_privilege(server, pair):
    for pid in pair:
        status = lab.status_of(pid)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, (name, status[name])
        # without root's help a process cannot give up the groups of whoever started the server
        own = set() if lab.IS_ROOT else set(map(str, os.getgroups()))
        assert set(status["Groups"].split()) - {"65534"} <= own, status["Groups"]


def test_seen_from_the_host_it_is_an_ordinary_user_of_its_own(server, pair):
    users = [lab.status_of(pid)["Uid"].split() for pid in pair]
    for user in users:
        assert len(set(user)) == 1 and user[0] != "0", user
    if lab.IS_ROOT and not server.as_user:
        assert users[0] != users[1], "two sandboxes share a host user"


def test_bubblewrap_never_runs_as_root(server, pair):
    for pid in pair:
        while pid > 1 and pid != server.proc.pid:
            status = lab.status_of(pid)
            if status["Name"].startswith("bwrap") or len(status["NSpid"].split()) > 1:
                assert "0" not in status["Uid"].split(), status
            pid = int(status["PPid"])


@pytest.mark.parametrize("kind", ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"])
def test_seen_from_the_host_it_is_in_namespaces_of_its_own(server, pair, kind):
    seen = [os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (*pair, os.getpid())]
    assert len(set(seen)) == 3, seen


def test_seen_from_the_host_it_holds_nothing_but_its_streams(server, pair):
    for pid in pair:
        fds = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert set(fds) == {"0", "1", "2"}, fds
        assert not any(to.startswith("/") and to != "/dev/null" and "memfd:" not in to
                       for to in fds.values()), fds


def test_secrets_in_the_servers_environment_do_not_get_in():
    canary = "canary-" + secrets.token_hex(16)
    os.environ["ESCAPE_CANARY"] = canary
    try:
        server = lab.Server(as_user=False)
    finally:
        del os.environ["ESCAPE_CANARY"]
    try:
        result = server.bash("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; true")
        assert "PATH=" in result["stdout"] and canary not in result["stdout"], result
        assert canary not in server.stderr()
    finally:
        server.close()
