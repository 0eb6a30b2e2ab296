"""The Python SDK against the server, once per protocol era and transport. Prints TAP."""

import base64
import contextlib
import functools
import os
import random
import sys
import time
import traceback

import anyio
from mcp import Client, MCPError, StdioServerParameters

sys.path.insert(0, "../lib")
from server import listed_by_server, recorded, serving, state_folder, stdio_words

LONG_MS = 30_000
GONE_S = 1.9  # "within 2 s", and before the SDK helps with a signal
DOT = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx"
    "0gAAAABJRU5ErkJggg=="
)
VERSIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


@contextlib.contextmanager
def server_of(transport):
    """-> what Client connects to; on leaving, the server's record is complete."""
    if transport == "http":
        with serving() as (url, _):
            yield url
    else:
        state = state_folder()
        command, *args = stdio_words(state)
        yield StdioServerParameters(command=command, args=args)
        recorded(state)


def python(code, **more):
    return {"language": "python", "code": code, **more}


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, want):
    check(got == want, f"got {got!r}, want {want!r}")


# --- who is alive: a process is (pid, start time), so that a pid used again is not mistaken


def processes():
    found = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(ValueError, OSError):
            text = open(f"/proc/{int(name)}/stat", errors="replace").read()
            f = text.rpartition(")")[2].split()
            if f[0] not in "ZX":
                found[int(name), f[19]] = int(f[1])
    return found


def tree_of(pid):
    procs, found = processes(), {pid}
    while True:
        more = {p for (p, _), parent in procs.items() if parent in found} - found
        if not more:
            return {key for key in procs if key[0] in found and key[0] != pid}
        found |= more


def with_argument(word):
    found = set()
    for pid, start in processes():
        with contextlib.suppress(OSError):
            line = open(f"/proc/{pid}/cmdline", "rb").read()
            if word.encode() in line.split(b"\0"):
                found.add((pid, start))
    return found


async def until(what, limit_s, condition):
    end = time.monotonic() + limit_s
    while not condition():
        check(time.monotonic() < end, f"not within {limit_s} s: {what}")
        await anyio.sleep(0.01)


def gone(procs):
    return not procs & processes().keys()


def endless():
    """A program that never ends, and the argument by which its child is seen outside."""
    word = f"0.{random.randrange(10**18, 10**19)}"  # sleep adds its arguments up
    code = (
        "import subprocess\n"
        f"subprocess.Popen(['/bin/sleep', '86400', '{word}'])\n"
        "while True: pass\n"
    )
    return word, code


# --- the tests


async def answers(client):
    r = await client.call_tool("run_code", python("print(6*7)"))
    check(not r.is_error, r)
    equal(r.structured_content["status"], "exited")
    equal(r.structured_content["stdout"], "42\n")


async def negotiates(client, mode):
    equal(client.protocol_version, VERSIONS[mode])
    equal(client.server_info.name, "fumehood")


async def lists_tools(client, mode):
    tools = {t.name: t for t in (await client.list_tools()).tools}
    want = listed_by_server()
    equal(sorted(tools), sorted(want))
    for name, tool in want.items():
        equal(tools[name].description, tool["description"])
        equal(tools[name].input_schema, tool["inputSchema"])
        equal(tools[name].output_schema, tool.get("outputSchema"))


async def runs_code(client, mode):
    await answers(client)


async def runs_command(client, mode):
    r = await client.call_tool("run_command", {"command": "echo one | tr a-z A-Z"})
    equal(r.structured_content["stdout"], "ONE\n")


async def reports_info(client, mode):
    r = await client.call_tool("sandbox_info", {})
    check('"python"' in str(r.structured_content).replace("'", '"'), r)


async def failing_program(client, mode):
    r = await client.call_tool("run_code", python("raise SystemExit(3)"))
    check(not r.is_error, r)
    equal(r.structured_content["exit_code"], 3)


async def unknown_language(client, mode):
    r = await client.call_tool("run_code", {"language": "cobol85", "code": "x"})
    check(r.is_error, r)
    await answers(client)


async def reports_progress(client, mode):
    seen = []

    async def on_progress(progress, total, message):
        seen.append(progress)

    code = "import time\nfor i in range(10):\n    print(i, flush=True)\n    time.sleep(.5)"
    r = await client.call_tool(
        "run_code", python(code, timeout_ms=LONG_MS), progress_callback=on_progress
    )
    equal(r.structured_content["status"], "exited")
    check(seen, "no progress in 5 s")
    equal(seen, sorted(set(seen)))


async def sixteen(client, mode):
    got = {}

    async def one(i):
        code = f"import time; time.sleep(.2); print({i} * 1000 + 7)"
        r = await client.call_tool("run_code", python(code, timeout_ms=LONG_MS))
        got[i] = r.structured_content["stdout"]

    async with anyio.create_task_group() as group:
        for i in range(16):
            group.start_soon(one, i)
    equal(got, {i: f"{i * 1000 + 7}\n" for i in range(16)})


