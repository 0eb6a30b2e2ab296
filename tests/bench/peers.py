"""Other people's sandboxes, as far as they are installed: in PATH, or by `make bench-peers` in build/peers.

Each is told what comes closest to the others: /usr to read, nothing to write but temporary folders, no
network. Where it cannot say one of these, it is spared the work, and so is faster for it. What runs as
an ordinary user runs as the same one as plain bwrap does.
"""
import glob
import json
import os
import shlex
import shutil
import subprocess

import programs
from spawner import UID, Spawner, Wrong

ROOTFS_FOLDERS = ("usr", "proc", "dev", "sys", "etc", "tmp", "run", "workspace")
ROOTFS_LINKS = ("bin", "sbin", "lib", "lib64")
NOTES = (
    "crun: all namespaces, one uid, no capability, no cgroup, /usr bound read-only, two tmpfs; podman: as root "
    "(else rootless) on crun, no network, no capability, its default seccomp filter, cgroups; both are not shown a "
    "cgroup v2 that lies beside v1, with which crun does not start; sandbox-runtime, codex: "
    "as they come, no network, nothing else written; deno run: no permission, its own JavaScript engine, "
    "no namespace",
)


class Absent(Exception):
    """It is not installed."""


class Peer:
    """One of them, for one language at a time."""

    name, languages = "", ("python", "javascript")

    def __init__(self, b, home):
        self.b, self.home = b, home
        self.env = {**programs.ENV, "HOME": home, "TMPDIR": f"{b.dir}/peers/tmp",
                    "XDG_RUNTIME_DIR": home, "PATH": f"{b.dir}/peers/bin:/usr/bin:/bin"}
        self.spawner = b.spawner
        self.version = self.look()

    def look(self):
        """-> its version; raises Absent"""
        raise NotImplementedError

    def argv(self, command, nonce):
        """What runs the command; files for it are written before the clock runs."""
        raise NotImplementedError

    def run(self, language, nonce):
        text = programs.code(language, nonce)
        argv = self.argv(programs.bare(self.b.paths[language], language, text), nonce)
        return self.spawner.ask("once", argv=argv, env=self.env, cwd=self.home, nonce=nonce)

    def clean(self):
        pass


def in_path(name):
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin") \
        or shutil.which(name)
    if not found:
        raise Absent("not in PATH")
    return found


def version(*command):
    """The first word with a digit of what it says."""
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    return next((word for word in said.split() if word[0].isdigit()), "?")


def readable(b, path, name):
    """path, or a copy of it where the bench's user may reach it."""
    if not b.root:
        return path
    copy = os.path.join(b.dir, "peers", name)
    if os.path.isdir(path):
        shutil.copytree(path, copy, symlinks=True)
    else:
        shutil.copy(path, copy)
    return copy


def installed(pattern, name):
    """One that `make bench-peers` has installed, before one in PATH."""
    found = glob.glob(os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "build", "peers", "node_modules", pattern))
    return found[0] if found else in_path(name)


def rootfs(b):
    """An empty root, for /usr to be bound into."""
    top = os.path.join(b.dir, "peers", "rootfs")
    if not os.path.isdir(top):
        for name in ROOTFS_FOLDERS:
            os.makedirs(os.path.join(top, name))
        for name in ROOTFS_LINKS:
            os.symlink(f"usr/{name}", os.path.join(top, name))
    return top


class Crun(Peer):
    name = "crun"

    def look(self):
        self.path = in_path("crun")
        if self.b.root:
            self.spawner = self.b.spawners["cgroup1"]
        uid = UID if self.b.root else os.geteuid()
        gid = UID if self.b.root else os.getegid()
        kinds = ("user", "pid", "mount", "network", "ipc", "uts", "cgroup")

        def mount(where, kind, *options):
            return {"destination": where, "type": kind, "source": where if kind == "bind" else kind,
                    "options": list(options)}

        def only(inside, outside):
            return [{"containerID": inside, "hostID": outside, "size": 1}]

        self.config = {
            "ociVersion": "1.0.0",
            "process": {"terminal": False, "user": {"uid": 1000, "gid": 1000}, "cwd": "/workspace",
                        "env": [f"{k}={v}" for k, v in programs.ENV.items()], "noNewPrivileges": True},
            "root": {"path": rootfs(self.b), "readonly": True},
            "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs", "nosuid", "size=65536k"),
                       mount("/usr", "bind", "rbind", "ro"),
                       mount("/tmp", "tmpfs", "nosuid", "nodev", "size=33554432"),
                       mount("/workspace", "tmpfs", "nosuid", "nodev", "size=67108864")],
            "linux": {"namespaces": [{"type": kind} for kind in kinds],
                      "uidMappings": only(1000, uid), "gidMappings": only(1000, gid)}}
        return version(self.path, "--version")

    def argv(self, command, nonce):
        bundle = os.path.join(self.b.dir, "peers", "bundle")
        os.makedirs(bundle, exist_ok=True)
        self.config["process"]["args"] = command
        with open(os.path.join(bundle, "config.json"), "w") as f:
            json.dump(self.config, f)
        return [self.path, "--cgroup-manager=disabled", "--root", f"{self.home}/crun", "run", "-b", bundle,
                f"fumehood-bench-{os.getpid()}-{nonce}"]


