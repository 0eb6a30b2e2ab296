"""A small MCP client over HTTP, with what Python brings; and a `fumehood serve` to speak to.

    with Serving() as serving:                          # a free port, an empty state, one key
        client = Client(serving.url, serving.headers())
        assert client.run_code("python", "print(1)")["stdout"] == "1\n"
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.parse

TIMEOUT = 60.0
REVISION = "2025-11-25"


class Refused(Exception):
    """A status other than 200 and 202."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:300]!r}")
        self.status = status


def last_event(text):
    """The last message of an event stream: the answer to the request it belongs to."""
    data = re.findall(r"^data: ?(.+)$", text, re.M)
    return json.loads(data[-1])


class Client:
    """Requests one after another, each on a connection of its own."""

    def __init__(self, url, headers=None, context=None):
        self.at = urllib.parse.urlsplit(url)
        self.context = context          # ssl.SSLContext for https
        self.headers = {"Content-Type": "application/json",
                        "Accept": "application/json, text/event-stream", **(headers or {})}
        self.last_id = 0

    def exchange(self, verb, path, body=None):
        """(response, text)"""
        if self.at.scheme == "https":
            line = http.client.HTTPSConnection(self.at.hostname, self.at.port, timeout=TIMEOUT,
                                               context=self.context)
        else:
            line = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=TIMEOUT)
        try:
            line.request(verb, path, body, self.headers)
            response = line.getresponse()
            return response, response.read().decode()
        finally:
            line.close()

    def get(self, path):
        response, text = self.exchange("GET", path)
        if response.status != 200:
            raise Refused(response.status, text)
        return json.loads(text)

    def post(self, message):
        response, text = self.exchange("POST", self.at.path, json.dumps(message))
        if response.status not in (200, 202):
            raise Refused(response.status, text)
        if response.getheader("Mcp-Session-Id"):
            self.headers["Mcp-Session-Id"] = response.getheader("Mcp-Session-Id")
        if not text:
            return None
        if response.getheader("Content-Type", "").startswith("text/event-stream"):
            return last_event(text)
        return json.loads(text)

    def request(self, method, **params):
        self.last_id += 1
        answer = self.post({"jsonrpc": "2.0", "id": self.last_id, "method": method,
                            "params": params})
        if "error" in answer:
            raise RuntimeError(answer["error"])
        assert answer["id"] == self.last_id, answer
        return answer["result"]

    def initialize(self):
        made = self.request("initialize", protocolVersion=REVISION, capabilities={},
                            clientInfo={"name": "fumehood-tests", "version": "1"})
        self.headers["MCP-Protocol-Version"] = made["protocolVersion"]
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return made

    def call(self, tool, **arguments):
        if "MCP-Protocol-Version" not in self.headers:
            self.initialize()
        result = self.request("tools/call", name=tool, arguments=arguments)
        if result.get("isError"):
            raise RuntimeError(result["content"][0]["text"])
        return result["structuredContent"]

    def run_code(self, language, code, **more):
        return self.call("run_code", language=language, code=code, **more)


class Serving:
    """A server of its own on a free port of this host, with one key."""

    def __init__(self, binary):
        self.dir = tempfile.mkdtemp(prefix="fumehood-serve-")
        environment = dict(os.environ, HOME=self.dir, XDG_STATE_HOME=self.dir)
        self.key = subprocess.run([binary, "key", "create", "test"], env=environment, check=True,
                                  capture_output=True, text=True).stdout.strip()
        self.process = subprocess.Popen([binary, "serve", "--listen", "127.0.0.1:0"],
                                        env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            found = re.search(r"event=listening address=\S+ url=(\S+)", line)
            if found:
                self.url = found[1]
                # a full pipe would stop the server
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return
        self.close()
        raise RuntimeError("".join(said))

    def headers(self):
        return {"Authorization": f"Bearer {self.key}"}

    def close(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
