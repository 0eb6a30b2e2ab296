"""The systemd units of examples/, as `make install` puts them: started by their socket, hardened,
with limits, over HTTP. Run by guest_tests.py."""
import pwd
import re
import shutil
import ssl
import sys
import threading
from pathlib import Path

from guest import (
    ALICE, CGROUP, PAYLOAD, as_alice, event, groups_below, ok, pids_below, read, run, say, until,
)  # fmt: skip

sys.path.insert(0, str(PAYLOAD / "tests/lib"))
import post  # noqa: E402

INSTALLED = PAYLOAD / "install/usr/local"
DROP_INS = PAYLOAD / "examples/systemd/system/public"
SYSTEM = Path("/etc/systemd/system")
GROUP = CGROUP / "system.slice/fumehood.service"
USER_GROUP = (CGROUP / f"user.slice/user-{ALICE.pw_uid}.slice/user@{ALICE.pw_uid}.service"
              / "app.slice/fumehood.service")  # fmt: skip
URL = "http://127.0.0.1:8080/mcp"
MEMORY_BOMB = "b = []\nwhile True: b.append(bytearray(b'x') * (8 << 20))\n"
LONG = "import time\nprint('started', flush=True)\ntime.sleep(3)\nprint('ended')\n"
# What systemd's own judgement may be at worst. What is left: user namespaces and what a sandbox
# needs of the kernel's interfaces, and the way to the network that PrivateNetwork= has taken.
EXPOSURE_LIMIT = 3.0


def show(unit, what, *more):
    return run(["systemctl", *more, "show", "--value", f"--property={what}", unit]).stdout.strip()


def status_of(pid, key):
    found = re.search(rf"^{key}:\s*(.*)$", read(f"/proc/{pid}/status"), re.M)
    return found and found[1]


def journal(unit):
    return run(["journalctl", "--quiet", "--no-pager", "--lines=15", f"--unit={unit}"]).stdout


def key_of(name, *by):
    """A new API key, made by whoever the server runs as."""
    done = run([*by, "/usr/local/bin/fumehood", "key", "create", name])
    found = re.search(r"^fh_[\w-]{20,}$", done.stdout, re.M)
    return found and found[0]


def client(key, url=URL, context=None):
    return post.Client(url, {"Authorization": f"Bearer {key}"}, context)


def status_without(url, **headers):
    try:
        post.Client(url, headers).initialize()
    except post.Refused as refused:
        return refused.status
    return 200


AS_SERVICE = ["runuser", "-u", "fumehood", "--", "env", "FUMEHOOD_STATE=/var/lib/fumehood"]
OURS = ["fumehood.service", "fumehood.socket"]


def install():
    shutil.copytree(INSTALLED, "/usr/local", dirs_exist_ok=True)
    done = run(["systemd-sysusers"])
    try:
        user = pwd.getpwnam("fumehood")
        ok(user.pw_uid < 1000, "units: systemd-sysusers makes the user")
    except KeyError:
        ok(False, "units: systemd-sysusers makes the user", done.stdout)
    run(["systemctl", "daemon-reload"])
    # man pages are not in this guest
    done = run(["systemd-analyze", "verify", "--man=no", *OURS])
    ok(done.returncode == 0 and not done.stdout, "units: systemd-analyze verify is clean",
       done.stdout)  # fmt: skip


def tests_start():
    install()
    done = run(["systemctl", "start", "fumehood.socket"])
    ok(done.returncode == 0, "units: the socket starts", done.stdout)
    ok(show("fumehood.service", "ActiveState") == "inactive", "units: and alone")
    health = post.Client(URL).get("/healthz")
    ok(health["status"] == "ok", "units: the first connection is answered", health)
    # it answers before systemd has taken note
    until(lambda: show("fumehood.service", "ActiveState") == "active")
    ok(show("fumehood.service", "ActiveState") == "active", "units: by the service it started",
       journal("fumehood.service"))  # fmt: skip
    ok(status_without(URL) == 401, "units: who has no key is refused")


def tests_calls():
    key = key_of("guest", *AS_SERVICE)
    if not ok(key, "units: a key is made as the service's user"):
        return
    server = client(key)
    info = server.call("sandbox_info")["isolation"]
    ok(info["cgroup"] == "v2", "units: the service hands on control groups", info)
    hello = server.run_code("python", "print('hello')")
    ok((hello["stdout"], hello["limits"]) == ("hello\n", "enforced"),
       "units: python runs, its limits enforced", hello)  # fmt: skip
    before = event(GROUP, "memory.events", "oom_kill")
    bomb = server.run_code("python", MEMORY_BOMB)
    ok(bomb["status"] == "out_of_memory", "units: a memory bomb is out_of_memory", bomb)
    ok(event(GROUP, "memory.events", "oom_kill") > before, "units: and the kernel says so too")
    ok(server.run_code("bash", "echo after")["stdout"] == "after\n",
       "units: the service lives on after it", journal("fumehood.service"))  # fmt: skip


