"""Pydantic AI's MCPToolset, used by an agent: a model made of two lines asks for one tool call and
answers with what it was shown."""

import contextlib
import sys

sys.path.insert(0, "../lib")
import adapter_cases
from adapter_cases import Answer, as_json
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

NAME = "pydantic_ai"


@contextlib.asynccontextmanager
async def connect(target):
    if isinstance(target, list):
        target = StdioTransport(target[0], target[1:], keep_alive=False)
    async with MCPToolset(target, tool_error_behavior="failed") as toolset:
        yield toolset


async def tools(toolset):
    """As a model is told of them."""
    found = {}

    def model(messages, info):
        for tool in info.function_tools:
            found[tool.name] = {
                "description": tool.description,
                "input": tool.parameters_json_schema,
            }
        return ModelResponse([TextPart("seen")])

    await Agent(FunctionModel(model), toolsets=[toolset]).run("which tools are there?")
    return found


async def call(toolset, name, arguments):
    shown = []

    def model(messages, info):
        last = messages[-1].parts[-1]
        if len(messages) == 1:
            return ModelResponse([ToolCallPart(name, arguments)])
        shown.append(last)
        return ModelResponse([TextPart("done")])

    await Agent(FunctionModel(model), toolsets=[toolset]).run("call it")
    part = shown[0]
    failed = not isinstance(part, ToolReturnPart) or part.outcome != "success"
    structured = part.content if isinstance(part.content, dict) else None
    return Answer(failed, as_json(part.content), structured)


sys.exit(adapter_cases.run(sys.modules[__name__]))
