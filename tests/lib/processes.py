"""What runs below a process, and whether it is gone."""
import os
import time


def offspring(pid):
    """Every process below pid."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            children = []
        for child in children:
            found.append(child)
            try:
                found += offspring(child)
            except OSError:
                pass
    return found


def gone(pids, seconds=2.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(alive(pid) for pid in pids):
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
