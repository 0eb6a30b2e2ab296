"""`fumehood key root`: made, rotated, shown; a rotation cut off anywhere; and what is wrong is said with what to do."""
import base64
import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import mcp
import pytest

sys.path.insert(0, os.path.join(mcp.ROOT, "tests", "lib"))
import seal  # noqa: E402

WORDS, OTHER = "correct horse battery staple\n", "another horse, another battery\n"


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


def root(state, *words, code=0, given="", **more):
    done = subprocess.run([mcp.BINARY, "key", "root", *words, "--state", state], capture_output=True, text=True,
                          timeout=60, check=False, input=given, **more)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


def shown(state, *words):
    return json.loads(root(state, "show", "--json", *words).stdout)


def key_of(path):
    with open(path, encoding="ascii") as file:
        magic, kind, name, text = file.read().split()
    key = base64.urlsafe_b64decode(text + "=")
    assert (magic, kind, name) == ("fumehood-root-1", "key", seal.key_name(key).hex())
    return key


def keep(state, tenant, epoch, blob, workspace=""):
    db = sqlite3.connect(os.path.join(state, "audit.db"))
    with db:
        db.execute("INSERT INTO wrapped VALUES(?,?,?,0,?)", (tenant, workspace, epoch, blob))
    db.close()


def kept(state):
    db = sqlite3.connect(os.path.join(state, "audit.db"))
    rows = {tuple(row[:3]): row[3] for row in db.execute("SELECT tenant, workspace, epoch, blob FROM wrapped")}
    db.close()
    return rows


def test_made_and_shown(state):
    made = json.loads(root(state, "init", "--json").stdout)
    path = os.path.join(state, "root.key")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o400 and made["file"] == path
    assert seal.key_name(key_of(path)).hex() == made["name"] and made["kind"] == "key"
    assert shown(state) == made and (made["tenants"], made["workspaces"]) == (0, 0)
    assert made["name"] in root(state, "show").stdout
    assert "already" in root(state, "init", code=1).stderr


def test_the_key_itself_is_printed_nowhere(state):
    path = os.path.join(state, "root.key")
    said = [root(state, "init")]
    secrets = [open(path, encoding="ascii").read().split()[3]]
    said += [root(state, "rotate"), root(state, "show", "--json")]
    secrets += [open(path, encoding="ascii").read().split()[3]]
    assert not any(secret in done.stdout + done.stderr for secret in secrets for done in said)
    for name in os.listdir(state):
        with open(os.path.join(state, name), "rb") as file:
            data = file.read()
        assert secrets[0].encode() not in data
        assert name == "root.key" or secrets[1].encode() not in data
        assert name == "root.key" or base64.urlsafe_b64decode(secrets[1] + "=") not in data


def test_rotated_and_every_tenants_key_with_it(state):
    """What hangs on it was wrapped, and is unwrapped again, by the second implementation."""
    root(state, "init")
    path = os.path.join(state, "root.key")
    old = key_of(path)
    keys = {("key:ci", "", 1): bytes(32), ("key:ci", "", 2): bytes(range(32)), ("local:0", "", 1): b"k" * 32}
    for (tenant, _, epoch), key in keys.items():
        keep(state, tenant, epoch, seal.wrap(old, tenant.encode(), b"", epoch, key, seal.NONCE))
    workspace = seal.wrap(b"k" * 32, b"local:0", b"ses_1", 1, b"w" * 32, seal.NONCE)
    keep(state, "local:0", 1, workspace, "ses_1")
    said = json.loads(root(state, "rotate", "--json").stdout)
    new = key_of(path)
    assert new != old and said["name"] == seal.key_name(new).hex() and (said["tenants"], said["workspaces"]) == (3, 1)
    rows = kept(state)
    assert rows.pop(("local:0", "ses_1", 1)) == workspace
    assert {at: seal.unwrap(new, at[0].encode(), b"", at[2], blob) for at, blob in rows.items()} == keys
    assert seal.key_name(old) not in open(os.path.join(state, "audit.db"), "rb").read()
    assert not os.path.exists(path + ".new")
    rows = [json.loads(line) for line in subprocess.run(
        [mcp.BINARY, "audit", "list", "--json", "--state", state], capture_output=True, text=True, timeout=60,
        check=True).stdout.splitlines()]
    assert [row["status"] for row in rows] == ["root_key_created", "root_key_rotated"]


