"""The OpenAI Agents SDK's MCP servers: what an agent lists and calls, without a model."""

import contextlib
import sys

sys.path.insert(0, "../lib")
import adapter_cases
from adapter_cases import Answer, blocks
from agents.mcp import MCPServerStdio, MCPServerStreamableHttp

NAME = "openai_agents"
TIMEOUT_S = 30


@contextlib.asynccontextmanager
async def connect(target):
    more = {"client_session_timeout_seconds": TIMEOUT_S}
    if isinstance(target, list):
        server = MCPServerStdio({"command": target[0], "args": target[1:]}, **more)
    else:
        server = MCPServerStreamableHttp({"url": target}, **more)
    async with server:
        yield server


async def tools(server):
    found = {}
    for tool in await server.list_tools():
        as_sent = tool.model_dump(by_alias=True)  # its attributes differ between versions of mcp
        found[tool.name] = {"description": tool.description, "input": as_sent["inputSchema"]}
    return found


async def call(server, name, arguments):
    try:
        r = await server.call_tool(name, arguments)
    except Exception as e:
        return Answer(True, str(e))
    as_sent = r.model_dump(by_alias=True)
    return Answer(bool(as_sent["isError"]), blocks(r.content), as_sent["structuredContent"])


sys.exit(adapter_cases.run(sys.modules[__name__]))
