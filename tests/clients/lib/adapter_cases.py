"""What a framework's MCP client must see, over stdio and over HTTP. Prints TAP.

A kit is one framework:
    connect(target)  an async context manager -> the kit's client; target is a command line (a
                     list of words) or the URL of a server
    tools(client)    -> {name: {"description": str, "input": JSON Schema}}
    call(client, name, arguments) -> Answer; an error that the framework raises is one too
    normal(schema)   optional: what the framework makes of a schema on purpose
"""

import asyncio
import contextlib
import dataclasses
import json
import traceback

from server import listed_by_server, recorded, serving, state_folder, stdio_words

LIMIT_S = 60


@dataclasses.dataclass
class Answer:
    error: bool
    text: str  # all the text a model would be shown
    structured: dict | None = None


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, want):
    check(got == want, f"got {got!r}, want {want!r}")


def show(label, text):
    """What the client makes of an answer, for whoever reads the log."""
    for line in [label, *text.rstrip().split("\n")][:12]:
        print("# " + line[:150])


def python(code):
    return {"language": "python", "code": code}


async def lists(kit, client):
    got, want = await kit.tools(client), listed_by_server()
    equal(sorted(got), sorted(want))
    normal = getattr(kit, "normal", lambda schema: schema)
    for name, tool in want.items():
        equal(got[name]["description"], tool["description"])
        equal(got[name]["input"], normal(tool["inputSchema"]))


async def runs(kit, client):
    answer = await kit.call(client, "run_code", python("print(6*7)"))
    check(not answer.error, answer)
    check("42" in answer.text and "exited" in answer.text, answer.text)
    if answer.structured is not None:
        equal(answer.structured["stdout"], "42\n")
        equal(answer.structured["status"], "exited")
    show("a model is shown:", answer.text)


async def failing(kit, client):
    answer = await kit.call(client, "run_code", python("print('x'); raise SystemExit(3)"))
    check(not answer.error, answer)
    check("3" in answer.text, answer.text)


async def refused(kit, client):
    answer = await kit.call(client, "run_code", {"language": "cobol85", "code": "x"})
    check(answer.error, answer)
    check("python" in answer.text, answer.text)
    show("a model is shown:", answer.text)
    await runs_quietly(kit, client)


async def unknown(kit, client):
    answer = await kit.call(client, "no_such_tool", {})
    check(answer.error, answer)
    await runs_quietly(kit, client)


async def runs_quietly(kit, client):
    answer = await kit.call(client, "run_code", python("print(6*7)"))
    check(not answer.error and "42" in answer.text, answer)


async def concurrent(kit, client):
    answers = await asyncio.gather(
        *(kit.call(client, "run_code", python(f"print({i} * 1000 + 7)")) for i in range(8))
    )
    for i, answer in enumerate(answers):
        check(f"{i * 1000 + 7}" in answer.text, f"{i}: {answer.text}")


CASES = [
    ("lists every tool with its description and schema", lists),
    ("run_code gives the output of a program", runs),
    ("a failing program is a result, not an error", failing),
    ("a language that is not there is an error that says so", refused),
    ("a tool that is not there is an error and the client lives on", unknown),
    ("8 concurrent calls each get their own output", concurrent),
]


@contextlib.contextmanager
def target(transport):
    if transport == "http":
        with serving() as (url, _):
            yield url
    else:
        state = state_folder()
        yield stdio_words(state)
        recorded(state)


async def connected(kit, transport, case):
    with target(transport) as words:
        async with asyncio.timeout(LIMIT_S), kit.connect(words) as client:
            await case(kit, client)


def run(kit):
    """-> exit code"""
    todo = [(t, name, case) for t in ("stdio", "http") for name, case in CASES]
    failed = 0
    print(f"1..{len(todo)}")
    for number, (transport, name, case) in enumerate(todo, 1):
        try:
            asyncio.run(connected(kit, transport, case))
            print(f"ok {number} - {kit.NAME}: {transport}: {name}", flush=True)
        except BaseException:
            failed += 1
            print(f"not ok {number} - {kit.NAME}: {transport}: {name}")
            print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), flush=True)
    return 1 if failed else 0


def blocks(content):
    """The text of content blocks, pydantic models or dicts."""
    texts = (getattr(b, "text", None) or (b.get("text") if isinstance(b, dict) else None)
             for b in content)
    return "\n".join(t for t in texts if t)


def as_json(value):
    return value if isinstance(value, str) else json.dumps(value, default=str)