def tests_hardening():
    main = int(show("fumehood.service", "MainPID"))
    uid = str(pwd.getpwnam("fumehood").pw_uid)
    for pid in pids_below(GROUP):
        said = {key: status_of(pid, key) for key in ("Uid", "NoNewPrivs", "Seccomp", "CapPrm")}
        # what is one in a user namespace of the sandbox's own is none on the host
        own, hosts = (Path(f"/proc/{p}/ns/user").readlink() for p in (pid, 1))
        good = (said["Uid"].split()[0] == uid and said["NoNewPrivs"] == "1"
                and said["Seccomp"] == "2"
                and (int(said["CapPrm"], 16) == 0 or own != hosts))  # fmt: skip
        if not ok(good, f"units: process {'main' if pid == main else 'below'} has no privilege",
                  (pid, said)):  # fmt: skip
            break
    mine, hosts = (Path(f"/proc/{pid}/ns/net").readlink() for pid in (main, 1))
    ok(mine != hosts, "units: the service has no network but its socket")
    done = run(["systemd-analyze", "security", "--no-pager", "fumehood.service"])
    overall = re.search(r"Overall exposure level.*?: ([\d.]+) (\w+)", done.stdout)
    say(f"#   systemd-analyze security: {overall and overall.groups()}")
    ok(overall and float(overall[1]) <= EXPOSURE_LIMIT,
       f"units: systemd-analyze security says at most {EXPOSURE_LIMIT}", done.stdout)  # fmt: skip


def tests_stop():
    """A stop lets calls end, and leaves nothing; the next connection starts it again."""
    key = key_of("again", *AS_SERVICE)
    server = client(key)
    server.initialize()
    answers = []
    caller = run_aside(lambda: answers.append(server.run_code("python", LONG)))
    until(lambda: any("main.py" in read(f"/proc/{pid}/cmdline") for pid in pids_below(GROUP)))
    done = run(["systemctl", "stop", "fumehood.service"])
    caller.join()
    ok(done.returncode == 0 and show("fumehood.service", "Result") == "success",
       "units: a stop is a success", journal("fumehood.service"))  # fmt: skip
    ok(answers and answers[0]["stdout"] == "started\nended\n", "units: it lets a call end",
       (answers, journal("fumehood.service")))  # fmt: skip
    until(lambda: not pids_below(GROUP))
    ok(not pids_below(GROUP) and not groups_below(GROUP), "units: nothing is left of it")
    ok(client(key).run_code("bash", "echo again")["stdout"] == "again\n",
       "units: the next connection starts it again, with the same keys",
       journal("fumehood.service"))  # fmt: skip
    run(["systemctl", "stop", *OURS])


def run_aside(what):
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    return thread


def tests_public():
    """The drop-ins for other hosts: TLS with a key that only root can read."""
    for unit, name in (("service", "service.conf"), ("socket", "socket.conf")):
        folder = SYSTEM / f"fumehood.{unit}.d"
        folder.mkdir(exist_ok=True)
        shutil.copy(DROP_INS / name, folder / "public.conf")
    shutil.copytree(PAYLOAD / "tls", "/etc/fumehood")
    Path("/etc/fumehood/tls.key").chmod(0o600)
    run(["systemctl", "daemon-reload"])
    done = run(["systemd-analyze", "verify", "--man=no", *OURS])
    ok(done.returncode == 0 and not done.stdout, "units: public: verify is clean", done.stdout)
    done = run(["systemctl", "start", "fumehood.socket"])
    ok(done.returncode == 0, "units: public: the socket starts", done.stdout)
    context = ssl.create_default_context(cafile="/etc/fumehood/tls.crt")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    key = key_of("public", *AS_SERVICE)
    server = client(key, "https://fumehood.example.com:8443/mcp", context)
    hello = server.run_code("python", "print('over TLS')")
    ok((hello["stdout"], hello["limits"]) == ("over TLS\n", "enforced"),
       "units: public: python runs over TLS 1.3", (hello, journal("fumehood.service")))  # fmt: skip
    run(["systemctl", "stop", *OURS])


def tests_user():
    """The same for one user, by that user's own manager."""
    run(as_alice(["systemctl", "--user", "daemon-reload"]))
    done = run(as_alice(["systemd-analyze", "verify", "--user", "--man=no", *OURS]))
    ok(done.returncode == 0 and not done.stdout, "units: user: verify is clean", done.stdout)
    done = run(as_alice(["systemctl", "--user", "start", "fumehood.socket"]))
    ok(done.returncode == 0, "units: user: the socket starts", done.stdout)
    key = key_of("mine", *as_alice([]))
    server = client(key)
    hello = server.run_code("python", "print('hello')")
    ok((hello["stdout"], hello["limits"]) == ("hello\n", "enforced"),
       "units: user: python runs, its limits enforced",
       (hello, journal(f"user@{ALICE.pw_uid}.service")))  # fmt: skip
    ok(pids_below(USER_GROUP), "units: user: in the user's own service", USER_GROUP)
    bomb = server.run_code("python", MEMORY_BOMB)
    ok(bomb["status"] == "out_of_memory", "units: user: a memory bomb is out_of_memory", bomb)
    run(as_alice(["systemctl", "--user", "stop", *OURS]))
    until(lambda: not pids_below(USER_GROUP))
    ok(not pids_below(USER_GROUP), "units: user: nothing is left of it")


TESTS = (tests_start, tests_calls, tests_hardening, tests_stop, tests_public, tests_user)
