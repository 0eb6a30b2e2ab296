"""Runtime images, made by the documented command; see lab.py."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import lab  # noqa: E402
import mcp  # noqa: E402
from cannot import built  # noqa: E402

DATA = "numpy pandas matplotlib"


@pytest.fixture(scope="session", autouse=True)
def binary():
    return built(mcp.BINARY)


def fresh(uid):
    made = lab.Site(uid)
    made.wheel("small", {"small/__init__.py": "VERSION = 1\n", "small/data.txt": "text\n"})
    return made


@pytest.fixture(scope="session", params=lab.USERS, ids=lambda uid: "self" if uid is None else f"user {uid}")
def uid(request):
    return request.param


@pytest.fixture
def site(uid):
    made = fresh(uid)
    yield made
    made.close()


@pytest.fixture(scope="session")
def template(uid):
    made = fresh(uid)
    made.create()
    yield made
    made.close()


@pytest.fixture
def made(site, template):
    """With the image `small`."""
    site.copy(template)
    return site


@pytest.fixture(scope="session")
def data_site():
    """With the image `data`: the current numpy, pandas and matplotlib of PyPI."""
    made = lab.Site()
    made.env = {}
    with made.popen("image", "create", "data", "--python", DATA) as proc:
        _, words = proc.communicate(timeout=600)
    if proc.returncode and os.environ.get("MUST_RUN") != "1" and "onnection" in words:
        pytest.skip("PyPI cannot be reached")
    assert proc.returncode == 0, words
    yield made
    made.close()
