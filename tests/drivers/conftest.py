"""Fixtures of the driver tests: a fresh interpreter with its driver for each test that asks."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import rig  # noqa: E402
from cannot import cannot  # noqa: E402


def session_or_skip(driver):
    interpreter = rig.INTERPRETERS[driver][0]
    if not os.access(interpreter, os.X_OK):
        cannot(f"{interpreter} is not installed")
    return rig.Session(driver)


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
