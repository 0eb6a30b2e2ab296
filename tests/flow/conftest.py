"""Servers for the flow tests: each speaks to the real binary through tests/lib/mcp.py."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mcp  # noqa: E402
import mcp_http  # noqa: E402
from cannot import built, cannot  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def binary():
    return built(mcp.BINARY)


@pytest.fixture
def server():
    """A legacy server after the handshake, with stdin still open; its end is checked too."""
    with mcp.Server() as made:
        made.initialize()
        yield made


@pytest.fixture
def modern():
    with mcp.Server(era="modern") as made:
        yield made


@pytest.fixture(params=["legacy", "modern"])
def either(request):
    """One after the other in both eras."""
    with mcp.Server(era=request.param) as made:
        if request.param == "legacy":
            made.initialize()
        yield made


@pytest.fixture(scope="module")
def shared():
    """One server for all cases of a module: what the process must live through."""
    with mcp.Server() as made:
        made.initialize()
        yield made


@pytest.fixture(scope="module", params=["h1", "h2"])
def wire(request):
    """What the HTTP client speaks: each test that asks for it runs over both."""
    found = mcp_http.wire_or_skip(request.param)
    if isinstance(found, str):
        cannot(found)
    return found
