"""FastMCP's client, which speaks the newest revision the server knows."""

import contextlib
import sys

sys.path.insert(0, "../lib")
import adapter_cases
from adapter_cases import Answer, blocks
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError
from mcp import MCPError

NAME = "fastmcp"


@contextlib.asynccontextmanager
async def connect(target):
    if isinstance(target, list):
        # not kept alive for a next session: the test looks at what is left
        target = StdioTransport(target[0], target[1:], keep_alive=False)
    async with Client(target) as client:
        yield client


async def tools(client):
    return {
        t.name: {"description": t.description, "input": t.input_schema}
        for t in await client.list_tools()
    }


async def call(client, name, arguments):
    try:
        r = await client.call_tool(name, arguments)
    except (ToolError, MCPError) as e:
        return Answer(True, str(e))
    return Answer(r.is_error, blocks(r.content), r.structured_content)


sys.exit(adapter_cases.run(sys.modules[__name__]))
