"""Servers for the tests of sessions, over stdio and HTTP."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mcp  # noqa: E402
import callers  # noqa: E402
from cannot import built, cannot  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def binary():
    return built(mcp.BINARY)


@pytest.fixture(params=["stdio", "http"])
def caller(request):
    with callers.CALLERS[request.param]() as made:
        yield made


@pytest.fixture
def stdio():
    with callers.Stdio() as made:
        yield made


@pytest.fixture
def session(stdio):
    return callers.Session(stdio)


@pytest.fixture
def needs_root():
    if os.geteuid() != 0:
        cannot("only root can look into the memory of others")
