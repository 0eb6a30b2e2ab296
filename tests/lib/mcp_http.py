"""`fumehood serve` and raw HTTP clients for the tests: HTTP/1.1 and HTTP/2 behind one face.

    with HttpServer() as s:                      # no authentication, 127.0.0.1, any free port
        answer = s.post(modern("tools/list"))    # Answer: status, headers, body, json()
        x = s.open("POST", "/mcp", headers, body)    # Exchange: what comes piece by piece
        event = x.event()                        # the next SSE event; None at the end
        x.close()                                # as a client that hangs up

A server that is left by `with` must end by SIGTERM with code 0 and leave a record that is intact and
complete. Nothing here waits for longer than TIMEOUT.
"""
import collections
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import cells
import mcp
import processes

try:
    import goaway
    import h2.config
    import h2.connection
    import h2.events
except ImportError:
    h2 = None

TIMEOUT = 60.0
MODERN = mcp.MODERN
META = mcp.META
LISTENING = re.compile(r"event=listening address=(\S+)")
BOTH = "application/json, text/event-stream"

Answer = collections.namedtuple("Answer", "status headers body")
Answer.json = property(lambda self: json.loads(self.body))
Event = collections.namedtuple("Event", "id event data retry")
Event.json = property(lambda self: json.loads(self.data))


# --- messages ---------------------------------------------------------------------------------------

def request(method, params=None, ident=1):
    message = {"jsonrpc": "2.0", "id": ident, "method": method}
    if params is not None:
        message["params"] = params
    return message


def notification(method, params=None):
    message = request(method, params)
    del message["id"]
    return message


def modern(method, params=None, ident=1, token=None, capabilities=None):
    meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": capabilities or {}}
    if token is not None:
        meta["progressToken"] = token
    return request(method, dict(params or {}, _meta=meta), ident)


def call(code, language="python", timeout_ms=30000, **more):
    """The params of a run."""
    return {"name": "run_code", "arguments": dict(
        {"language": language, "code": code, "timeout_ms": timeout_ms}, **more)}


def headers_for(message, **more):
    """What a client sends with it; more: names with _ for -, None leaves one out."""
    headers = {"content-type": "application/json", "accept": BOTH}
    params = message.get("params") if isinstance(message, dict) else None
    if isinstance(params, dict) and META + "protocolVersion" in params.get("_meta", {}):
        headers["mcp-protocol-version"] = params["_meta"][META + "protocolVersion"]
        headers["mcp-method"] = message["method"]
        name = params.get("name") or params.get("uri") or params.get("taskId")
        if name:
            headers["mcp-name"] = name
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    return {name: value for name, value in headers.items() if value is not None}


# --- events -----------------------------------------------------------------------------------------

class Events:
    """Bytes of an event stream -> events, by the rules of the HTML standard; comments are counted."""

    def __init__(self):
        self.rest, self.ready, self.comments = b"", collections.deque(), []

    def feed(self, data):
        self.rest += data
        while b"\n\n" in self.rest:
            block, self.rest = self.rest.split(b"\n\n", 1)
            fields = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                value = value[1:] if value.startswith(" ") else value
                if name == "":
                    self.comments.append(value)
                else:
                    fields[name] = value
            if fields:
                self.ready.append(Event(fields.get("id"), fields.get("event"), fields.get("data"),
                                        fields.get("retry")))


# --- the wires --------------------------------------------------------------------------------------

