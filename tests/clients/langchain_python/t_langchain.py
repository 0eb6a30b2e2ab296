"""LangChain's MCP adapters for Python: the tools as LangChain tools, called as a graph calls them."""

import contextlib
import sys

sys.path.insert(0, "../lib")
import adapter_cases
from adapter_cases import Answer, blocks
from langchain_core.tools import ToolException
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

NAME = "langchain_python"


@contextlib.asynccontextmanager
async def connect(target):
    if isinstance(target, list):
        connection = {"transport": "stdio", "command": target[0], "args": target[1:]}
    else:
        connection = {"transport": "streamable_http", "url": target}
    async with MultiServerMCPClient({"fumehood": connection}).session("fumehood") as session:
        yield {tool.name: tool for tool in await load_mcp_tools(session)}


async def tools(found):
    return {
        name: {"description": tool.description, "input": tool.args_schema}
        for name, tool in found.items()
    }


async def call(found, name, arguments):
    if name not in found:
        return Answer(True, f"no tool {name}")
    try:
        answer = await found[name].ainvoke(
            {"type": "tool_call", "id": "1", "name": name, "args": arguments}
        )
    except ToolException as e:
        return Answer(True, str(e))
    artifact = answer.artifact or {}
    text = answer.content if isinstance(answer.content, str) else blocks(answer.content)
    return Answer(answer.status == "error", text, artifact.get("structured_content"))


sys.exit(adapter_cases.run(sys.modules[__name__]))
