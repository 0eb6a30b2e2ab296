"""The server under test, as the Python clients' tests start it: the binary of $FUMEHOOD, each with
a state folder of its own in the temporary folder that run.sh makes and removes."""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time

FUMEHOOD = os.environ["FUMEHOOD"]
PATIENCE_S = 20
LISTENING = re.compile(r"event=listening\b.*?\baddress=\"?(127\.0\.0\.1:\d+)")


def state_folder():
    return tempfile.mkdtemp(prefix="fumehood-client-")


def stdio_words(state):
    return [FUMEHOOD, "stdio", "--state", state]


def recorded(state):
    """The record of a server that has ended: unbroken, and every run in it has its outcome."""
    told = subprocess.run(
        [FUMEHOOD, "audit", "verify", "--json", "--state", state], capture_output=True, text=True
    )
    found = json.loads(told.stdout or "{}")
    if told.returncode or not found.get("intact") or found.get("warnings_count") != 0:
        raise AssertionError(f"the record: {told.stdout}{told.stderr}")
    return found["rows"]


@contextlib.contextmanager
def serving(*options):
    """`fumehood serve` on a port of its own -> (url, state); ended with SIGTERM, which it survives
    with code 0 and a record that is complete."""
    state = state_folder()
    words = [FUMEHOOD, "serve", "--listen", "127.0.0.1:0", "--insecure-no-auth", "--state", state]
    with (
        open(state + ".log", "w+") as log,
        subprocess.Popen([*words, *options], stderr=log) as process,
    ):
        try:
            yield f"http://{address_of(process, log.name)}/mcp", state
            process.terminate()
            process.wait(PATIENCE_S)
            if process.returncode:
                raise AssertionError(f"ended with {process.returncode}: {open(log.name).read()}")
        finally:
            process.kill()
    recorded(state)


def address_of(process, log):
    end = time.monotonic() + PATIENCE_S
    while True:
        ended = process.poll() is not None  # looked at first: what it wrote before is in the log
        text = open(log).read()
        found = LISTENING.search(text)
        if found:
            return found[1]
        if ended or time.monotonic() > end:
            raise AssertionError(f"the server does not listen: {text}")
        time.sleep(0.01)


def listed_by_server():
    """name -> tool, as the server itself writes them (revision 2025-11-25)."""
    ask = [
        {"id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "reference", "version": "1"}}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ]
    with subprocess.Popen(
        stdio_words(state_folder()), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for message in ask:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        process.wait(PATIENCE_S)
    result = answers[1]["result"]
    if "nextCursor" in result:
        raise AssertionError("the list has pages: the comparison needs all of them")
    return {tool["name"]: tool for tool in result["tools"]}
