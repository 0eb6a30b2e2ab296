"""Tests that cannot run here: each says why, and is a failure where none may be skipped."""
import os

import pytest


def cannot(reason):
    if os.environ.get("MUST_RUN") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def built(path, target="make"):
    """The program at path; there is no test without it."""
    if not os.access(path, os.X_OK):
        cannot(f"{path} is not built: run {target}")
    return path
