"""The attack program, the servers it is sent to, and the places outside where it must succeed."""
import atexit
import base64
import functools
import glob
import fcntl
import json
import os
import pty
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import mcp  # noqa: E402

BINARY = mcp.BINARY
USER = 4242  # an ordinary user that owns nothing on any host
IS_ROOT = os.geteuid() == 0
AS_USER = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"] if IS_ROOT else []
GROUPS = ["F-", "PR-", "N-", "S-", "K-", "T-", "X-", "D-"]


@functools.cache
def bwrap():
    """fumehood's own bubblewrap, where an ordinary user may run it: for the controls."""
    place = tempfile.mkdtemp(prefix="escape-bwrap-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    os.chmod(place, 0o755)
    copy = shutil.copy(mcp.bwrap_of(), os.path.join(place, "bwrap"))
    os.chmod(copy, 0o755)
    return copy


@functools.cache
def probe_program():
    """Builds the attack program, static, and returns its path."""
    out = os.path.join(ROOT, "build", "escape", "probe")
    sources = sorted(glob.glob(os.path.join(HERE, "probes", "*.c")))
    inputs = sources + glob.glob(os.path.join(HERE, "probes", "*.h"))
    if not os.path.exists(out) or os.path.getmtime(out) < max(map(os.path.getmtime, inputs)):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(out), delete=False) as new:
            pass
        subprocess.run(
            [os.environ.get("CC", "cc"), "-std=c17", "-D_GNU_SOURCE", "-I" + ROOT, "-include",
             "sandbox/base/banned.h", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s", "-o",
             new.name] + sources, check=True, cwd=ROOT)
        os.chmod(new.name, 0o755)
        os.rename(new.name, out)
    return out


@functools.cache
def probe_ids():
    return subprocess.run([probe_program(), "list"], check=True, capture_output=True,
                          text=True).stdout.split()


@functools.cache
def probe_base64():
    with open(probe_program(), "rb") as f:
        return base64.b64encode(f.read()).decode()


def parse(text):
    """{id: (verdict, detail)} of the program's output."""
    found = {}
    for line in text.splitlines():
        parts = line.split(" ", 2)
        if len(parts) >= 2 and parts[1] in ("open", "blocked", "unknown"):
            found[parts[0]] = (parts[1], parts[2] if len(parts) > 2 else "")
    return found


# --- servers -----------------------------------------------------------------------------------


class Server(mcp.Server):
    """One `fumehood stdio`, started by root or (as_user) by an ordinary user."""

    def __init__(self, as_user, *options):
        self.as_user = as_user
        super().__init__(uid=USER if as_user and IS_ROOT else None, options=options)
        self.initialize()
        self.tools()

    def run(self, tool, **arguments):
        """The structured result of a run that took place."""
        return self.call(tool, arguments, timeout=120)

    def python(self, code, **arguments):
        return self.run("run_code", language="python", code=code, **arguments)

    def bash(self, code, **arguments):
        return self.run("run_code", language="bash", code=code, **arguments)

    def refusal(self, tool, **arguments):
        """Why a call was refused, or None when it was not; whether it ran does not matter."""
        try:
            self.run(tool, **arguments)
        except (mcp.RpcError, mcp.ToolError) as error:
            return error
        return None

    def memory_kib(self):
        """Resident memory of each of the server's roles: its processes that are not bubblewrap's or
        in a sandbox. Of status alone, which may be read of undumpable processes too."""
        sizes, todo = {}, [self.proc.pid]
        while todo:
            pid = todo.pop()
            try:
                status = status_of(pid)
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                    todo += [int(p) for p in f.read().split()]
            except OSError:
                continue
            if len(status["NSpid"].split()) == 1 and status["Name"] != "bwrap" and "VmRSS" in status:
                sizes[pid] = int(status["VmRSS"].split()[0])
        return sizes


# What the environment would do, done by the program: whoever is given one runs in a sandbox of its own.
MARKED = """import ctypes as c, os as o; c.CDLL(None).prctl(15, {name!r}); o.environ.update({env!r}); del c, o
"""
PLAIN = {"language", "code", "env", "timeout_ms"}


class WarmServer(Server):
    """A server each of whose programs in the languages of IN_CELLS has to run in a cell."""

    def __init__(self, as_user, *options):
        super().__init__(as_user, *options)
        self.in_cells, self.have_run_warm = set(), set()

    def has_cells(self, language="python"):
        """There are some when a run before has had them made."""
        def run():
            ident = super(WarmServer, self).start("run_code", {"language": language, "code": "1"})
            return super(WarmServer, self).finish(ident)["path"] == "warm"

        if language in self.have_run_warm or eventually(run, 10):
            self.have_run_warm.add(language)
        return language in self.have_run_warm

    def start(self, tool, arguments=None, **how):
        arguments = dict(arguments or {})
        language = arguments.get("language")
        plain = language in IN_CELLS and set(arguments) <= PLAIN and (language == "python" or "env" not in arguments)
        if plain and "env" in arguments:
            env = arguments.pop("env")
            name = env.get("MARK", "python3").encode()[:15]
            arguments["code"] = MARKED.format(name=name, env=env) + arguments["code"]
        assert not plain or self.has_cells(language), "no cell"
        ident = super().start(tool, arguments, **how)
        if plain:
            self.in_cells.add(ident)
        return ident

    def finish(self, ident, *rest, **how):
        result = super().finish(ident, *rest, **how)
        assert ident not in self.in_cells or result["path"] == "warm", result
        return result


