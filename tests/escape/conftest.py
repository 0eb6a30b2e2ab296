"""Each escape test runs against a server started as root and one started by an ordinary user."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import expected  # noqa: E402
import lab  # noqa: E402

STARTED_BY = ["root", "user"] if lab.IS_ROOT else ["user"]


@pytest.fixture(scope="session")
def listeners():
    made = lab.Listeners()
    yield made
    made.close()


@pytest.fixture(scope="session")
def controls(listeners):
    made = lab.Controls(listeners, expected.ROOT_MAY)
    yield made
    made.close()


@pytest.fixture(scope="session", params=STARTED_BY)
def started_by(request):
    return request.param


@pytest.fixture(scope="session")
def server(started_by):
    """Each run has a sandbox of its own."""
    made = started(lab.Server, started_by, "--warm-cells", "0")
    yield made
    made.close()


@pytest.fixture(scope="session")
def warm_server(started_by):
    """Programs in Python run in cells, as they do unless told otherwise."""
    made = started(lab.WarmServer, started_by)
    assert made.has_cells(), "no cells"
    yield made
    made.close()


def started(kind, by, *options):
    if not os.path.exists(lab.BINARY):
        pytest.fail(f"{lab.BINARY} is not built: run make")
    return kind(by == "user", *options)


@pytest.fixture(scope="session")
def inside(server, listeners):
    """What the attacks found inside this server's sandbox, one run per group."""
    found = {}

    def look(probe_id):
        group = probe_id.split("-")[0] + "-"
        if group not in found:
            found[group] = lab.run_probes(server, [group], listeners)
        return found[group].get(probe_id, ("unknown", "no report"))

    return look


@pytest.fixture(scope="session")
def inside_session(server, listeners):
    """The same in a session: place -> what the attacks found there. All its calls share one session, as long
    as it and its interpreters live through the attacks."""
    found = {}
    sessions = []

    def look(place, probe_id):
        group = probe_id.split("-")[0] + "-"
        if (place, group) not in found:
            if not sessions or not sessions[-1].lives():
                # as large as a run's: the attacks are made for that
                sessions.append(lab.Session(server, workspace_bytes=64 << 20))
            found[place, group] = lab.run_probes_in(sessions[-1], place, [group], listeners)
        return found[place, group].get(probe_id, ("unknown", "no report"))

    yield look
    for session in sessions:
        if session.lives():
            session.close()


@pytest.fixture
def session(server):
    with lab.Session(server) as made:
        yield made


@pytest.fixture
def fresh_server(server):
    """A server of its own for tests that end or measure one; started as `server` was."""
    made = type(server)(server.as_user)
    yield made
    if made.proc.poll() is None:
        made.close()
    made.discard()


def skip(reason):
    """A skip says why, and is a failure where nothing may be left out."""
    if os.environ.get("MUST_RUN") == "1":
        pytest.fail("may not be skipped here: " + reason)
    pytest.skip(reason)


def pytest_sessionfinish(session):
    """Of tests that ran in a process of their own, what is to be said of them goes to the one that says it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["without_control"] = expected.without_control


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    expected.without_control.update(getattr(node, "workeroutput", {}).get("without_control", {}))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("attacks that stay open by design")
    for name, why in expected.STAYS_OPEN.items():
        terminalreporter.write_line(f"{name}: {why}")
    for name, (_, why) in expected.OPEN_IN_SESSION.items():
        terminalreporter.write_line(f"{name}, in a session: {why}")
    terminalreporter.section("attacks this host gives no chance outside either")
    for name, why in sorted(expected.without_control.items()):
        terminalreporter.write_line(f"{name}: {why}")
