"""examples/container, without a container engine: the Containerfile read, and fumehood run under its
seccomp profile."""
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from mcp import BINARY, ROOT, bwrap_of
from unit_file import unit_file

CONTAINER = Path(ROOT, "examples", "container")
UID = 4242


def instructions():
    """(instruction, its arguments as one line), in order."""
    text = (CONTAINER / "Containerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_containerfile_copies_only_what_is_there():
    stages = [rest.split()[2] for word, rest in instructions() if word == "FROM" and
              " AS " in rest]
    assert stages
    for word, rest in instructions():
        if word != "COPY":
            continue
        words = shlex.split(rest)
        from_stage = [w for w in words if w.startswith("--from=")]
        if from_stage:
            assert from_stage[0].removeprefix("--from=") in stages
            continue
        for source in [w for w in words if not w.startswith("--")][:-1]:
            assert Path(ROOT, source).exists(), source


def test_the_containerfile_is_well_formed_and_ends_as_an_ordinary_user():
    words = [word for word, _ in instructions()]
    assert words[0] == "FROM" and set(words) <= {
        "FROM", "COPY", "RUN", "WORKDIR", "USER", "ENV", "EXPOSE", "VOLUME", "ENTRYPOINT", "CMD",
        "HEALTHCHECK", "STOPSIGNAL", "LABEL"}
    last = max(i for i, word in enumerate(words) if word == "FROM")
    users = [rest for word, rest in instructions()[last:] if word == "USER"]
    assert users and users[-1].split(":")[0] not in ("0", "root")
    for word, rest in instructions():
        if word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)   # no shell between the signal and the server


def test_the_containerfile_builds_by_the_readmes_own_commands():
    run = " ".join(rest for word, rest in instructions() if word == "RUN")
    readme = Path(ROOT, "README.md").read_text()
    for command in ("make deps", "make install"):
        assert command in run and command in readme


def test_a_run_instruction_is_a_script_a_shell_can_read():
    for word, rest in instructions():
        if word == "RUN":
            script = re.sub(r"^(--\S+\s+)+", "", rest)
            subprocess.run(["sh", "-n", "-c", script], check=True)


def test_the_quadlet_and_the_compose_file_give_the_container_what_bubblewrap_needs():
    quadlet = unit_file(CONTAINER / "fumehood.container")["Container"]
    compose = (CONTAINER / "compose.yaml").read_text()
    seccomp = CONTAINER / "seccomp.json"
    assert "seccomp.json" in quadlet["SeccompProfile"] and "seccomp.json" in compose
    assert seccomp.exists()
    # a masked /proc is what bubblewrap cannot mount its own over
    assert quadlet["Unmask"] == "ALL" and "systempaths=unconfined" in compose
    for text in (str(quadlet), compose):
        assert "127.0.0.1:8080:8080" in text and "privileged" not in text.lower()


# --- the seccomp profile --------------------------------------------------------------------------

def profile():
    return json.loads((CONTAINER / "seccomp.json").read_text())


def allowed():
    names = [name for rule in profile()["syscalls"] for name in rule["names"]]
    assert len(set(names)) == len(names)
    return set(names)


def test_the_profile_refuses_what_it_does_not_name():
    made = profile()
    # ENOSYS: C libraries then fall back to older calls
    assert (made["defaultAction"], made["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert all(rule["action"] == "SCMP_ACT_ALLOW" for rule in made["syscalls"])
    assert not allowed() & {
        "add_key", "bpf", "finit_module", "init_module", "io_uring_setup", "kexec_load",
        "keyctl", "open_by_handle_at", "perf_event_open", "ptrace", "reboot", "settimeofday",
        "splice", "userfaultfd", "vmsplice"}


def test_the_profile_allows_whatever_a_sandboxed_program_may_do():
    source = Path(ROOT, "sandbox/launch/seccomp.c").read_text()
    program = re.findall(r'"(\w+)"', re.search(r"allowed\[\] = \{(.*?)\n\};", source, re.S)[1])
    assert len(program) > 200 and not set(program) - allowed()


def numbers():
    """name -> number, of this machine's system calls."""
    text = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          capture_output=True, text=True, check=True).stdout
    return {name: int(n) for name, n in re.findall(r"#define __NR_(\w+) (\d+)$", text, re.M)}


def bpf(names):
    """The profile as the kernel takes it: allow these, else the profile's errno."""
    load, jump, give = 0x20, 0x15, 0x06     # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, errno = 0x7FFF0000, 0x00050000
    code = [struct.pack("<HBBI", load, 0, 0, 0)]
    known = numbers()
    for number in sorted(known[name] for name in names if name in known):
        code.append(struct.pack("<HBBI", jump, 0, 1, number))
        code.append(struct.pack("<HBBI", give, 0, 0, allow))
    code.append(struct.pack("<HBBI", give, 0, 0, errno | profile()["defaultErrnoRet"]))
    return b"".join(code)


def contained(names, tmp_path, program):
    """`fumehood run` in the namespaces and under the filter that a container would have."""
    fumehood, bwrap = tmp_path / "fumehood", tmp_path / "deps/bin/bwrap"
    bwrap.parent.mkdir(parents=True)
    for source, copy in ((BINARY, fumehood), (bwrap_of(), bwrap)):
        shutil.copyfile(source, copy)
        copy.chmod(0o755)
    (tmp_path / "filter").write_bytes(bpf(names))
    (tmp_path / "program.py").write_text(program)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, UID, UID)
    argv = [str(bwrap), "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-uts",
            "--unshare-ipc", "--dev-bind", "/", "/", "--proc", "/proc", "--bind", str(tmp_path),
            str(tmp_path), "--seccomp", "3", "--", str(fumehood), "--state",
            str(tmp_path / "state"), "run", str(tmp_path / "program.py")]
    if os.geteuid() == 0:
        argv = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *argv]
    return subprocess.run(["sh", "-c", 'exec "$@" 3<"$0"', tmp_path / "filter", *argv],
                          capture_output=True, text=True, timeout=60, check=False,
                          cwd=tmp_path)


@pytest.fixture
def folder():
    """One that an ordinary user can reach, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="container-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_fumehood_runs_under_the_profile(folder):
    done = contained(allowed(), folder, "import subprocess as s\n"
                     "print(6*7, s.run(['echo', 'sub'], capture_output=True).stdout)\n")
    assert (done.returncode, done.stdout) == (0, "42 b'sub\\n'\n"), done.stderr


@pytest.mark.parametrize("name", ["mount", "pivot_root", "setns", "sethostname"])
def test_it_would_not_without_what_makes_a_sandbox(name, folder):
    done = contained(allowed() - {name}, folder, "print(6*7)\n")
    assert done.returncode == 125 and not done.stdout, done
