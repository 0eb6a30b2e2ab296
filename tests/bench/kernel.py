"""A Jupyter kernel, ipykernel, and two clients of it.

`Raw` is the fastest client there can be in Python: a socket of ZeroMQ for requests and one for news,
the messages made and signed before the clock starts, nothing decoded until it has stopped. `Blocking`
is jupyter_client's own. Both are done when the reply and the value have come and the kernel is idle.
The kernel keeps no history, and is spoken to over Unix sockets, which is faster than its usual TCP.
"""
import hashlib
import hmac
import json
import os
import subprocess
import time
import uuid

from spawner import PATIENCE, Wrong

try:
    import jupyter_client
    import zmq
except ImportError:
    zmq = None

PYTHON = "/usr/bin/python3"
DELIMITER = b"<IDS|MSG>"
PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def missing():
    """Why there is no kernel here; None: there is."""
    if zmq is None:
        return "python3-jupyter-client is not installed"
    found = subprocess.run([PYTHON, "-c", "import ipykernel"], capture_output=True)
    return "python3-ipykernel is not installed" if found.returncode else None


class Kernel:
    def __init__(self, folder):
        self.began = time.perf_counter()
        self.key = uuid.uuid4().hex
        self.file = os.path.join(folder, "kernel.json")
        self.about = {**{port: n for n, port in enumerate(PORTS, 1)}, "transport": "ipc",
                      "ip": os.path.join(folder, "kernel"), "key": self.key,
                      "signature_scheme": "hmac-sha256"}
        with open(self.file, "w") as f:
            json.dump(self.about, f)
        self.process = subprocess.Popen(
            [PYTHON, "-m", "ipykernel_launcher", "-f", self.file, "--HistoryManager.enabled=False"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8",
                             "JPY_PARENT_PID": str(os.getpid())})      # it ends with us

    def address(self, port):
        return f"ipc://{self.about['ip']}-{self.about[port]}"

    def close(self):
        self.discard()

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Raw:
    def __init__(self, folder):
        self.kernel = Kernel(folder)
        self.context = zmq.Context()
        self.shell, self.news = self.context.socket(zmq.DEALER), self.context.socket(zmq.SUB)
        for socket, port in ((self.shell, "shell_port"), (self.news, "iopub_port")):
            socket.linger = 0
            socket.rcvtimeo = int(PATIENCE * 1000)
            if socket is self.news:
                socket.subscribe(b"")
            socket.connect(self.kernel.address(port))
        self.first_ms = self.wait()

    def message(self, code):
        """-> (its id, the frames)"""
        ident = uuid.uuid4().hex
        header = {"msg_id": ident, "session": self.kernel.key, "username": "bench",
                  "date": "2026-01-01T00:00:00Z", "msg_type": "execute_request", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": True}
        parts = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        signed = hmac.new(self.kernel.key.encode(), b"".join(parts), hashlib.sha256).hexdigest()
        return ident.encode(), [DELIMITER, signed.encode(), *parts]

    def wait(self):
        """Until it answers and its news come: those before the subscription was known are lost."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ident, frames = self.message("1+1")
            self.shell.send_multipart(frames)
            self.shell.recv_multipart()
            first = (time.perf_counter() - self.kernel.began) * 1e3
            while self.news.poll(200):
                if self.is_idle(self.news.recv_multipart(), ident):
                    return first
        self.discard()
        raise Wrong("the Jupyter kernel did not start")

    @staticmethod
    def is_idle(frames, ident):
        return b'"idle"' in frames[-1] and ident in frames[-3]

    def call(self, nonce):
        """-> milliseconds for NONCE+1"""
        ident, frames = self.message(f"{nonce}+1")
        news = []
        began = time.perf_counter()
        self.shell.send_multipart(frames)
        while not news or not self.is_idle(news[-1], ident):
            news.append(self.news.recv_multipart())
        reply = self.shell.recv_multipart()
        took = time.perf_counter() - began
        values = [json.loads(each[-1])["data"]["text/plain"] for each in news
                  if b'"execute_result"' in each[-4]]
        if json.loads(reply[-1])["status"] != "ok" or values != [str(nonce + 1)]:
            raise Wrong(f"a wrong answer of ipykernel: {news} {reply}")
        return took * 1e3

    def close(self):
        self.discard()

    def discard(self):
        self.kernel.discard()
        self.context.destroy(linger=0)


class Blocking:
    def __init__(self, folder):
        self.kernel = Kernel(folder)
        self.client = jupyter_client.BlockingKernelClient(connection_file=self.kernel.file)
        self.client.load_connection_file()
        self.client.start_channels(hb=False)     # which takes a slow start for a death
        try:
            self.client.wait_for_ready(timeout=PATIENCE)
        except RuntimeError as why:
            self.discard()
            raise Wrong(f"the Jupyter kernel did not start: {why}") from None

    def call(self, nonce):
        began = time.perf_counter()
        ident = self.client.execute(f"{nonce}+1", store_history=False, allow_stdin=False)
        values, state = [], ""
        while state != "idle":
            news = self.client.get_iopub_msg(timeout=PATIENCE)
            if news["parent_header"].get("msg_id") != ident:
                continue
            state = news["content"].get("execution_state", "")
            if news["msg_type"] == "execute_result":
                values.append(news["content"]["data"]["text/plain"])
        reply = self.client.get_shell_msg(timeout=PATIENCE)
        took = time.perf_counter() - began
        if reply["content"]["status"] != "ok" or values != [str(nonce + 1)]:
            raise Wrong(f"a wrong answer of ipykernel: {values} {reply}")
        return took * 1e3

    def close(self):
        self.discard()

    def discard(self):
        self.client.stop_channels()
        self.kernel.discard()
