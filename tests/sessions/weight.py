"""How much memory each process of a server takes while something goes on.

    with Weight(server_pid) as weight:
        ...                                     # a flood
    weight.check()                              # no role has grown by more than its bound

Measured is PSS, where it can be read, else the resident set, every few milliseconds from a thread.
"""
import threading
import time

import callers

BOUND_BYTES = 64 << 20
OURS_INSIDE = ("guest", "room", "porter")       # code of the server in a sandbox
PAUSE_S = 0.03


def bytes_of(pid):
    for path, name in ((f"/proc/{pid}/smaps_rollup", "Pss:"), (f"/proc/{pid}/status", "VmRSS:")):
        try:
            with open(path) as file:
                for line in file:
                    if line.startswith(name):
                        return int(line.split()[1]) << 10
        except OSError:
            pass
    return 0


class Weight:
    def __init__(self, server_pid, bound_bytes=BOUND_BYTES):
        self.server_pid, self.bound_bytes = server_pid, bound_bytes
        self.idle, self.most, self.samples = {}, {}, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _look(self):
        found = {}
        for name, pid in callers.roles(self.server_pid).items():
            found[name] = bytes_of(pid)
        for pid, name in callers.inside(self.server_pid).items():
            if name in OURS_INSIDE:
                found[name] = max(found.get(name, 0), bytes_of(pid))
        return found

    def _sample(self):
        for name, size in self._look().items():
            self.most[name] = max(self.most.get(name, 0), size)
        self.samples += 1

    def _watch(self):
        while not self.stop.is_set():
            self._sample()
            time.sleep(PAUSE_S)

    def __enter__(self):
        self.idle = self._look()
        assert {"front", "keeper", "ledger", "launcher", "guest"} <= set(self.idle), self.idle
        assert all(self.idle.values()), self.idle
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self._sample()

    def grown(self):
        return {name: most - self.idle.get(name, 0) for name, most in self.most.items()}

    def check(self):
        assert self.samples > 1
        too_much = {name: n for name, n in self.grown().items() if n > self.bound_bytes}
        assert not too_much, f"{too_much} of {self.idle}"
