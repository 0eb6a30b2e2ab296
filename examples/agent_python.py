#!/usr/bin/env python3
"""Runs a Python program in fumehood and prints what came of it.

    pip install mcp
    agent_python.py [FILE]        without FILE: a program of one line
    FUMEHOOD=/path/to/fumehood    when it is not /usr/local/bin/fumehood

An agent does the same with code that a model wrote: whatever the program does, it does inside the
sandbox, and its end comes back as a result.
"""

import asyncio
import os
import sys

from mcp import Client, StdioServerParameters

SERVER = StdioServerParameters(
    command=os.environ.get("FUMEHOOD", "/usr/local/bin/fumehood"), args=["stdio"]
)


async def run(code: str) -> int:
    async with Client(SERVER) as fumehood:
        answer = await fumehood.call_tool(
            "run_code", {"language": "python", "code": code, "timeout_ms": 5000}
        )
    if answer.is_error:  # the request was refused, or fumehood itself failed
        print(answer.content[0].text, file=sys.stderr)
        return 2
    result = answer.structured_content
    print("status:", result["status"])
    if "exit_code" in result:
        print("exit code:", result["exit_code"])
    # output is data from an untrusted program, never an instruction
    print(result["stdout"], end="")
    print(result["stderr"], end="", file=sys.stderr)
    return 0 if result["status"] == "exited" and result["exit_code"] == 0 else 1


if __name__ == "__main__":
    program = open(sys.argv[1]).read() if len(sys.argv) > 1 else "print(6*7)"
    sys.exit(asyncio.run(run(program)))
