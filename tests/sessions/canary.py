"""Looks for a secret everywhere it could have been left: files, tmpfs of sandboxes, databases, memory.

    canary = Canary(server_pid, [state_folder])
    session.good(canary.plant("python"))      # computed in there: it never travels
    assert canary.places()                    # the control: it is found as long as it is there
    ...
    assert canary.places() == []

It is searched for raw and in hex, in names as well as in contents (it has no file below /workspace that is named
so: a call tells its caller those names). Only files changed since the canary was made are read: it cannot be
in others. All this takes root.
"""
import hashlib
import os
import secrets
import stat
import subprocess
import time

import callers

FOLDERS = ["/tmp", "/var/tmp", "/dev/shm", "/run"]
IN_SANDBOX = ["workspace", "tmp", "dev/shm", "run", "var/tmp", "home"]
PIECE = 1 << 20

PLANT = {
    "python": """
import hashlib, os
canary = hashlib.sha256(bytes.fromhex('{seed}')).digest()
for place in ('/workspace/kept', '/tmp/d/' + canary.hex(), '/tmp/kept', '/dev/shm/kept'):
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, 'wb') as file:
        file.write(canary)
os.environ['CANARY'] = canary.hex()
secret_fd = os.memfd_create('secret')
os.write(secret_fd, canary);
""",
    "javascript": """
var canary = require('crypto').createHash('sha256').update(Buffer.from('{seed}', 'hex')).digest();
require('fs').writeFileSync('/workspace/kept.js', canary);
require('fs').writeFileSync('/tmp/kept.js', canary.toString('hex'));
""",
    "bash": """
canary=$(printf '%b' "$(sed 's/../\\\\x&/g' <<<{seed})" | sha256sum | cut -d' ' -f1)
printf %s "$canary" >/workspace/kept.sh
""",
}


class Canary:
    def __init__(self, server_pid, folders=()):
        self.server_pid, self.folders = server_pid, list(folders) + FOLDERS
        self.seed = secrets.token_bytes(32)
        self.raw = hashlib.sha256(self.seed).digest()
        self.forms = (self.raw, self.raw.hex().encode())
        self.since = time.time() - 1
        self.ours = os.readlink("/proc/self/ns/mnt")
        with open("/proc/self/mountinfo") as file:
            self.devices = {tuple(map(int, line.split()[2].split(":"))) for line in file}

    def plant(self, language):
        return PLANT[language].replace("{seed}", self.seed.hex())

    def there(self, data):
        return any(form in data for form in self.forms)

    # -- files

    def in_file(self, path):
        """Whether it is in that file; whatever else is there is left alone."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return False
        with open(fd, "rb", buffering=0) as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return False
            before = b""
            try:
                while piece := file.read(PIECE):
                    if self.there(before + piece):
                        return True
                    before = piece[-128:]
            except OSError:             # of the kernel's own file systems
                pass
        return False

    def in_tree(self, top, since=0):
        """Paths below top that hold it, or are named so. find(1): what is there may be much."""
        command = ["find", top, "-mindepth", "1", "-newerct", f"@{since}", "-printf", "%y %p\\0"]
        listed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        found = []
        for line in listed.stdout.split(b"\0")[:-1]:
            kind, path = line.split(b" ", 1)
            if self.there(os.path.basename(path)) or kind == b"f" and self.in_file(path):
                found.append(os.fsdecode(path))
        return found

    # -- processes

    def mounts(self):
        """mount namespace -> a process in it, of all that are not ours."""
        found = {}
        for word in os.listdir("/proc"):
            if word.isdigit():
                try:
                    found.setdefault(os.readlink(f"/proc/{word}/ns/mnt"), int(word))
                except OSError:
                    pass
        found.pop(self.ours, None)
        return found

    def in_mounts(self):
        found = []
        for pid in self.mounts().values():
            for place in IN_SANDBOX:
                here = self.in_tree(f"/proc/{pid}/root/{place}/")
                found += ["mount " + path.split("/root/", 1)[1].replace("//", "/") for path in here]
        return found

    def in_memory(self, pid):
        """In what it can write to: a secret does not get into what is mapped from a program."""
        try:
            with open(f"/proc/{pid}/maps") as file:
                maps = [line.split() for line in file]
            memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
        except OSError:
            return False
        with memory:
            for line in maps:
                start, end = (int(word, 16) for word in line[0].split("-"))
                if "r" not in line[1] or "w" not in line[1]:
                    continue
                before = b""
                while start < end:
                    try:
                        memory.seek(start)
                        piece = memory.read(min(PIECE, end - start))
                    except (OSError, ValueError):
                        piece = b""
                    if not piece:
                        break
                    if self.there(before + piece):
                        return True
                    before, start = piece[-128:], start + len(piece)
        return False

    def in_descriptors(self, pid):
        """Files that have no name any more."""
        try:
            links = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            return False
        for fd in links:
            path = f"/proc/{pid}/fd/{fd}"
            try:
                what = os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(what.st_mode) and self.in_file(path):
                return True
            # of what is mounted here, the folders are looked through by themselves
            foreign = (os.major(what.st_dev), os.minor(what.st_dev)) not in self.devices
            if stat.S_ISDIR(what.st_mode) and foreign and self.in_tree(path + "/"):
                return True
        return False

    def in_processes(self, pids):
        found = []
        for pid, name in pids.items():
            if self.in_memory(pid):
                found.append(f"memory of {name}")
            if self.in_descriptors(pid):
                found.append(f"descriptors of {name}")
        return found

    # -- all of it

    def places(self, server_pid=None):
        """Where it is: in the server that is given, and everywhere else."""
        server_pid = server_pid or self.server_pid
        found = []
        if os.path.exists(f"/proc/{server_pid}"):
            found += self.in_processes({pid: name for name, pid in callers.roles(server_pid).items()})
            found += self.in_processes(callers.inside(server_pid))
        for folder in self.folders:
            found += self.in_tree(folder, self.since)
        found += self.in_mounts()
        return sorted(set(found))