class Exchange:
    """One request and what comes of it. head() -> status, headers; piece() -> bytes, b"" at the end."""

    def __init__(self):
        self.stream = Events()
        self.status = self.headers = None

    def answer(self):
        self.head()
        pieces = []
        while piece := self.piece():
            pieces.append(piece)
        self.close()
        return Answer(self.status, self.headers, b"".join(pieces))

    def event(self, timeout=TIMEOUT):
        """The next event, None when the stream has ended in order."""
        end = time.monotonic() + timeout
        self.head()
        while not self.stream.ready:
            assert time.monotonic() < end, "no event came"
            piece = self.piece()
            if not piece:
                assert not self.stream.rest, f"cut off: {self.stream.rest[:200]}"
                return None
            self.stream.feed(piece)
        return self.stream.ready.popleft()

    def events(self):
        found = []
        while (event := self.event()) is not None:
            found.append(event)
        self.close()
        return found

    def messages(self):
        """All JSON-RPC messages to the end, whether they came as JSON or as events."""
        status, headers = self.head()
        if status in (202, 204):
            return []
        if headers["content-type"] == "application/json":
            return [self.answer().json]
        return [event.json for event in self.events() if event.data]

    def comment(self):
        """Waits for one more comment."""
        seen = len(self.stream.comments)
        self.head()
        while len(self.stream.comments) == seen:
            piece = self.piece()
            assert piece, "the stream ended"
            self.stream.feed(piece)
        return self.stream.comments[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Http1(Exchange):
    name = "http/1.1"

    def __init__(self, sock, authority, method, path, headers, body):
        super().__init__()
        self.conn = http.client.HTTPConnection("unused", timeout=TIMEOUT)
        self.conn.sock = sock
        self.conn.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        self.conn.putheader("host", authority)
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.conn.putheader(name, one)
        if body is not None:
            self.conn.putheader("content-length", str(len(body)))
        self.conn.endheaders(body)
        self.response = None

    def head(self):
        if self.response is None:
            self.response = self.conn.getresponse()
            self.status = self.response.status
            self.headers = {k.lower(): v for k, v in self.response.getheaders()}
        return self.status, self.headers

    def piece(self):
        return self.response.read1(65536)

    def close(self):
        if self.response is not None:
            self.response.close()
        self.conn.close()


class Http2(Exchange):
    name = "h2"

    def __init__(self, sock, authority, method, path, headers, body):
        super().__init__()
        self.sock, self.ended, self.data = sock, False, collections.deque()
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.conn.initiate_connection()
        fields = [(":method", method), (":path", path), (":authority", authority),
                  (":scheme", "https" if isinstance(sock, ssl.SSLSocket) else "http")]
        for name, value in headers.items():
            fields += [(name, one) for one in (value if isinstance(value, list) else [value])]
        self.id = self.conn.get_next_available_stream_id()
        self.conn.send_headers(self.id, fields, end_stream=body is None)
        self.flush()
        self.send_body(body or b"", body is not None)

    def flush(self):
        out = self.conn.data_to_send()
        if out:
            self.sock.sendall(out)

    def send_body(self, body, wanted):
        body = memoryview(body)
        while wanted and self.status is None:
            room = min(self.conn.local_flow_control_window(self.id),
                       self.conn.max_outbound_frame_size, len(body))
            if body and not room:
                self.read_some()
                continue
            self.conn.send_data(self.id, bytes(body[:room]), end_stream=room == len(body))
            self.flush()
            if room == len(body):
                return
            body = body[room:]

    def read_some(self):
        data = self.sock.recv(65536)
        assert data, "the connection was closed"
        for event in self.conn.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
                self.status = int(self.headers.pop(":status"))
            elif isinstance(event, h2.events.DataReceived):
                self.data.append(event.data)
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset) or (
                    isinstance(event, h2.events.ConnectionTerminated) and event.error_code):
                assert self.ended, f"broken off: {event}"
        self.flush()

    def head(self):
        while self.status is None:
            self.read_some()
        return self.status, self.headers

    def piece(self):
        while not self.data and not self.ended:
            self.read_some()
        while self.data:
            piece = self.data.popleft()
            if piece:
                return piece
        return b"" if self.ended else self.piece()

    def close(self):
        with contextlib.suppress(Exception):
            if not self.ended:
                self.conn.reset_stream(self.id)
                self.flush()
        self.sock.close()


WIRES = {"h1": Http1, "h2": Http2}


def wire_or_skip(name):
    """The class of that name, or the reason why it cannot be tried."""
    return "python3-h2 is not installed" if name == "h2" and h2 is None else WIRES[name]


# --- the server -------------------------------------------------------------------------------------