def test_one_key_that_cannot_be_opened_changes_nothing(state):
    root(state, "init")
    path = os.path.join(state, "root.key")
    old = key_of(path)
    good = seal.wrap(old, b"key:a", b"", 1, bytes(32), seal.NONCE)
    keep(state, "key:a", 1, good)
    keep(state, "key:b", 1, good)
    assert "tenant key:b" in root(state, "rotate", code=1).stderr
    assert key_of(path) == old and kept(state)[("key:a", "", 1)] == good and not os.path.exists(path + ".new")
    assert shown(state)["name"] == seal.key_name(old).hex()


def test_a_passphrase(state):
    made = json.loads(root(state, "init", "--passphrase", "--json", given=WORDS).stdout)
    path = os.path.join(state, "root.key")
    assert made["kind"] == "passphrase" and "horse" not in open(path, encoding="ascii").read()
    assert shown(state) == made                     # nobody is asked for it
    wrong = root(state, "rotate", code=1, given=OTHER + WORDS)
    assert "passphrase" in wrong.stderr and "horse" not in wrong.stderr
    again = json.loads(root(state, "rotate", "--json", given=WORDS + OTHER).stdout)
    assert again["kind"] == "passphrase" and again["name"] != made["name"]
    root(state, "rotate", code=1, given=WORDS + OTHER)
    root(state, "rotate", given=OTHER + WORDS)


def test_a_key_may_become_a_passphrase(state):
    root(state, "init")
    assert json.loads(root(state, "rotate", "--passphrase", "--json", given=WORDS).stdout)["kind"] == "passphrase"


@pytest.mark.parametrize("given", ["", "\n", "short\n", "x" * 1025 + "\n"])
def test_what_is_no_passphrase_makes_no_key(state, given):
    done = root(state, "init", "--passphrase", code=1, given=given)
    assert len(done.stderr.splitlines()) == 2 and os.listdir(state) == []


def test_a_terminal_is_asked_and_does_not_show_it(state):
    pid, terminal = pty.fork()
    if not pid:
        os.execv(mcp.BINARY, [mcp.BINARY, "key", "root", "init", "--passphrase", "--state", state])
    seen = b""

    def more():
        assert select.select([terminal], [], [], 30)[0], seen
        return os.read(terminal, 1000)

    try:
        for asked in (b"New passphrase: ", b"The same again: "):
            while not seen.endswith(asked):
                seen += more()
            os.write(terminal, WORDS.encode())      # at once
        with contextlib.suppress(OSError):          # its end
            while chunk := more():
                seen += chunk
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
    assert os.waitpid(pid, 0)[1] == 0 and b"made root key" in seen and b"horse" not in seen, seen


def test_elsewhere(state, tmp_path):
    path = str(tmp_path / "a key")
    root(state, "init", "--root-key", path)
    assert not os.path.exists(os.path.join(state, "root.key"))
    assert shown(state, "--root-key", path)["file"] == path
    missing = root(state, "show", code=1).stderr
    assert os.path.join(state, "root.key") in missing and "--root-key" in missing
    root(state, "rotate", "--root-key", path)
    other = str(tmp_path / "other")
    root(other, "init")
    wrong = root(state, "show", "--root-key", os.path.join(other, "root.key"), code=1).stderr
    assert seal.key_name(key_of(path)).hex() in wrong


