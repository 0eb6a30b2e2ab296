"""Clients of sessions, the same over stdio and HTTP, and what a test does with one session.

    with Stdio() as caller:                       # or Http(): a legacy session of `fumehood serve`
        session = Session(caller, "python")
        assert session.run("1 + 1")["outputs"][-1]["text"] == "2"
"""
import base64
import collections
import json

import mcp
import mcp_http
import processes

PAGE_BYTES = 131072
WAIT_MS = 20000
PATIENCE_MS = 60000


class Stdio(mcp.Server):
    """mcp.Server after its handshake; name says what it is."""
    name = "stdio"

    def __init__(self, **how):
        super().__init__(**how)
        self.initialize()

    @property
    def pid(self):
        return self.proc.pid


class Http:
    """A client of `fumehood serve`, with its own server unless it is given one. headers: who it is."""
    name = "http"

    def __init__(self, server=None, *options, wire=None, **headers):
        self.owned = server is None
        self.server = server or mcp_http.HttpServer(*options, wire=wire or mcp_http.Http1)
        self.state = self.server.state
        self.session = mcp_http.Session(self.server, **headers)
        self.open, self.next, self.schemas = {}, 1000, {}

    @property
    def pid(self):
        return self.server.pid

    def request(self, method, params=None):
        message = self.session.request(method, params)
        if "error" in message:
            raise mcp.RpcError(message["error"])
        return message["result"]

    def start(self, tool, arguments=None):
        self.next += 1
        message = mcp_http.request("tools/call", {"name": tool, "arguments": arguments or {}},
                                   self.next)
        self.open[self.next] = tool, self.session.start(message)
        return self.next

    def finish(self, ident):
        tool, exchange = self.open.pop(ident)
        with exchange:
            message = exchange.messages()[-1]
        assert message["id"] == ident, message
        if "error" in message:
            raise mcp.RpcError(message["error"])
        result = message["result"]
        if result.get("isError"):
            raise mcp.ToolError(**json.loads(result["content"][0]["text"]))
        if not self.schemas:
            self.schemas = {t["name"]: t["outputSchema"] for t in self.request("tools/list")["tools"]}
        mcp._matches(result["structuredContent"], self.schemas[tool], f"the result of {tool}")
        return result["structuredContent"]

    def drop(self, ident):
        """Hangs up in the middle of a call."""
        self.open.pop(ident)[1].close()

    def call(self, tool, arguments=None):
        return self.finish(self.start(tool, arguments))

    def close(self):
        if self.owned:
            self.server.end()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.close()
        finally:
            if self.owned:
                self.server.discard()


CALLERS = {"stdio": Stdio, "http": Http}


class Session:
    """One session; what it answers are structuredContents."""

    def __init__(self, caller, language="python", **limits):
        self.caller, self.language = caller, language
        self.info = caller.call("session_create", limits)
        self.id = self.info["session_id"]

    def arguments(self, code, **more):
        # patience, where nothing is asked for: the machine may have other work
        return {"language": self.language, "timeout_ms": PATIENCE_MS, **more, "code": code,
                "session_id": self.id}

    def run(self, code, **more):
        return self.caller.call("run_code", self.arguments(code, **more))

    def good(self, code, **more):
        """run(), of code that must do what it is meant to."""
        answer = self.run(code, **more)
        assert (answer["status"], answer.get("exit_code")) == ("exited", 0), answer
        return answer

    def value(self, code, **more):
        return self.good(code, **more)["outputs"][-1]["text"]

    def shell(self, command, **more):
        return self.caller.call("run_command", {"timeout_ms": PATIENCE_MS, **more, "command": command,
                                                "session_id": self.id})

    def program(self, *argv, **more):
        return self.caller.call("run_command", {"timeout_ms": PATIENCE_MS, **more, "argv": list(argv),
                                                "session_id": self.id})

    def tool(self, name, **arguments):
        return self.caller.call(name, dict(arguments, session_id=self.id))

    def close(self):
        return self.tool("session_close")

    def begin(self, code, **more):
        """A call in the background: its run_id."""
        begun = self.run(code, **{"background": True, "timeout_ms": 120000, **more})
        assert begun["status"] == "running", begun
        return begun["run_id"]

    def until(self, run_id, marker):
        """Waits until the run has printed that on stdout."""
        return until(self.caller, run_id, marker)

    def end_of(self, run_id):
        return end_of(self.caller, run_id)

    def upload(self, path, data):
        up, offset = None, 0
        while offset < len(data) or up is None:
            piece = data[offset:offset + (8 << 20)]
            up = self.tool("artifact_upload", path=path, encoding="base64", offset=offset,
                           content=base64.b64encode(piece).decode())
            offset += len(piece)
        return up

    def download(self, path):
        """All bytes of it, and the answer to the first piece."""
        data, offset, first = b"", 0, None
        while offset is not None:
            got = self.tool("artifact_download", path=path, offset=offset, length=2 << 20,
                            encoding="base64")
            data += base64.b64decode(got["content"])
            first = first or got
            offset = got.get("next_offset")
        return data, first

    def entries(self):
        """path -> its row, of all pages of artifact_list; raw bytes of names are not there."""
        found, offset = [], 0
        while offset is not None:
            page = self.tool("artifact_list", offset=offset)
            found += page["entries"]
            offset = page.get("next_offset")
        return found


def until(caller, run_id, marker):
    offset, seen = 0, ""
    while marker not in seen:
        news = caller.call("run_status", {"run_id": run_id, "wait_ms": WAIT_MS,
                                          "stdout_offset": offset})
        seen += news["stdout"]
        offset = news["next_stdout_offset"]
        assert marker in seen or news["status"] == "running", news
    return seen


def end_of(caller, run_id):
    """How it ended; output that is still there is not taken as a sign of life."""
    answer = {"status": "running", "next_stdout_offset": 0, "next_stderr_offset": 0}
    while answer["status"] == "running":
        answer = caller.call("run_status", {
            "run_id": run_id, "wait_ms": WAIT_MS, "stdout_offset": answer["next_stdout_offset"],
            "stderr_offset": answer["next_stderr_offset"]})
    return answer


def paged(caller, run_id, stream="stdout"):
    """All that is kept of a stream, page by page."""
    text, offset = [], 0
    while True:
        page = caller.call("run_status", {"run_id": run_id, f"{stream}_offset": offset,
                                          "max_bytes": PAGE_BYTES})
        assert page[f"{stream}_offset"] == offset
        text.append(page[stream])
        offset = page[f"next_{stream}_offset"]
        if page[f"{stream}_eof"]:
            return "".join(text)
        assert page[stream], page


# --- the server's processes -----------------------------------------------------------------------

Process = collections.namedtuple("Process", "pid name")


def words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return []


def roles(server_pid):
    """name -> pid: launcher (the process that was started), ledger, keeper, front."""
    found = {"launcher": server_pid}
    for pid in processes.offspring(server_pid):
        line = words(pid)
        if "role" in line and "--" in line:
            found[line[line.index("--") + 1].split("-")[0]] = pid
    return found


def inside(server_pid):
    """pid -> comm of all that runs in its sandboxes, bwrap too."""
    ours = set(roles(server_pid).values())
    found = {}
    for pid in processes.offspring(server_pid):
        if pid not in ours:
            try:
                with open(f"/proc/{pid}/comm") as file:
                    found[pid] = file.read().strip()
            except OSError:
                pass
    return found
