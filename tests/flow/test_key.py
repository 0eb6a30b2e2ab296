"""`fumehood key`: what it prints and where, what it refuses, and that the record tells of it."""
import datetime
import json
import os
import re
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import mcp
import pytest

KEY = re.compile(r"fh_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\Z")


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


def fumehood(state, *words, code=0, **more):
    done = subprocess.run([mcp.BINARY, *words, "--state", state], capture_output=True, text=True,
                          timeout=60, check=False, **more)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


def keys(state):
    return [json.loads(line) for line in fumehood(state, "key", "list", "--json").stdout.splitlines()]


def test_the_key_alone_is_on_stdout(state):
    done = fumehood(state, "key", "create", "ci")
    assert KEY.match(done.stdout.rstrip("\n")) and done.stdout.count("\n") == 1
    secret = done.stdout.strip()[12:]
    assert secret not in done.stderr and "revoke ci" in done.stderr and "Bearer" in done.stderr


def test_a_key_is_kept_nowhere(state):
    secret = fumehood(state, "key", "create", "ci").stdout.strip()[12:].encode()
    for name in os.listdir(state):
        with open(os.path.join(state, name), "rb") as file:
            assert secret not in file.read(), name
    assert os.stat(state).st_mode & 0o777 == 0o700


def test_json(state):
    made = json.loads(fumehood(state, "key", "create", "ci", "--expires", "30", "--json").stdout)
    assert KEY.match(made["key"]) and made["key"].startswith(made["id"] + "_")
    ends = datetime.datetime.fromisoformat(made["expires"].replace("Z", "+00:00"))
    days = (ends - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    assert 29.9 < days <= 30
    one, = keys(state)
    assert one["name"] == "ci" and one["id"] == made["id"] and one["expires"] == made["expires"]
    assert one["state"] == "in force" and one["last_used"] is None and one["revoked"] is None
    assert "key" not in one


def test_the_table_is_aligned(state):
    for name in ("a", "a-much-longer.name_1"):
        fumehood(state, "key", "create", name, "--expires", "7")
    table = fumehood(state, "key", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "KEY", "CREATED", "EXPIRES", "LAST", "USED", "STATE"]
    starts = {re.search(r"  fh_", line).start() for line in table[1:]}
    assert starts == {table[0].index("KEY") - 2} and len(table) == 3
    assert all(line.endswith("in force") for line in table[1:])


def test_no_key_yet(state):
    assert fumehood(state, "key", "list", code=1).stderr.startswith("fumehood: there is no state")
    fumehood(state, "key", "create", "x")
    fumehood(state, "audit", "verify")


@pytest.mark.parametrize("how", ["name", "id", "part of the id"])
def test_revoked(state, how):
    made = json.loads(fumehood(state, "key", "create", "ci", "--json").stdout)
    which = {"name": "ci", "id": made["id"], "part of the id": made["id"][:8]}[how]
    assert made["id"] in fumehood(state, "key", "revoke", which).stdout
    one, = keys(state)
    assert one["state"] == "revoked" and one["revoked"]
    assert "already" in fumehood(state, "key", "revoke", which, code=1).stderr
    fumehood(state, "key", "create", "ci")      # the name is free again
    assert [key["state"] for key in keys(state)] == ["revoked", "in force"]


def test_a_whole_key_that_was_pasted_is_not_repeated(state):
    key = fumehood(state, "key", "create", "ci").stdout.strip()
    wrong = "fh_" + ("a" if key[3] != "a" else "b") + key[4:]
    assert key[12:] not in fumehood(state, "key", "revoke", wrong, code=1).stderr
    fumehood(state, "key", "revoke", key)       # it leaked: so it may be named
    assert keys(state)[0]["state"] == "revoked"


@pytest.mark.parametrize("words,code", [
    (["create"], 2), (["create", "a", "b"], 2), ([], 2), (["nonsense"], 2), (["list", "x"], 2),
    (["revoke"], 2), (["create", "a b"], 1), (["create", ""], 1), (["create", "fh_x"], 1),
    (["create", "x" * 65], 1), (["create", "a", "--expires", "0"], 2), (["revoke", "nobody"], 1),
    (["create", "a", "--expires", "soon"], 2), (["create", "../x"], 1)])
def test_what_is_wrong_is_said_with_what_to_do(state, words, code):
    fumehood(state, "key", "create", "there")
    done = fumehood(state, "key", *words, code=code)
    assert len(done.stderr.splitlines()) == 2 and not done.stdout


def test_a_name_is_given_once(state):
    fumehood(state, "key", "create", "ci")
    assert "already" in fumehood(state, "key", "create", "ci", code=1).stderr


def test_many_at_once(state):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: fumehood(state, "key", "create", f"k{i}").stdout, range(24)))
    assert len(set(made)) == 24 and len(keys(state)) == 24
    assert "24 rows" in fumehood(state, "audit", "verify").stdout