async def cancels(client, mode):
    word, code = endless()
    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "run_code", python(code, timeout_ms=LONG_MS))
        await until("the program", 15, lambda: with_argument(word))
        check(with_argument(word) <= tree_of(os.getpid()), "runs outside our tree")
        group.cancel_scope.cancel()
    await until("the program gone", GONE_S, lambda: not with_argument(word))
    await answers(client)


async def times_out(client, mode):
    word, code = endless()
    refused = []

    async def call():
        try:
            await client.call_tool(
                "run_code", python(code, timeout_ms=LONG_MS), read_timeout_seconds=2
            )
        except MCPError as e:
            refused.append(e)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await until("the program", 15, lambda: with_argument(word))
    check(refused, "the call did not time out")
    await until("the program gone", GONE_S, lambda: not with_argument(word))
    await answers(client)


# Over HTTP the modern client's closing of the stream is what ends the program; the legacy client
# sends DELETE.
async def closes(target, mode):
    word, code = endless()
    async with anyio.create_task_group() as group:
        async with Client(target, mode=mode) as client:

            async def call():
                with contextlib.suppress(MCPError):
                    await client.call_tool("run_code", python(code, timeout_ms=LONG_MS))

            group.start_soon(call)
            await until("the program", 15, lambda: with_argument(word))
            procs = tree_of(os.getpid())
            check(with_argument(word) <= procs, "runs outside our tree")
            started = time.monotonic()
        if isinstance(target, str):
            await until("the program gone", GONE_S, lambda: not with_argument(word))
        taken = time.monotonic() - started
        group.cancel_scope.cancel()
    if not isinstance(target, str):
        check(gone(procs), f"left: {procs & processes().keys()}")
    check(not with_argument(word), "the program is left")
    check(taken < GONE_S, f"took {taken:.1f} s")


async def remembers(client, mode):
    made = await client.call_tool("session_create", {"language": "python"})
    session = {"session_id": made.structured_content["session_id"]}

    async def step(code):
        r = await client.call_tool("run_code", python(code, **session))
        check(not r.is_error, r)
        return r

    await step("import math\nrows = [1, 2]")
    r = await step("rows.append(math.factorial(5))\nprint('sum')\nsum(rows)")
    equal(r.structured_content["stdout"], "sum\n")
    equal(r.structured_content["outputs"], [{"type": "result", "text": "123"}])
    r = await step("1 / 0")
    equal(r.structured_content["outputs"][-1]["error"]["type"], "ZeroDivisionError")
    png = base64.b64decode(DOT)
    r = await step(f"class Dot:\n    def _repr_png_(self):\n        return {png!r}\nDot()")
    equal([block.type for block in r.content], ["text", "image"])
    equal((r.content[1].mime_type, base64.b64decode(r.content[1].data)), ("image/png", png))
    r = await client.call_tool("session_close", session)
    equal(r.structured_content["calls"], 4)
    r = await client.call_tool("run_code", python("rows", **session))
    check(r.is_error, r)


CASES = [
    ("negotiates the era's version", negotiates),
    ("lists its tools", lists_tools),
    ("run_code gives the output of a program", runs_code),
    ("run_command runs a shell command", runs_command),
    ("sandbox_info names the runtimes", reports_info),
    ("a failing program is a result, not an error", failing_program),
    ("a session keeps its variables and shows pictures", remembers),
    ("a language that is not there is a tool error", unknown_language),
    ("a run of 5 s reports progress that only grows", reports_progress),
    ("16 concurrent calls each get their own output", sixteen),
    ("cancelling ends the program and the server still answers", cancels),
    ("the client's time limit ends the program", times_out),
]


async def connected(case, target, mode):
    async with Client(target, mode=mode) as client:
        await client.list_tools()  # with the schemas the client checks every result
        await case(client, mode)


async def limited(body):
    with anyio.fail_after(60):
        await body()


def one_test(transport, body):
    with server_of(transport) as target:
        anyio.run(limited, functools.partial(body, target))


def all_tests():
    for transport in ("stdio", "http"):
        for mode, era in (("legacy", "legacy"), ("auto", "modern")):
            label = f"{transport}, {era}"
            for name, case in CASES:
                body = functools.partial(connected, case, mode=mode)
                yield f"{label}: {name}", functools.partial(one_test, transport, body)
            name = "closing during a run ends the program within 2 s"
            body = functools.partial(closes, mode=mode)
            yield f"{label}: {name}", functools.partial(one_test, transport, body)


def main():
    todo = list(all_tests())
    failed = 0
    print(f"1..{len(todo)}")
    for number, (name, body) in enumerate(todo, 1):
        try:
            body()
            print(f"ok {number} - python_sdk: {name}", flush=True)
        except BaseException:
            failed += 1
            print(f"not ok {number} - python_sdk: {name}")
            print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