class Podman(Peer):
    name = "podman"

    def look(self):
        self.path, self.group = in_path("podman"), f"fumehood-bench-{os.getpid()}"
        if self.b.root:
            self.spawner = self.b.spawners["root"]
        return version(self.path, "--version")

    def storage(self):
        return ["--root", f"{self.home}/root", "--runroot", f"{self.home}/run", "--storage-driver", "vfs",
                "--cgroup-manager", "cgroupfs", *(["--runtime", "crun"] if shutil.which("crun") else [])]

    def argv(self, command, nonce):
        return [self.path, *self.storage(), "run", "--rm", "--network", "none", "--read-only", "--cap-drop",
                "all", "--security-opt", "no-new-privileges", "--ulimit", "nofile=1024:1024", "--ulimit",
                "nproc=1024:1024", "--log-driver", "none", "--cgroup-parent", f"/{self.group}",
                "-v", "/usr:/usr:ro", "--rootfs", rootfs(self.b), *command]

    def clean(self):
        for top, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if self.group in top.split("/"):
                os.rmdir(top)


class SandboxRuntime(Peer):
    name = "sandbox-runtime"

    def look(self):
        package = installed("@anthropic-ai/sandbox-runtime/package.json", "srt")
        if not package.endswith("package.json"):
            package = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(package))), "package.json")
        with open(package) as f:
            about = json.load(f)
        node = os.environ.get("BENCH_NODE") or in_path("node")
        for tool in ("socat", "rg"):
            in_path(tool)
        tree = package[:package.rindex("node_modules") + len("node_modules")]
        here = os.path.join(readable_tree(self.b, tree), os.path.relpath(os.path.dirname(package), tree))
        settings = os.path.join(self.b.dir, "peers", "srt.json")
        with open(settings, "w") as f:
            json.dump({"network": {"allowedDomains": [], "deniedDomains": []},
                       "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []}}, f)
        self.command = [readable(self.b, node, "node"), os.path.join(here, "dist/cli.js"), "-s", settings]
        return about["version"]

    def argv(self, command, nonce):
        return [*self.command, "-c", shlex.join(command)]


def readable_tree(b, tree):
    """Without the packages that are programs of their own, and large."""
    if not b.root:
        return tree
    copy = os.path.join(b.dir, "peers", "node_modules")
    shutil.copytree(tree, copy, symlinks=True, ignore=lambda top, names: [
        name for name in names if top == tree and name in ("@openai", "@deno", "deno", ".bin")])
    return copy


class Codex(Peer):
    name = "codex sandbox"

    def look(self):
        path = installed("@openai/codex-linux-*/vendor/*/bin/codex", "codex")
        self.path = readable(self.b, path, "codex")
        return version(self.path, "--version")

    def argv(self, command, nonce):
        return [self.path, "sandbox", "--", *command]


class Deno(Peer):
    name, languages = "deno run", ("javascript",)

    def look(self):
        self.path = readable(self.b, installed("@deno/linux-*/deno", "deno"), "deno")
        return version(self.path, "--version")

    def argv(self, command, nonce):
        return [self.path, "run", f"data:application/javascript,{command[-1]}"]


ALL = (Crun, Podman, SandboxRuntime, Codex, Deno)


def find(b, languages):
    """-> (those that run here, [{name, why}] of those that do not)"""
    top = os.path.join(b.dir, "peers")
    for name in ("", "tmp", "bin"):
        os.makedirs(os.path.join(top, name), exist_ok=True)
    os.chmod(os.path.join(top, "tmp"), 0o1777)
    shutil.copy(b.bwrap, os.path.join(top, "bin", "bwrap"))
    found, absent = [], []
    for kind in ALL:
        home = os.path.join(top, kind.name.replace(" ", "-") + "-home")
        os.mkdir(home)
        if b.root:
            os.chown(home, UID, UID)    # root may write there as well
        try:
            peer = kind(b, home)
            for language in set(peer.languages) & set(languages):
                peer.run(language, b.next())
            found.append(peer)
        except Absent as why:
            absent.append({"name": kind.name, "why": str(why)})
        except (Wrong, OSError, subprocess.SubprocessError) as why:
            absent.append({"name": kind.name, "why": f"is there, but does not run here: {str(why)[-300:]}"})
    return found, absent


def make_spawners(b, paths):
    """Before any thread; those for peers are needed as root only."""
    b.spawner = Spawner(b.bwrap, paths)
    if b.root:
        b.spawners = {"cgroup1": Spawner(b.bwrap, paths, cgroup1=True),
                      "root": Spawner(b.bwrap, paths, as_root=True, cgroup1=True)}