def run_probes(server, names, listeners):
    """Runs the attack program in the server's sandbox: {id: (verdict, detail)}."""
    result = server.run("run_command", argv=["./probe", *names], timeout_ms=60000,
                        env=listeners.env,
                        files=[{"path": "probe", "content": probe_base64(), "encoding": "base64"}])
    return report_of(result)


# The same by an interpreter that waited for the code. Python hands the program all it has; Node has pipes of its own
# (test_cells.py looks for others).
IN_CELLS = {
    "python": """
import base64, json, os, subprocess
env, names, program = json.loads({given!r})
open("probe", "wb").write(base64.b64decode(program))
os.chmod("probe", 0o755)
os.environ.update(env)
for fd in map(int, os.listdir("/proc/self/fd")):
    try: os.set_inheritable(fd, True)
    except OSError: pass
subprocess.run(["./probe", *names], close_fds=False).returncode == 0 or exit(9)
""",
    "javascript": """
const [env, names, program] = JSON.parse({given!r})
require('fs').writeFileSync('probe', Buffer.from(program, 'base64'), {{mode: 0o755}})
if (require('child_process').spawnSync('./probe', names, {{stdio: 'inherit', env: {{...process.env, ...env}}}}).status)
  process.exit(9)
""",
}


def run_probes_in_cell(server, language, names, listeners):
    """As run_probes."""
    given = json.dumps([listeners.env, names, probe_base64()])
    return report_of(server.run("run_code", language=language, code=IN_CELLS[language].format(given=given),
                                timeout_ms=60000))


def report_of(result):
    assert result["status"] == "exited" and result.get("exit_code") == 0, result
    assert not result["stdout_truncated"], "the report did not fit: ask for fewer attacks"
    return parse(result["stdout"])


# --- sessions ----------------------------------------------------------------------------------


class Session:
    """One session of a server. As a context it is closed at the end, unless it has ended."""

    def __init__(self, server, **limits):
        self.server = server
        self.id = server.call("session_create", limits)["session_id"]

    def run(self, code, language="python", **arguments):
        return self.tool("run_code", language=language, code=code, **arguments)

    def program(self, *argv, **arguments):
        """A program of its own beside the interpreters."""
        return self.tool("run_command", argv=list(argv), **arguments)

    def start(self, code, language="python", **arguments):
        return self.server.start("run_code", dict(arguments, language=language, code=code,
                                                  session_id=self.id))

    def tool(self, name, **arguments):
        return self.server.call(name, dict(arguments, session_id=self.id), timeout=120)

    def refusal(self, tool, **arguments):
        return self.server.refusal(tool, session_id=self.id, **arguments)

    def value(self, code, language="python"):
        """The text of the last expression's value."""
        answer = self.run(code, language)
        assert answer.get("exit_code") == 0, answer
        return [o["text"] for o in answer["outputs"] if o["type"] == "result"][-1]

    def lives(self):
        return self.id in {row["session_id"] for row in self.server.call("session_list")["sessions"]}

    def close(self):
        return self.tool("session_close")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None and self.lives():
            self.close()


# How the attack program is started in a session: by each interpreter that stays, which hands it all it can
# (the descriptors to the guest and to the server among that), and as a program of its own.
PLACES = {
    "python": "import os, subprocess\nfor fd in 3, 4: os.set_inheritable(fd, True)\n"
              "subprocess.run(['./probe', *{names}], close_fds=False).returncode == 0 or exit(9)",
    "javascript": "if (require('child_process').spawnSync('./probe', {names}, {{stdio: [0, 1, 2, 3, 4]}})"
                  ".status) process.exit(9)",
    "bash": "./probe {words}",
    "program": None,
}


def run_probes_in(session, place, names, listeners):
    """Runs the attack program there: {id: (verdict, detail)}."""
    if not session.tool("artifact_list", path="")["entries"]:
        session.program("true", files=[{"path": "probe", "content": probe_base64(),
                                        "encoding": "base64"}])
    how = {"timeout_ms": 60000, "env": listeners.env}
    if place == "program":
        return report_of(session.program("./probe", *names, **how))
    code = PLACES[place].format(names=json.dumps(names), words=" ".join(names))
    return report_of(session.run(code, place, **how))


# --- what only the host knows ------------------------------------------------------------------


