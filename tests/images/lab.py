"""Images for the tests: a site (binary, state folder, user), small wheels made here, and the digest anew.

Small packages come from a folder of wheels by PIP_NO_INDEX and PIP_FIND_LINKS, so that what is tested is our
command and not a registry; the large ones come from PyPI, in test_data_job.py and test_real_packages.py.
"""
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zipfile

import mcp

USERS = [None, 4242] if os.getuid() == 0 else [None]


class Site:
    """A state folder of its own; as uid, with copies of binary and bwrap that it may run."""

    def __init__(self, uid=None):
        self.uid = uid
        self.dir = tempfile.mkdtemp(prefix="fumehood-images-")
        self.state = os.path.join(self.dir, "home", "state")
        self.wheels = os.path.join(self.dir, "wheels")
        self.binary = mcp.BINARY
        os.mkdir(self.wheels)
        os.mkdir(os.path.join(self.dir, "home"), 0o700)
        if uid is not None:
            self._lend()
        for path in (self.dir, self.wheels):
            os.chmod(path, 0o755)
        self.env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels, "PIP_CONFIG_FILE": os.devnull,
                    "HOME": os.path.join(self.dir, "home")}

    def _lend(self):
        self.binary = os.path.join(self.dir, "fumehood")
        shutil.copy(mcp.BINARY, self.binary)
        if mcp.bwrap_of() != "/usr/bin/bwrap":
            at = os.path.join(self.dir, "deps", "bin")
            os.makedirs(at)
            shutil.copy(mcp.bwrap_of(), at)
            for path in (os.path.dirname(at), at):
                os.chmod(path, 0o755)
        os.chmod(self.binary, 0o755)
        os.chown(os.path.join(self.dir, "home"), self.uid, self.uid)

    def popen(self, *words, env=None, **more):
        user = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        return subprocess.Popen([self.binary, words[0], "--state", self.state, *words[1:]], cwd=self.dir, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, **self.env, **(env or {})}, **user, **more)

    def __call__(self, *words, code=0, env=None):
        with self.popen(*words, env=env) as proc:
            out, err = proc.communicate(timeout=600)
        assert proc.returncode == code, (words, proc.returncode, out, err)
        return subprocess.CompletedProcess(words, proc.returncode, out, err)

    def create(self, name="small", packages="small", **more):
        return self("image", "create", name, "--python", packages, **more)

    def images(self):
        return [json.loads(line) for line in self("image", "list", "--json").stdout.splitlines()]

    def folder(self, name="small"):
        return os.path.join(self.state, "images", name)

    def server(self, image="small"):
        made = mcp.Server(argv=["stdio", "--state", self.state, "--image", image], uid=self.uid,
                          binary=self.binary)
        return made

    def program(self, text, name="program.py"):
        """Its path."""
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def python(self, text, image="small", **how):
        """stdout of a program in a sandbox with that image."""
        return self.python_done(text, image, **how).stdout

    def python_done(self, text, image="small", **how):
        return self("run", "--image", image, "--timeout-ms", "60000", self.program(text), **how)

    def refused(self):
        """What a program's start with the image is refused with."""
        return self.python_done("", code=2).stderr

    def copy(self, other):
        """The state folder of another site of the same user."""
        subprocess.run(["cp", "-a", other.state, self.state], check=True)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- what is installed

    def wheel(self, name, files, version="1.0"):
        """A wheel of `files` {path: text}; only pip looks at it, so RECORD may be empty."""
        info = f"{name}-{version}.dist-info"
        path = os.path.join(self.wheels, f"{name}-{version}-py3-none-any.whl")
        with zipfile.ZipFile(path, "w") as archive:
            for at, text in {**files,
                             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
                             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
                                              "Tag: py3-none-any\n",
                             f"{info}/RECORD": ""}.items():
                archive.writestr(at, text)
        os.chmod(path, 0o644)
        return path

    def source(self, name, setup, version="1.0"):
        """A source package, whose setup.py would be run to build it."""
        path = os.path.join(self.wheels, f"{name}-{version}.tar.gz")
        with tarfile.open(path, "w:gz") as archive:
            for at, text in (("setup.py", setup), ("PKG-INFO", f"Metadata-Version: 1.0\nName: {name}\n"
                                                               f"Version: {version}\n")):
                member = tarfile.TarInfo(f"{name}-{version}/{at}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        os.chmod(path, 0o644)
        return path


# --- the digest, by its description in mcp/image_tree.h ---------------------------------------------

def walk(folder, at=b""):
    for name in sorted(os.listdir(os.path.join(folder, at))):
        if not at and name == b"image.json":
            continue
        path = os.path.join(at, name) if at else name
        yield path
        full = os.path.join(folder, path)
        if os.path.isdir(full) and not os.path.islink(full):
            yield from walk(folder, path)


def digest(folder):
    total, entries, size = hashlib.sha256(), 0, 0
    folder = os.fsencode(folder)
    for path in walk(folder):
        full = os.path.join(folder, path)
        about = os.lstat(full)
        mode = b"%04o" % stat.S_IMODE(about.st_mode)
        entries += 1
        if stat.S_ISLNK(about.st_mode):
            total.update(b"l " + path + b"\0" + os.readlink(full) + b"\0")
        elif stat.S_ISDIR(about.st_mode):
            total.update(b"d " + mode + b" " + path + b"\0")
        else:
            with open(full, "rb") as file:
                content = file.read()
            size += len(content)
            total.update(b"f %s %d %s %s\0" % (mode, len(content),
                                              hashlib.sha256(content).hexdigest().encode(), path))
    return total.hexdigest(), entries, size


def sign(folder):
    """The operator's own change: a manifest that fits what is there now."""
    path = os.path.join(folder, "image.json")
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    manifest["sha256"], manifest["entries"], manifest["bytes"] = digest(folder)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file)