def test_the_record_tells_of_it(state):
    made = json.loads(fumehood(state, "key", "create", "ci", "--json").stdout)
    fumehood(state, "key", "revoke", "ci")
    rows = [json.loads(line) for line in fumehood(state, "audit", "list", "--json").stdout.splitlines()]
    assert [(row["status"], row["run_id"], row["principal"], row["detail"]) for row in rows] == [
        ("key_created", made["id"], f"local:{os.getuid()}", "ci"),
        ("key_revoked", made["id"], f"local:{os.getuid()}", "ci")]
    assert made["id"] in fumehood(state, "audit", "show", made["id"]).stdout


def test_a_key_put_in_by_hand_is_found(state):
    fumehood(state, "key", "create", "ci")
    fumehood(state, "audit", "verify")
    db = sqlite3.connect(os.path.join(state, "audit.db"))
    with db:
        db.execute("INSERT INTO keys SELECT 'aaaaaaaa', 'mallory', hash, 1, 0, 0, 0 FROM keys")
    db.close()
    done = fumehood(state, "audit", "verify", code=1)
    assert "fh_aaaaaaaa" in done.stderr
    assert not json.loads(fumehood(state, "audit", "verify", "--json", code=1).stdout)["intact"]


def test_a_full_disk_makes_no_key(state):
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([mcp.BINARY, "key", "create", "ci", "--state", state], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "revoked" in done.stderr
    assert [key["state"] for key in keys(state)] == ["revoked"]


def test_a_key_nobody_reads_is_revoked(state):
    """Standard output is a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([mcp.BINARY, "key", "create", "ci", "--state", state], stdout=writer,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == 1 and "revoked" in done.stderr
    assert [key["state"] for key in keys(state)] == ["revoked"]


@pytest.mark.parametrize("which", ["\x1b[31mred", "a\nb", "fh_\x1b]0;x\x07", "\u202e", "x" * 43])
def test_what_is_no_key_is_not_repeated(state, which):
    fumehood(state, "key", "create", "there")
    done = fumehood(state, "key", "revoke", which, code=1)
    assert which not in done.stderr and len(done.stderr.splitlines()) == 2
    assert "there is no key elsewhere" in fumehood(state, "key", "revoke", "elsewhere", code=1).stderr


def test_it_is_said_where_a_key_counts(state):
    done = fumehood(state, "key", "create", "ci")
    assert f"--state {state}" in done.stderr and f"key revoke ci --state {state}" in done.stderr
    end = done.stderr.splitlines()[-1].split("fumehood ", 1)[1].split()
    assert "revoked" in subprocess.run([mcp.BINARY, *end], capture_output=True, text=True, timeout=60,
                                       check=True).stdout


def test_root_does_not_write_into_a_services_folder(tmp_path):
    if os.getuid():
        pytest.skip("only root can give a folder to another user")
    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    os.chown(folder, 4242, 4242)
    for words in (["create", "ci"], ["revoke", "ci"]):
        done = fumehood(str(folder), "key", *words, code=1)
        assert "4242" in done.stderr.splitlines()[1] and "chown" not in done.stderr
    assert not list(folder.iterdir())


def test_an_old_folder_gets_keys(state):
    with mcp.Server(state=state) as server:
        server.initialize()
        server.run_code(code="print(1)")
    db = sqlite3.connect(os.path.join(state, "audit.db"))
    with db:
        db.execute("DROP TABLE keys")           # as it was made before there were any
    db.close()
    assert "intact" in fumehood(state, "audit", "verify").stdout
    assert fumehood(state, "key", "list").stdout == ""
    with mcp.Server(state=state) as server:
        server.initialize()
        fumehood(state, "key", "create", "ci")
        server.run_code(code="print(2)")
    assert len(keys(state)) == 1 and "intact" in fumehood(state, "audit", "verify").stdout
