"""What the tests in the guest share: TAP, control groups seen from outside, starting programs."""
import os
import pwd
import re
import subprocess
import time
from pathlib import Path

PAYLOAD = Path(__file__).resolve().parents[2]
FUMEHOOD = PAYLOAD / "build/fumehood"
CGROUP = Path("/sys/fs/cgroup")
ALICE = pwd.getpwnam("alice")
ANSWER_S = 60  # software emulation on a busy machine is slow; a hang is still a failure
SETTLE_S = 10

count = 0


def say(text):
    print(text, flush=True)


def ok(good, text, why=""):
    global count
    count += 1
    say(f"{'' if good else 'not '}ok {count} - {text}")
    if not good:
        for line in str(why).splitlines()[:12]:
            say(f"#   {line}")
    return bool(good)


def plan():
    say(f"1..{count}")


def until(condition, seconds=SETTLE_S):
    """Polls a condition of another process; its last value, true or not."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


# --- control groups, seen from outside ------------------------------------------------------------


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def pids_below(group):
    """Every process in the group and below, right now."""
    found = []
    for folder, _, _ in os.walk(group):
        found += [int(pid) for pid in read(f"{folder}/cgroup.procs").split()]
    return found


def groups_below(group):
    return sorted(
        str(Path(folder, name).relative_to(group))
        for folder, names, _ in os.walk(group)
        for name in names
    )


def event(group, file, key):
    match = re.search(rf"^{key} (\d+)$", read(group / file), re.M)
    return int(match[1]) if match else 0


def command_of(pid):
    return read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def describe(pids):
    return "\n".join(f"{pid} {read(f'/proc/{pid}/stat')[:60]} {command_of(pid)}" for pid in pids)


# --- starting programs ----------------------------------------------------------------------------


def as_alice(argv):
    """argv with alice's identity and a minimal environment, outside any session of hers."""
    return [
        "setpriv", "--reuid", "alice", "--regid", "alice", "--init-groups", "env", "-i",
        "PATH=/usr/bin:/bin", f"HOME={ALICE.pw_dir}", "USER=alice", "LANG=C.UTF-8",
        f"XDG_RUNTIME_DIR=/run/user/{ALICE.pw_uid}",
    ] + argv  # fmt: skip


def run(argv, seconds=ANSWER_S, **more):
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=seconds, **more,
    )  # fmt: skip