class Listeners:
    """Sockets of the host that a program inside must not reach."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="escape-host-")
        os.chmod(self.dir, 0o755)
        name = "escape-" + secrets.token_hex(8)
        path = os.path.join(self.dir, "socket")
        self.sockets = [self._listen(socket.AF_UNIX, "\0" + name), self._listen(socket.AF_UNIX, path)]
        os.chmod(path, 0o777)
        tcp = self._listen(socket.AF_INET, ("0.0.0.0", 0))
        self.sockets.append(tcp)
        self.env = {"PROBE_ABSTRACT": name, "PROBE_UNIX": path,
                    "PROBE_TCP": str(tcp.getsockname()[1]), "PROBE_HOST_ADDR": self._address(),
                    "PROBE_HOSTNAME": socket.gethostname()}

    @staticmethod
    def _listen(family, address):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.bind(address)
        s.listen(512)
        return s

    @staticmethod
    def _address():
        """An address of this host that is not loopback; nothing is sent to find it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.connect(("192.0.2.1", 9))
                return s.getsockname()[0]
            except OSError:
                return "127.0.0.2"

    def close(self):
        for s in self.sockets:
            s.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# --- outside: where the attacks must succeed ---------------------------------------------------


class Controls:
    """The same program outside the sandbox, in surroundings that are less and less like it.

    user      an ordinary user, with a terminal, an inherited descriptor and a host file as stdin
    userns    root of a user namespace with all the others; may do anything there, nothing on the host
    bwrap     a plain bubblewrap sandbox, as an ordinary user: what bubblewrap alone leaves open
    root      the host's root: only the attacks in expected.ROOT_MAY"""

    def __init__(self, listeners, root_may):
        self.dir = tempfile.mkdtemp(prefix="escape-outside-")
        self.listeners = listeners
        self.root_may = root_may
        os.chmod(self.dir, 0o755)
        self.probe = os.path.join(self.dir, "probe")
        shutil.copyfile(probe_program(), self.probe)
        os.chmod(self.probe, 0o755)
        if IS_ROOT:
            os.chown(self.dir, USER, USER)
        self.found = {}

    NAMES = ("user", "userns", "bwrap", "root")

    def outcome(self, name, probe_id):
        """(verdict, detail), or None where that control cannot be had."""
        if name == "root" and (not IS_ROOT or probe_id not in self.root_may):
            return None
        if name not in self.found:
            ids = sorted(self.root_may) if name == "root" else ["all"]
            self.found[name] = self._run(getattr(self, "_" + name)(), ids)
        return self.found[name].get(probe_id)

    def _user(self):
        return AS_USER + [self.probe]

    def _userns(self):
        inner = 'echo 0 0 > /proc/sys/net/ipv4/ping_group_range; exec "$@"'
        return AS_USER + ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork",
                          "--net", "--ipc", "--uts", "--cgroup", "--mount-proc",
                          "setpriv", "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin",
                          "sh", "-c", inner, "sh", self.probe]

    def _bwrap(self):
        return AS_USER + [bwrap(), "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink",
                          "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink",
                          "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs",
                          "/tmp", "--dir", "/run", "--bind", self.dir, "/workspace", "--chdir",
                          "/workspace", "./probe"]

    def _root(self):
        return [self.probe]

    def _run(self, argv, ids):
        main, terminal = pty.openpty()
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        try:
            with open(self.probe, "rb") as host_file:
                done = subprocess.run(argv + ids, stdin=host_file, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, pass_fds=[root], cwd=self.dir,
                                      env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                                           **self.listeners.env},
                                      preexec_fn=take_terminal, timeout=120, check=False)
        finally:
            for fd in (main, terminal, root):
                os.close(fd)
        return parse(done.stdout.decode("utf-8", "replace"))

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


# --- what a run leaves behind ------------------------------------------------------------------


def marked(mark):
    """Pids of all processes on the host that carry the mark in their environment, or its beginning as their name."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as f, open(path.replace("environ", "comm"), encoding="utf-8", errors="replace") as comm:
                if mark.encode() in f.read() or comm.read() == mark[:15] + "\n":
                    found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


def status_of(pid):
    """The fields of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def cgroups_of(server):
    """Cgroup folders that carry the server's name, with how many processes each holds."""
    return {path: len(open(os.path.join(path, "cgroup.procs"), encoding="ascii").read().split())
            for path in glob.glob(f"/sys/fs/cgroup/**/fumehood-*-{server.proc.pid}-*", recursive=True)
            if os.path.exists(os.path.join(path, "cgroup.procs"))}


def children_of(pid, state="Z"):
    """Descendants of a process in the given state."""
    found, todo = [], [pid]
    while todo:
        at = todo.pop()
        try:
            with open(f"/proc/{at}/task/{at}/children", encoding="ascii") as f:
                below = [int(p) for p in f.read().split()]
        except OSError:
            continue
        for child in below:
            try:
                with open(f"/proc/{child}/stat", encoding="utf-8", errors="replace") as f:
                    if f.read().rpartition(")")[2].split()[0] == state:
                        found.append(child)
            except OSError:
                continue
        todo += below
    return found


def eventually(condition, seconds=3.0):
    """True as soon as the condition holds; False when it did not within the time given."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())
