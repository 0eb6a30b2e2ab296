"""The attack program, the servers it is sent to, and the places outside where it must succeed."""
import base64
import functools
import glob
import json
import os
import pty
import queue
import secrets
import shutil
import socket
import subprocess
import tempfile
import termios
import fcntl
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BINARY = os.environ.get("FUMEHOOD", os.path.join(ROOT, "build", "fumehood"))
USER = 4242  # an ordinary user that owns nothing on any host
IS_ROOT = os.geteuid() == 0
AS_USER = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"] if IS_ROOT else []
GROUPS = ["F-", "PR-", "N-", "S-", "K-", "T-", "X-", "D-"]


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


class Server:
    """One `fumehood stdio`, spoken to in lines of JSON. Every line it ever wrote is kept raw."""

    def __init__(self, as_user, *extra):
        self.dir = tempfile.mkdtemp(prefix="escape-")
        self.as_user = as_user and IS_ROOT
        argv, env = [BINARY], dict(os.environ, FUMEHOOD_LOG_LEVEL="info")
        if self.as_user:
            os.chmod(self.dir, 0o755)
            home = os.path.join(self.dir, "home")
            os.mkdir(home, 0o700)
            os.chown(home, USER, USER)
            argv = AS_USER + [self._copy_of_binary()]
            env.update(HOME=home, XDG_STATE_HOME=home, XDG_RUNTIME_DIR=home, TMPDIR="/tmp")
            state = os.path.join(home, "state")
        else:
            state = os.path.join(self.dir, "state")
        self.raw, self.lock = [], threading.Lock()
        self.reading = threading.Event()  # cleared: the client does not read
        self.reading.set()
        self.waiting, self.next_id = {}, 1
        self.err = open(os.path.join(self.dir, "stderr"), "w+b")
        self.proc = subprocess.Popen(argv + ["stdio", "--state", state, *extra],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=self.err, env=env, cwd="/")
        threading.Thread(target=self._read, daemon=True).start()
        self.request("initialize", {"protocolVersion": "2025-06-18", "capabilities": {},
                                    "clientInfo": {"name": "escape", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _copy_of_binary(self):
        copy = os.path.join(self.dir, "fumehood")
        shutil.copyfile(BINARY, copy)
        os.chmod(copy, 0o755)
        beside = os.path.join(os.path.dirname(BINARY), "bwrap")
        if os.path.exists(beside):
            shutil.copyfile(beside, os.path.join(self.dir, "bwrap"))
            os.chmod(os.path.join(self.dir, "bwrap"), 0o755)
        return copy

    def _read(self):
        for line in self.proc.stdout:
            self.reading.wait()
            with self.lock:
                self.raw.append(line)
            try:
                message = json.loads(line)
            except ValueError:
                continue
            box = self.waiting.get(message.get("id")) if "method" not in message else None
            if box:
                box.put(message)
        for box in list(self.waiting.values()):
            box.put(None)

    def send(self, message):
        with self.lock:
            self.proc.stdin.write(json.dumps(message).encode() + b"\n")
            self.proc.stdin.flush()

    def start(self, method, params):
        """Sends a request and returns the queue its answer will come to."""
        with self.lock:
            number, self.next_id = self.next_id, self.next_id + 1
        box = self.waiting[number] = queue.Queue()
        box.number = number
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return box

    def request(self, method, params, timeout=120):
        message = self.start(method, params).get(timeout=timeout)
        assert message is not None, f"the server went away: {self.log()[-2000:]}"
        return message

    def tool(self, tool, timeout=120, **arguments):
        """The result of a tool call, as the protocol has it."""
        message = self.request("tools/call", {"name": tool, "arguments": arguments}, timeout)
        assert "result" in message, message
        return message["result"]

    def run(self, tool, timeout=120, **arguments):
        """The structured result of a run that took place."""
        result = self.tool(tool, timeout, **arguments)
        assert not result.get("isError"), result
        return result["structuredContent"]

    def python(self, code, **arguments):
        return self.run("run_code", language="python", code=code, **arguments)

    def bash(self, code, **arguments):
        return self.run("run_code", language="bash", code=code, **arguments)

    def in_background(self, tool, **arguments):
        """Starts a run; the queue its answer will come to."""
        return self.start("tools/call", {"name": tool, "arguments": arguments})

    def log(self):
        self.err.flush()
        with open(self.err.name, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def lines(self):
        with self.lock:
            return list(self.raw)

    def roles(self):
        """Pids of the server's own processes: everything below it outside a sandbox."""
        mine = os.readlink("/proc/self/ns/pid")
        found, todo = [], [self.proc.pid]
        while todo:
            pid = todo.pop()
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == mine:
                    found.append(pid)
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                    todo += [int(p) for p in f.read().split()]
            except OSError:
                continue
        return found

    def memory_kib(self):
        """Resident memory of each of the server's roles."""
        sizes = {}
        for pid in self.roles():
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
                    for line in f:
                        if line.startswith("VmRSS:"):
                            sizes[pid] = int(line.split()[1])
            except OSError:
                continue
        return sizes

    def close(self):
        try:
            self.proc.stdin.close()
        except OSError:
            pass
        code = self.proc.wait(timeout=10)
        self.err.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return code


def run_probes(server, names, listeners):
    """Runs the attack program in the server's sandbox: {id: (verdict, detail)}."""
    result = server.run("run_command", argv=["./probe", *names], timeout_ms=60000,
                        env=listeners.env,
                        files=[{"path": "probe", "content": probe_base64(), "encoding": "base64"}])
    assert result["status"] == "exited" and result.get("exit_code") == 0, result
    assert not result["stdout_truncated"], "the report did not fit: ask for fewer attacks"
    return parse(result["stdout"])


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
        return AS_USER + ["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink",
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
    """Pids of all processes on the host that carry the mark in their environment."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as f:
                if mark.encode() in f.read():
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
