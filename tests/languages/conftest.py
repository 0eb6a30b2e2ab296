"""Servers for the tests of languages."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mcp  # noqa: E402
from cannot import built  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def binary():
    return built(mcp.BINARY)


@pytest.fixture(scope="module")
def server():
    with mcp.Server() as made:
        made.initialize()
        yield made


class Session:
    """run() answers with structuredContent."""

    def __init__(self, server, **arguments):
        self.server = server
        self.id = server.call("session_create", arguments)["session_id"]

    def run(self, language, code, **more):
        return self.server.run_code(language=language, code=code, session_id=self.id, **more)

    def tool(self, name, **arguments):
        return self.server.call(name, dict(arguments, session_id=self.id))

    def close(self):
        self.tool("session_close")


@pytest.fixture
def session(server):
    made = Session(server)
    yield made
    made.close()