class HttpServer:
    """A `fumehood serve`. options: more words of the command line; auth: keys are asked for;
    wire: Http1 or Http2; listen: instead of a free port of 127.0.0.1; tls: a CA file that signed the
    server's certificate; start: instead of subprocess.Popen."""

    def __init__(self, *options, auth=False, wire=Http1, listen="127.0.0.1:0", tls=None, env=None,
                 state=None, start=subprocess.Popen, ready=True):
        self.dir = tempfile.mkdtemp(prefix="fumehood-http-")
        self.state = state or os.path.join(self.dir, "state")
        self.wire, self.tls, self.sessions = wire, tls, 0
        self.stderr_path = os.path.join(self.dir, "stderr")
        words = ["serve", "--state", self.state, *options]
        if listen:
            words += ["--listen", listen]
        if not auth:
            words.append("--insecure-no-auth")
        with open(self.stderr_path, "wb") as stderr:
            self.proc = start([mcp.BINARY, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=stderr, env={**os.environ, **(env or {})})
        self.pid = self.proc.pid
        try:
            self.addresses = self._wait_ready() if ready else []
        except BaseException:
            self.discard()
            raise
        self.address = self.addresses[0] if self.addresses else None
        self.authority = "localhost" if (self.address or "").startswith("unix:") else self.address

    def _wait_ready(self):
        end = time.monotonic() + TIMEOUT
        while True:
            found = LISTENING.findall(self.stderr())
            if found and self.stderr().endswith("\n"):
                return found
            assert self.proc.poll() is None, f"ended with {self.proc.returncode}: {self.stderr()}"
            assert time.monotonic() < end, f"does not listen: {self.stderr()}"
            time.sleep(0.01)

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    # -- out

    def connect(self, address=None, alpn=None, client_cert=None):
        address = address or self.address
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(TIMEOUT)
            sock.connect(address[5:])
            return sock
        host, _, port = address.rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT)
        if not self.tls:
            return sock
        context = ssl.create_default_context(cafile=self.tls)
        context.set_alpn_protocols(alpn or [self.wire.name])
        if client_cert:
            context.load_cert_chain(*client_cert)
        return context.wrap_socket(sock, server_hostname=host.strip("[]"))

    def open(self, method, path="/mcp", headers=None, body=None, authority=None, **where):
        """Sends a request; the Exchange says what comes of it."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        return self.wire(self.connect(**where), authority or self.authority, method, path,
                         headers or {}, body)

    def start(self, message, **headers):
        """POSTs a message; the Exchange."""
        return self.open("POST", headers=headers_for(message, **headers), body=message)

    def post(self, message, **headers):
        """POSTs a message; the whole Answer."""
        return self.start(message, **headers).answer()

    def get(self, path, **headers):
        return self.open("GET", path, {k.replace("_", "-"): v for k, v in headers.items()}).answer()

    def key(self, name):
        """A fresh API key, as the Authorization header that shows it."""
        done = subprocess.run([mcp.BINARY, "key", "create", name, "--state", self.state],
                              capture_output=True, text=True, timeout=60, check=True)
        return "Bearer " + done.stdout.strip()

    # -- life

    def terminate(self):
        self.proc.send_signal(signal.SIGTERM)

    def wait(self, seconds=TIMEOUT):
        return self.proc.wait(seconds)

    def family(self):
        """Every process of it."""
        return [self.pid] + processes.offspring(self.pid)

    def runs(self):
        """run_id -> how it ended, by the record."""
        return {row["run_id"]: row["status"] for row in self.audit("list")
                if (row["run_id"] or "").startswith("run_")}

    def observe(self, warm=False):
        """Before the runs that begun() and outcomes() are to tell of; warm: these are to be in copies of an interpreter,
        and the server makes some. Else it must be one that keeps none (cells.NONE)."""
        def run():
            return self.post(modern("tools/call", call("1"))).json["result"]["structuredContent"]

        if warm:
            cells.warm_up(run)
        self.watch = cells.Watch(self.pid, warm)
        self.earlier = set(self.runs()) if warm else set()

    def begun(self, runs=1):
        """All processes of so many runs, whose programs are `cells.named`, once these run."""
        return self.watch.begun(runs)

    def outcomes(self):
        """How the runs ended, once all have."""
        def all_ended():
            found = [status for run, status in self.runs().items() if run not in self.earlier]
            return found if "running" not in found else None
        return cells.until("no outcome", all_ended)

    def audit(self, *words):
        done = subprocess.run([mcp.BINARY, "audit", *words, "--json", "--state", self.state],
                              capture_output=True, text=True, timeout=60, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def end(self, code=0):
        """SIGTERM; ends with that code, leaves no process and a complete record."""
        if self.proc.poll() is None:
            pids = self.family()
            self.terminate()
            got = self.wait()
            assert got == code, f"exit code {got}: {self.stderr()[-2000:]}"
            assert processes.gone(pids, 5), "processes are left"
        verdict, = self.audit("verify")
        assert verdict["intact"] and not verdict["warnings_count"], verdict

    def discard(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.end()
        finally:
            self.discard()


def refused(server):
    """Whether it takes no connections any more."""
    try:
        server.connect().close()
    except OSError:
        return True
    return False


class Session:
    """A legacy session: initialize, and then what a client does with it."""

    def __init__(self, server, version="2025-11-25", capabilities=None, **headers):
        self.server, self.more, self.next = server, headers, 1
        answer = server.post(request("initialize", {
            "protocolVersion": version, "capabilities": capabilities or {},
            "clientInfo": {"name": "fumehood-tests", "version": "1"}}), **headers)
        assert answer.status == 200, answer
        self.id = answer.headers["mcp-session-id"]
        self.version = answer.json["result"]["protocolVersion"]
        self.headers = {"mcp_session_id": self.id, "mcp_protocol_version": self.version, **headers}
        assert self.post(notification("notifications/initialized")).status == 202

    def start(self, message, **headers):
        return self.server.start(message, **{**self.headers, **headers})

    def post(self, message, **headers):
        return self.server.post(message, **{**self.headers, **headers})

    def request(self, method, params=None):
        """The answer, whether it comes alone or, after a moment, at the end of a stream."""
        self.next += 1
        with self.start(request(method, params, self.next)) as x:
            message = x.messages()[-1]
            assert x.status == 200 and message["id"] == self.next, message
        return message

    def listen(self, last_event_id=None):
        """GET: the standalone stream, or the one of that event."""
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        headers["accept"] = "text/event-stream"
        if last_event_id is not None:
            headers["last-event-id"] = last_event_id
        return self.server.open("GET", headers=headers)

    def delete(self, **headers):
        headers = {**self.headers, **headers}
        return self.server.open("DELETE", headers={k.replace("_", "-"): v for k, v in headers.items()}
                                ).answer()
