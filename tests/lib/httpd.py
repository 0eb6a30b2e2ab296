"""tests/lib/httpd.c from the outside: a server with chosen limits, and clients that say exactly what
they are told to, over TCP, TLS, a Unix socket and HTTP/2."""
import json
import os
import resource
import select
import signal
import socket
import ssl
import subprocess
import time

import goaway  # noqa: F401
import h2.config
import h2.connection
import h2.events

from cannot import built

HTTPD = os.environ.get("HTTPD") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release", "tests", "lib", "httpd")
# how long a test waits for what must happen; nothing is asserted about time
PATIENCE = 20
MSS = 1 << 16


def sanitized():
    with open(HTTPD, "rb") as file:
        return b"__asan_init" in file.read()


class Server:
    """with Server("--tcp", header_ms=200) as s: ..."""

    def __init__(self, *options, confine=True, fds=None, **limits):
        built(HTTPD, "make check-http")
        self.options = list(options) or ["--tcp"]
        words = [HTTPD, *self.options, *(f"{k}={v}" for k, v in limits.items())]
        if confine:
            words.append("--confine")

        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (fds, fds))

        self.proc = subprocess.Popen(words, stdout=subprocess.PIPE, text=True,
                                     preexec_fn=few if fds else None)
        line = self.proc.stdout.readline().split()
        assert line and line[0] == "ready", (words, line)
        self.ports = [int(n) for n in line[1:]]
        self.port = self.ports[0]
        self.clients = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for client in self.clients:
            client.close()
        self.proc.send_signal(signal.SIGTERM)
        try:
            status = self.proc.wait(PATIENCE)
        finally:
            self.proc.kill()
            self.proc.stdout.close()
        # -31 would be a system call it may not use; a sanitizer exits with 1
        if kind is None:
            assert status == 0

    def connect(self, family=socket.AF_INET, path=None):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(path or ("127.0.0.1", self.port))
        client = Client(sock)
        self.clients.append(client)
        return client

    def tls(self, context, port=None):
        raw = socket.create_connection(("127.0.0.1", port or self.port), PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(context.wrap_socket(raw, server_hostname="localhost"))
        self.clients.append(client)
        return client

    def h2(self, client=None, start=True):
        client = client or self.connect()
        return Http2(client, start)

    def stats(self):
        client = self.connect()
        try:
            return json.loads(client.ask("/stats").body)
        finally:
            client.close()
            self.clients.remove(client)

    def until(self, condition):
        """The server's numbers once they meet the condition."""
        end = time.monotonic() + PATIENCE
        while True:
            stats = self.stats()
            if condition(stats):
                return stats
            assert time.monotonic() < end, stats
            time.sleep(0.01)

    def until_refused(self):
        """Once it no longer listens."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self.connect().close()
            except ConnectionRefusedError:
                return True
            time.sleep(0.01)
        return False

    def status(self, name):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        raise KeyError(name)

    def cpu_ticks(self):
        with open(f"/proc/{self.proc.pid}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return int(words[11]) + int(words[12])


class Answer:
    def __init__(self, status, version, fields, body):
        self.status, self.version, self.fields, self.body = status, version, fields, body

    def get(self, name):
        return next((v for k, v in self.fields if k == name), None)

    def refusal(self):
        """The room's own answers have one form."""
        assert self.get("content-type") == "application/json", self.fields
        said = json.loads(self.body)
        assert sorted(said) == ["cause", "code", "remediation"]
        assert all(said.values())
        return said


class Client:
    def __init__(self, sock):
        self.sock, self.got = sock, b""

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def more(self):
        piece = self.sock.recv(MSS)
        self.got += piece
        return piece

    def until(self, mark):
        while mark not in self.got:
            if not self.more():
                raise EOFError(self.got)
        before, self.got = self.got.split(mark, 1)
        return before + mark

    def exactly(self, n):
        while len(self.got) < n:
            if not self.more():
                raise EOFError(self.got)
        piece, self.got = self.got[:n], self.got[n:]
        return piece

    def answer(self, bodyless=False):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        fields = [tuple(line.split(": ", 1)) for line in lines[1:] if line]
        made = Answer(int(status), version, fields, b"")
        if made.get("transfer-encoding") == "chunked" and not bodyless:
            made.body = b"".join(self.chunks())
        elif made.get("content-length") and not bodyless:
            made.body = self.exactly(int(made.get("content-length")))
        return made

    def chunk(self):
        n = int(self.until(b"\r\n"), 16)
        data = self.exactly(n)
        assert self.exactly(2) == b"\r\n"
        return data

    def chunks(self):
        while True:
            data = self.chunk()
            if not data:
                return
            yield data

    def ask(self, path, body=None, method=None, fields=""):
        method = method or ("GET" if body is None else "POST")
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        self.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{length}{fields}\r\n")
        if body:
            self.send(body)
        return self.answer(bodyless=method == "HEAD")

    def is_closed(self):
        """True when the server has ended the connection, with nothing more to say."""
        try:
            return not self.got and not self.sock.recv(1)
        except ConnectionResetError:
            return True

    def says_nothing(self):
        return not self.got and not select.select([self.sock], [], [], 0)[0]


class Http2:
    """Frames by hyper-h2, which can be told to send what it should not."""

    def __init__(self, client, start=True):
        self.client = client
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=True))
        self.events, self.ended = [], False
        if start:
            self.conn.initiate_connection()
            self.flush()

    def flush(self):
        self.client.send(self.conn.data_to_send())

    def request(self, path, body=None, method=None, fields=(), end=True):
        stream = self.conn.get_next_available_stream_id()
        head = [(":method", method or ("GET" if body is None else "POST")), (":scheme", "http"),
                (":authority", "test"), (":path", path), *fields]
        self.conn.send_headers(stream, head, end_stream=end and body is None)
        if body is not None:
            self.upload(stream, body, end)
        self.flush()
        return stream

    def upload(self, stream, body, end=True):
        while body:
            n = min(self.conn.local_flow_control_window(stream), len(body), 16384)
            if n == 0:
                self.flush()
                self.turn()
                if self.is_over(stream):
                    return
                continue
            self.conn.send_data(stream, body[:n], end_stream=end and n == len(body))
            body = body[n:]
            self.flush()

    def turn(self):
        """Reads once; False at the end of the connection."""
        try:
            data = self.client.sock.recv(MSS)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return False
        for event in self.conn.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.received(event)
        self.flush_quietly()
        return True

    def received(self, event):
        self.conn.increment_flow_control_window(event.flow_controlled_length)
        if event.stream_id in self.conn.streams and not self.conn.streams[event.stream_id].closed:
            self.conn.increment_flow_control_window(event.flow_controlled_length, event.stream_id)

    def flush_quietly(self):
        try:
            self.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def is_over(self, stream):
        return self.ended or any(isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset))
                                 and e.stream_id == stream for e in self.events)

    def find(self, kind, stream=None):
        return [e for e in self.events if isinstance(e, kind)
                and (stream is None or e.stream_id == stream)]

    def wait(self, kind, stream=None):
        while not self.find(kind, stream):
            assert self.turn(), f"the connection ended without {kind}: {self.events}"
        return self.find(kind, stream)[0]

    def until_closed(self):
        while self.turn():
            pass
        return self

    def answer(self, stream):
        while not self.is_over(stream):
            self.turn()
        head = self.find(h2.events.ResponseReceived, stream)
        assert head, self.events
        fields = [(str(k), str(v)) for k, v in head[0].headers]
        body = b"".join(e.data for e in self.find(h2.events.DataReceived, stream))
        return Answer(int(dict(fields)[":status"]), "HTTP/2", fields, body)

    def ask(self, path, body=None, **more):
        return self.answer(self.request(path, body, **more))

    def goodbye(self):
        """The error code of the GOAWAY that must come."""
        return self.wait(h2.events.ConnectionTerminated).error_code

    def raw(self, kind, flags, stream, payload=b""):
        self.client.send(len(payload).to_bytes(3, "big") + bytes([kind, flags])
                         + stream.to_bytes(4, "big") + payload)


class Authority:
    """A CA in a folder, that signs what a test needs."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = str(folder), name
        self.run("req", "-x509", *self.new_key(name), "-out", f"{name}.pem", "-subj", f"/CN={name}",
                 "-days", "2")
        self.pem = self.path(f"{name}.pem")

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr

    def new_key(self, name, kind="ec"):
        algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" \
            else ["-newkey", "rsa:2048"]
        return [*algorithm, "-nodes", "-keyout", f"{name}.key"]

    def sign(self, name, usage="serverAuth", kind="ec", days=2):
        with open(self.path(f"{name}.ext"), "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n"
                       f"extendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        self.run("req", *self.new_key(name, kind), "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey",
                 f"{self.name}.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", str(days),
                 "-extfile", f"{name}.ext")
        return self.path(f"{name}.pem"), self.path(f"{name}.key")

    def context(self, alpn=("http/1.1",), version=None, client=None):
        made = ssl.create_default_context(cafile=self.pem)
        made.set_alpn_protocols(list(alpn))
        if version:
            made.minimum_version = made.maximum_version = version
        if client:
            made.load_cert_chain(*client)
        return made