def test_a_credential_of_systemd(state, tmp_path):
    root(state, "init")
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    credential = folder / "fumehood.root"
    os.rename(os.path.join(state, "root.key"), credential)
    env = {**os.environ, "CREDENTIALS_DIRECTORY": str(folder)}
    said = json.loads(root(state, "show", "--json", env=env).stdout)
    assert said["credential"] and said["file"] == str(credential)
    before = credential.read_bytes()
    assert "systemd" in root(state, "rotate", code=1, env=env).stderr
    assert credential.read_bytes() == before and os.listdir(folder) == ["fumehood.root"]


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o444])
def test_a_file_that_others_may_read_is_not_used(state, mode):
    root(state, "init")
    path = os.path.join(state, "root.key")
    os.chmod(path, mode)
    for word in ("show", "rotate"):
        done = root(state, word, code=1)
        assert path in done.stderr and "chmod 400" in done.stderr and len(done.stderr.splitlines()) == 2


def test_not_while_a_server_runs(state):
    root(state, "init")
    with mcp.Server(state=state) as server:
        server.initialize()
        assert "server" in root(state, "rotate", code=1).stderr
        assert not os.path.exists(os.path.join(state, "root.key.new"))
    root(state, "rotate")


def test_one_at_a_time(state):
    root(state, "init")
    folder = os.open(state, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert "another" in root(state, "rotate", code=1).stderr
    os.close(folder)
    root(state, "rotate")


def test_cut_off_before_and_after_the_database_was_changed(state):
    root(state, "init")
    path = os.path.join(state, "root.key")
    old = open(path, encoding="ascii").read()
    root(state, "rotate")
    new = key_of(path)
    # the database has the new one, the file is where it was made
    os.rename(path, path + ".new")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o400), "w", encoding="ascii") as file:
        file.write(old)
    assert shown(state)["name"] == seal.key_name(new).hex()
    assert key_of(path) == new and not os.path.exists(path + ".new")
    # one that was made, and never used
    with open(os.open(path + ".new", os.O_CREAT | os.O_WRONLY, 0o400), "w", encoding="ascii") as file:
        file.write(old)
    root(state, "rotate")
    assert not os.path.exists(path + ".new")


def test_killed_at_any_time(state):
    """What the next command finds is one root key, with which every tenant's key opens."""
    root(state, "init")
    path = os.path.join(state, "root.key")
    keep(state, "key:a", 1, seal.wrap(key_of(path), b"key:a", b"", 1, b"t" * 32, seal.NONCE))
    ends = set()
    for i in range(40):
        process = subprocess.Popen([mcp.BINARY, "key", "root", "rotate", "--state", state], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(i * 0.0007)                      # where it is by then is of no matter
        process.send_signal(signal.SIGKILL)
        ends.add(process.wait(timeout=60))
        shown(state)
        assert seal.unwrap(key_of(path), b"key:a", b"", 1, kept(state)[("key:a", "", 1)]) == b"t" * 32
        assert not os.path.exists(path + ".new")
    assert -signal.SIGKILL in ends


@pytest.mark.parametrize("words,code", [
    ((), 2), (("nonsense",), 2), (("init", "x"), 2), (("show",), 1), (("rotate",), 1)])
def test_what_is_wrong_is_said_with_what_to_do(state, words, code):
    assert len(root(state, *words, code=code).stderr.splitlines()) == 2


def test_a_full_disk_leaves_the_old_one(state, tmp_path):
    if os.getuid():
        pytest.skip("only root can mount a small disk")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", small], check=True, timeout=60)
    try:
        path = str(small / "key")
        root(state, "init", "--root-key", path)
        old = key_of(path)
        with open(small / "fill", "wb") as file, pytest.raises(OSError):
            while True:
                os.write(file.fileno(), bytes(4096))
        assert "No space" in root(state, "rotate", "--root-key", path, code=1).stderr
        assert key_of(path) == old and shown(state, "--root-key", path)["name"] == seal.key_name(old).hex()
        os.unlink(small / "fill")
        root(state, "rotate", "--root-key", path)
    finally:
        subprocess.run(["umount", small], check=False, timeout=60)
        shutil.rmtree(small, ignore_errors=True)
