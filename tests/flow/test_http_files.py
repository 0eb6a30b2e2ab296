"""Files of sessions over HTTP: whole or not there, whoever stops when; and never in this server's memory."""
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time

import httpd
import mcp
import mcp_http
import pytest
from mcp_http import HttpServer, call, modern

MIB = 1 << 20
STRANGER = "ses_00112233445566778899aabbccddeeff"


class Workspace:
    """A session of a server, and what is done with it over both ways."""

    def __init__(self, server, authorization=None, **arguments):
        self.server, self.headers = server, {}
        if authorization:
            self.headers = {"authorization": authorization}
        self.id = self.tool("session_create", **arguments)["session_id"]

    def tool(self, name, **arguments):
        answer = self.server.post(modern("tools/call", {"name": name, "arguments": arguments}), **self.headers)
        result = answer.json["result"]
        assert not result.get("isError"), result
        return result["structuredContent"]

    def python(self, code):
        done = self.tool("run_code", language="python", code=code, session_id=self.id)
        assert done["exit_code"] == 0, done
        return done["stdout"]

    def path(self, name):
        return f"/files/{self.id}/{name}"

    def open(self, method, name, body=None, **headers):
        headers = {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.server.open(method, self.path(name), headers, body)

    def ask(self, method, name, body=None, **headers):
        return self.open(method, name, body, **headers).answer()

    def names(self):
        return {e["path"] for e in self.tool("artifact_list", session_id=self.id)["entries"]}

    def close(self):
        return self.tool("session_close", session_id=self.id)


@pytest.fixture(scope="module")
def server(wire):
    with HttpServer("--allow-origin", "https://app.example", wire=wire) as made:
        yield made


@pytest.fixture(scope="module")
def shared(server):
    return Workspace(server)


@pytest.fixture
def own(server):
    made = Workspace(server)
    yield made
    made.close()


def raw(server, text, body=b""):
    sock = socket.create_connection(("127.0.0.1", server.port), 60)
    sock.sendall(text.replace("\n", "\r\n").encode() + body)
    return sock


def put(path, *fields):
    return "\n".join([f"PUT {path} HTTP/1.1", "Host: localhost:PORT", *fields, "", ""])


def begin_upload(workspace, name, *fields, body=b""):
    """An HTTP/1.1 PUT that is under way: the server has said to go on."""
    text = put(workspace.path(name), "Expect: 100-continue", *fields)
    sock = raw(workspace.server, text.replace("PORT", str(workspace.server.port)))
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    sock.sendall(body)
    return sock


def rest_of(sock):
    got = b""
    while piece := sock.recv(65536):
        got += piece
    return got


def refusal(answer, status):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert set(error) == {"code", "cause", "remediation"} and all(error.values()), error
    return error


def noise(n, seed=b"x"):
    block = hashlib.shake_128(seed).digest(65521)
    return (block * (n // len(block) + 1))[:n]


# --- in and out -------------------------------------------------------------------------------------

@pytest.mark.parametrize("n", [0, 1, 511, 65536, 65537, 3 * MIB + 1])
def test_what_goes_in_comes_out(shared, n):
    data = noise(n)
    name = f"sizes/of/{n}"
    answer = shared.ask("PUT", name, data)
    assert answer.status == 201 and answer.json == {
        "path": name, "size": n, "sha256": hashlib.sha256(data).hexdigest(),
        "mime_type": "text/plain" if not n else answer.json["mime_type"]}
    answer = shared.ask("GET", name)
    assert answer.status == 200 and answer.body == data
    assert answer.headers["content-length"] == str(n)
    head = shared.ask("HEAD", name)
    assert head.headers["content-length"] == str(n) and head.body == b""
    assert shared.python(f"import hashlib; print(hashlib.sha256(open('{name}','rb').read()).hexdigest())") \
        == hashlib.sha256(data).hexdigest() + "\n"
    assert shared.ask("PUT", name, b"again").status == 200
    assert shared.ask("GET", name).body == b"again"


def test_the_largest_there_may_be(own):
    data = noise(100 * MIB)
    assert own.ask("PUT", "big", data).json["sha256"] == hashlib.sha256(data).hexdigest()
    assert own.ask("GET", "big").body == data
    error = refusal(own.ask("PUT", "big", data + b"x"), 413)
    assert "100 MiB" in error["cause"]
    assert own.names() == {"big"}


def test_what_a_tool_wrote_and_what_a_program_wrote(shared):
    shared.tool("artifact_upload", session_id=shared.id, path="by_tool", content="tool")
    assert shared.ask("GET", "by_tool").body == b"tool"
    shared.python("open('by_program', 'w').write('program')")
    assert shared.ask("GET", "by_program").body == b"program"
    shared.ask("PUT", "by_http", b"http")
    assert shared.tool("artifact_download", session_id=shared.id, path="by_http")["content"] == "http"


@pytest.mark.parametrize("name,escaped", [
    ("a b", "a%20b"), ("ä/ö", "%C3%A4/%c3%b6"), ("50%", "50%25"), ("q?", "q%3F"), ("h#", "h%23"),
    ("a%2Fb", "a%252Fb"), ("+", "+"), ("..a", "..a"), ("-rf", "-rf"), ("n\nl", "n%0Al")])
def test_names(shared, name, escaped):
    assert shared.ask("PUT", escaped, name.encode()).json["path"] == name
    assert shared.ask("GET", escaped).body == name.encode()
    assert name in shared.names()
    assert shared.ask("DELETE", escaped).json == {"path": name, "type": "file", "deleted": True}
    refusal(shared.ask("GET", escaped), 404)


@pytest.mark.parametrize("escaped", [
    "..", "../x", "a/../b", "%2e%2e", "%2E%2e/x", "a/./b", "a//b", "/a", "a/", "a%2Fb", "a%2fb", "%00",
    "a%00b", "%ff", "%c0%ae%c0%ae", "a?b", "a" * 256, "/".join(["a" * 200] * 25)])
def test_names_that_are_none(shared, escaped):
    before = shared.names()
    for method, body in (("PUT", b"x"), ("GET", None), ("DELETE", None)):
        refusal(shared.ask(method, escaped, body), 400)
    assert shared.names() == before


@pytest.mark.parametrize("path", ["/files", "/files/", f"/files/{STRANGER}", f"/files/{STRANGER}/"])
def test_addresses_that_are_none(server, path):
    assert server.open("GET", path).answer().status == 404


def test_sessions_that_are_not_there(server, shared):
    for ident in (STRANGER, "x", "a" * 300, "ses_%30", shared.id.upper()):
        refusal(server.open("GET", f"/files/{ident}/x").answer(), 404)
        refusal(server.open("PUT", f"/files/{ident}/x", body=b"x").answer(), 404)


def test_other_methods(shared):
    for method in ("POST", "PATCH", "OPTIONS"):
        answer = shared.ask(method, "x", b"x" if method == "POST" else None)
        refusal(answer, 405)
        assert answer.headers["allow"] == "GET, HEAD, PUT, DELETE, OPTIONS"


def test_a_page(shared):
    answer = shared.ask("OPTIONS", "x", origin="https://app.example", access_control_request_method="PUT",
                        access_control_request_headers="range,content-type,authorization,x-evil")
    assert answer.status == 204
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "range, content-type, authorization"
    shared.ask("PUT", "page", b"x", origin="https://app.example")
    answer = shared.ask("GET", "page", origin="https://app.example")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    refusal(shared.ask("GET", "page", origin="https://evil.example"), 403)
    x = shared.server.open("GET", shared.path("page"), authority="evil.example")
    refusal(x.answer(), 403)


@pytest.mark.parametrize("content,mime", [
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"<html><script>", "text/html"), (b"\0", "application/octet-stream"),
    (b"<svg onload=1>", "image/svg+xml")])
def test_nothing_of_it_runs_in_a_browser(shared, content, mime):
    shared.ask("PUT", "page.html", content)
    headers = shared.ask("GET", "page.html").headers
    assert headers["content-type"] == mime
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment"
    assert "sandbox" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("value,part", [
    ("bytes=0-0", (0, 1)), ("bytes=1-3", (1, 4)), ("bytes=5-", (5, 10)), ("bytes=-3", (7, 10)),
    ("bytes=-100", (0, 10)), ("bytes=8-100", (8, 10)), ("bytes=0-18446744073709551615", (0, 10)),
    ("bytes=10-", None), ("bytes=10-20", None), ("bytes=-0", None)])
def test_a_range(shared, value, part):
    data = b"0123456789"
    shared.ask("PUT", "digits", data)
    answer = shared.ask("GET", "digits", range=value)
    if part is None:
        refusal(answer, 416)
        assert answer.headers["content-range"] == "bytes */10"
        return
    assert answer.status == 206 and answer.body == data[slice(*part)]
    assert answer.headers["content-range"] == f"bytes {part[0]}-{part[1] - 1}/10"


@pytest.mark.parametrize("headers", [
    {"range": "bytes=3-1"}, {"range": "bytes=0-1,3-4"}, {"range": "lines=0-1"}, {"range": "bytes=a-b"},
    {"range": "bytes=18446744073709551616-"}, {"range": "bytes="}, {"range": "bytes=0-1", "if_range": '"x"'}])
def test_ranges_that_are_passed_over(shared, headers):
    shared.ask("PUT", "digits", b"0123456789")
    answer = shared.ask("GET", "digits", **headers)
    assert answer.status == 200 and answer.body == b"0123456789"


def test_a_range_of_nothing(shared):
    shared.ask("PUT", "empty", b"")
    refusal(shared.ask("GET", "empty", range="bytes=0-"), 416)
    assert shared.ask("GET", "empty").body == b""


def test_what_is_there_can_be_kept(shared):
    assert shared.ask("PUT", "kept", b"1", if_none_match="*").status == 201
    refusal(shared.ask("PUT", "kept", b"2", if_none_match="*"), 412)
    assert shared.ask("GET", "kept").body == b"1"


def test_a_part_is_not_taken_for_the_whole(shared):
    shared.ask("PUT", "part", b"whole")
    refusal(shared.ask("PUT", "part", b"x", content_range="bytes 1-1/5"), 400)
    assert shared.ask("GET", "part").body == b"whole"


def test_no_body_is_no_empty_file(shared):
    refusal(shared.ask("PUT", "nothing"), 411)
    assert "nothing" not in shared.names()


def test_what_is_no_file(own):
    own.python("import os\nos.mkdir('folder'); open('folder/x','w')\nos.symlink('/etc/passwd','link')\n"
               "os.symlink('folder','dirlink')\nos.mkdir('empty')\n"
               "import socket; socket.socket(socket.AF_UNIX).bind('socket')\n"
               "os.link('folder/x', 'hard')")
    refusal(own.ask("GET", "folder"), 409)
    refusal(own.ask("GET", "socket"), 409)
    refusal(own.ask("GET", "link"), 403)
    refusal(own.ask("GET", "dirlink/x"), 403)
    refusal(own.ask("GET", "folder/x/y"), 404)
    refusal(own.ask("PUT", "folder", b"x"), 409)
    refusal(own.ask("PUT", "folder/x/y", b"x"), 409)
    refusal(own.ask("PUT", "dirlink/y", b"x"), 403)
    refusal(own.ask("DELETE", "folder"), 409)
    assert own.ask("DELETE", "empty").json["type"] == "folder"
    assert own.ask("PUT", "link", b"mine").status == 200
    assert own.ask("GET", "link").body == b"mine"
    assert own.ask("PUT", "socket", b"mine").status == 200
    assert own.ask("GET", "hard").body == b""


def test_what_a_run_has_left(server):
    answer = server.post(modern("tools/call", {"name": "run_code", "arguments": {
        "language": "python", "code": "open('a b','w').write('left')", "outputs": ["a b"]}}))
    run = answer.json["result"]["structuredContent"]["run_id"]
    assert server.open("GET", f"/files/{run}/a%20b").answer().body == b"left"
    refusal(server.open("GET", f"/files/{run}/c").answer(), 404)
    refusal(server.open("PUT", f"/files/{run}/c", body=b"x").answer(), 403)
    assert server.open("DELETE", f"/files/{run}/a%20b").answer().status == 200
    refusal(server.open("GET", f"/files/{run}/a%20b").answer(), 404)
    refusal(server.open("GET", "/files/run_00112233445566778899aabbccddeeff/c").answer(), 404)


def test_over_tls(wire, tmp_path):
    authority = httpd.Authority(tmp_path)
    cert, key = authority.sign("server")
    with HttpServer("--tls-cert", cert, "--tls-key", key, wire=wire, tls=authority.pem) as server:
        space, data = Workspace(server), noise(20 * MIB + 1)
        assert space.ask("PUT", "f", data).json["sha256"] == hashlib.sha256(data).hexdigest()
        assert space.ask("GET", "f").body == data


# --- who may ----------------------------------------------------------------------------------------

def test_anothers_session_is_not_there(wire):
    with HttpServer(wire=wire, auth=True) as server:
        mine, other = server.key("mine"), server.key("other")
        workspace = Workspace(server, mine)
        assert workspace.ask("PUT", "secret", b"secret").status == 201
        for method, body in (("GET", None), ("HEAD", None), ("PUT", b"x"), ("DELETE", None)):
            answer = server.open(method, workspace.path("secret"), {"authorization": other}, body).answer()
            assert answer.status == 404 and b"secret" not in answer.body
            nobody = server.open(method, workspace.path("secret"), {}, body).answer()
            assert nobody.status == 401 and nobody.headers["www-authenticate"].startswith("Bearer")
            if method != "HEAD":
                refusal(nobody, 401)
        assert workspace.ask("GET", "secret").body == b"secret"


def test_no_one_has_all_transfers(wire):
    with HttpServer(wire=wire, auth=True) as server:
        mine, other = server.key("mine"), server.key("other")
        workspace, second = Workspace(server, mine), Workspace(server, other)
        data = noise(8 * MIB)
        workspace.ask("PUT", "big", data)
        # clients that read nothing: each is a transfer
        stuck = [workspace.open("GET", "big") for _ in range(16)]
        for x in stuck:
            x.head()
        answer = workspace.ask("GET", "big")
        assert answer.headers["retry-after"]
        refusal(answer, 429)
        assert second.ask("PUT", "x", b"x").status == 201
        for x in stuck:
            assert x.answer().body == data
        assert workspace.ask("GET", "big").body == data


# --- ends in the middle -----------------------------------------------------------------------------

@pytest.mark.parametrize("fields", [["Content-Length: 1000000"], ["Transfer-Encoding: chunked"]])
@pytest.mark.parametrize("was", [None, b"before"])
def test_an_upload_that_stops_leaves_nothing(server, fields, was):
    own = Workspace(server)
    if was:
        own.ask("PUT", "f", was)
    piece = noise(100000)
    socks = [begin_upload(own, "f", *fields, body=piece if "Length" in fields[0]
                          else b"186a0\r\n" + piece + b"\r\n") for _ in range(12)]
    for sock in socks:
        sock.close()
    # more than may be under way at a time: it ends only if all have been given up
    assert own.ask("PUT", "g", b"after").status == 201
    assert own.names() == ({"f", "g"} if was else {"g"})
    if was:
        assert own.ask("GET", "f").body == was
    own.close()


def test_a_broken_chunk_leaves_nothing(own):
    sock = begin_upload(own, "f", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\nzz\r\n")
    assert rest_of(sock).startswith(b"HTTP/1.1 400 ")
    assert own.ask("PUT", "g", b"x").status == 201
    assert own.names() == {"g"}


def test_chunked(own):
    sock = begin_upload(own, "f", "Transfer-Encoding: chunked", "Connection: close",
                        body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert b'"size":5' in rest_of(sock)
    assert own.ask("GET", "f").body == b"abcde"


def test_too_much_that_was_not_announced(own):
    sock = begin_upload(own, "f", "Transfer-Encoding: chunked")
    block = b"100000\r\n" + bytes(MIB) + b"\r\n"
    try:
        for _ in range(101):
            sock.sendall(block)
    except OSError:
        pass
    assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert own.ask("PUT", "g", b"x").status == 201
    assert own.names() == {"g"}


def test_a_full_workspace(server):
    own = Workspace(server, workspace_bytes=16 * MIB)
    own.ask("PUT", "small", b"small")
    error = refusal(own.ask("PUT", "big", noise(40 * MIB)), 507)
    assert "full" in error["cause"]
    assert own.names() == {"small"}
    assert own.ask("PUT", "fits", noise(8 * MIB)).status == 201
    # the old one is there until the new one is whole
    refusal(own.ask("PUT", "fits", noise(12 * MIB)), 507)
    assert own.ask("GET", "fits").body == noise(8 * MIB)
    own.close()


def test_a_session_that_is_closed_during_an_upload(server):
    own = Workspace(server)
    sock = begin_upload(own, "f", "Content-Length: 1000000", body=b"x" * 1000)
    own.close()
    answer = rest_of(sock)
    assert answer.startswith(b"HTTP/1.1 404 ") and b"has ended" in answer


def test_a_session_that_is_closed_during_a_download(server):
    """It is broken off, and no descriptor keeps the workspace's memory."""
    own = Workspace(server)
    own.ask("PUT", "f", noise(64 * MIB))
    x = own.open("GET", "f")
    x.head()
    assert open_files(server)
    own.close()
    until_closed(server)
    with pytest.raises(Exception):
        got = x.answer()
        assert len(got.body) == 64 * MIB
        raise AssertionError("all of it came")
    x.close()


def open_files(server):
    """Files of workspaces that the front has open."""
    found = []
    for pid in server.family():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if not file.read().startswith(b"fumehood-front"):
                continue
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                name = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue  # just closed
            if name.startswith("/") and not name.startswith(("/memfd:", "/dev/", server.dir)):
                found.append(name)
    return found


def until_closed(server):
    end = time.monotonic() + 60
    while open_files(server):
        assert time.monotonic() < end, open_files(server)
        time.sleep(0.01)


def test_a_file_that_becomes_shorter_is_broken_off(own):
    own.ask("PUT", "f", noise(64 * MIB))
    x = own.open("GET", "f")
    assert x.head()[1]["content-length"] == str(64 * MIB)
    own.python("import os; os.truncate('f', 1000)")
    with pytest.raises(Exception):
        body = x.answer().body
        assert len(body) == 64 * MIB
        raise AssertionError("it was padded")
    x.close()


def test_a_file_that_grows_is_what_was_promised(own):
    own.ask("PUT", "f", noise(32 * MIB))
    x = own.open("GET", "f")
    x.head()
    own.python("open('f', 'ab').write(b'more' * 1000)")
    assert x.answer().body == noise(32 * MIB)


def test_a_file_that_is_replaced_is_what_it_was(own):
    own.ask("PUT", "f", noise(32 * MIB))
    x = own.open("GET", "f")
    x.head()
    assert own.ask("PUT", "f", b"new").status == 200
    assert x.answer().body == noise(32 * MIB)
    assert own.ask("GET", "f").body == b"new"


def test_a_client_that_leaves_during_a_download(own):
    own.ask("PUT", "f", noise(64 * MIB))
    for _ in range(20):
        x = own.open("GET", "f")
        x.head()
        x.close()
    until_closed(own.server)
    assert own.ask("GET", "f").body == noise(64 * MIB)


def test_a_code_that_kills_its_porters(own):
    """Whoever serves the upload can be killed by the session's own code: an answer comes all the same."""
    sock = begin_upload(own, "f", "Content-Length: 1000000", body=b"x" * 1000)
    own.python("import os, signal\n"
               "for p in os.listdir('/proc'):\n"
               "    if p.isdigit() and int(p) not in (1, os.getpid(), os.getppid()):\n"
               "        try: os.kill(int(p), signal.SIGKILL)\n"
               "        except OSError: pass\n")
    sock.sendall(b"x" * 999000)
    status = int(rest_of_one(sock).split()[1])
    assert status in (200, 201, 503), status
    assert ("f" in own.names()) == (status != 503)


def rest_of_one(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65536)
        assert piece, got
        got += piece
    return got


def test_stopping_the_server_in_the_middle(wire):
    with HttpServer("--drain-ms", "200", wire=wire) as server:
        own = Workspace(server)
        own.ask("PUT", "big", noise(64 * MIB))
        upload = begin_upload(own, "f", "Content-Length: 1000000", body=b"x" * 1000)
        download = own.open("GET", "big")
        download.head()
        server.terminate()
        assert rest_of(upload).startswith(b"HTTP/1.1 503 ")
        assert server.wait() == 0
        download.close()


# --- memory -----------------------------------------------------------------------------------------

def private(server):
    """KiB that are each role's own, or its share of."""
    found = {}
    for pid in server.family():
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                kib = int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1])
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except (OSError, TypeError):
            continue
        if b"bwrap" not in words[0]:
            found[pid] = kib
    return found


def test_ten_at_once_are_not_in_memory(server):
    spaces = [Workspace(server) for _ in range(2)]
    data = noise(24 * MIB)
    for space in spaces:
        space.ask("PUT", "there", data)
    before, worst = private(server), {}
    failures = []

    def transfer(i):
        try:
            space = spaces[i % 2]
            if i % 3:
                assert space.ask("PUT", f"f{i % 4}", data).json["size"] == len(data)
            else:
                assert space.ask("GET", "there").body == data
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=transfer, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for pid, kib in private(server).items():
            worst[pid] = max(worst.get(pid, 0), kib)
    for thread in threads:
        thread.join()
    assert not failures, failures
    grown = {pid: kib - before[pid] for pid, kib in worst.items() if pid in before}
    assert grown and (mcp.sanitized() or max(grown.values()) < 12 << 10), grown
    for space in spaces:
        space.close()


# --- curl -------------------------------------------------------------------------------------------

def test_curl(own, tmp_path):
    """As the manual has it."""
    source, back = tmp_path / "data.csv", tmp_path / "back.csv"
    source.write_bytes(noise(3 * MIB))
    base = f"http://{own.server.address}/files/{own.id}"
    h2 = ["--http2-prior-knowledge"] if own.server.wire is mcp_http.Http2 else []

    def curl(*words):
        done = subprocess.run(["curl", "-sS", "--fail", *h2, *words], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = json.loads(curl("-T", str(source), f"{base}/in/data.csv"))
    assert said["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    curl("-o", str(back), f"{base}/in/data.csv")
    assert back.read_bytes() == source.read_bytes()
    back.write_bytes(source.read_bytes()[:MIB])
    curl("-C", "-", "-o", str(back), f"{base}/in/data.csv")
    assert back.read_bytes() == source.read_bytes()
    assert json.loads(curl("-X", "DELETE", f"{base}/in/data.csv"))["deleted"]
