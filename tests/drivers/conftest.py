"""Fixtures of the driver tests: a fresh interpreter with its driver for each test that asks."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rig  # noqa: E402


def session_or_skip(driver):
    interpreter = rig.INTERPRETERS[driver][0]
    if os.access(interpreter, os.X_OK):
        return rig.Session(driver)
    reason = f"{interpreter} is not installed"
    if os.environ.get("MUST_RUN") == "1":
        pytest.fail(reason)
    return pytest.skip(reason)


@pytest.fixture
def py():
    with session_or_skip("driver.py") as session:
        yield session


@pytest.fixture
def js():
    with session_or_skip("driver.js") as session:
        yield session


@pytest.fixture
def sh():
    with session_or_skip("driver.sh") as session:
        yield session
