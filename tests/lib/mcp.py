"""A small, strict MCP client over stdio for the tests: both eras, and a judge of every line.

    with Server() as s:                         # legacy; Server(era="modern") for 2026-07-28
        s.initialize()
        assert s.run_code(language="python", code="print(1)")["stdout"] == "1\n"

Whatever the server writes must be one JSON-RPC message a line (no NaN, no duplicate names, valid
UTF-8), answer a request that was made, once and never after its cancellation, and have the shape of its
method; a tools/call result must match the tool's outputSchema. The first breach is raised as
`Breach` by whatever is called next, at the latest on leaving the `with`, which also closes stdin and
demands that the server is gone within two seconds with exit code 0.
"""
import collections
import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import jsonschema

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("FUMEHOOD", os.path.join(ROOT, "build", "fumehood"))
MODERN = "2026-07-28"
LEGACY = ["2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
META = "io.modelcontextprotocol/"
EXIT_SECONDS = 2.0
TIMEOUT = 60.0


def sanitized(binary=BINARY):
    """Whether it keeps for a while what it has freed: then its memory tells nothing."""
    with open(binary, "rb") as file:
        return b"__asan_init" in file.read()


def bwrap_of(binary=BINARY):
    """The bubblewrap that binary would use: the one `make deps` built, or the system's."""
    here = os.path.dirname(os.path.abspath(binary))
    for path in ("deps/bin/bwrap", "../deps/bin/bwrap", "../libexec/fumehood/bwrap"):
        if os.path.exists(os.path.join(here, path)):
            return os.path.normpath(os.path.join(here, path))
    return "/usr/bin/bwrap"


class Breach(AssertionError):
    """The server broke the protocol."""


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code, self.message, self.data = error["code"], error["message"], error.get("data")


class ToolError(Exception):
    """A result with isError: the {code, cause, remediation} of its text."""

    def __init__(self, code, cause, remediation):
        super().__init__(f"{code}: {cause} ({remediation})")
        self.code, self.cause, self.remediation = code, cause, remediation


# --- what messages look like --------------------------------------------------------------------

def _object(required=(), closed=True, **properties):
    return {"type": "object", "properties": properties, "required": list(required),
            "additionalProperties": not closed}


ANY, TEXT = {}, {"type": "string"}
SCALAR = {"type": ["string", "number"]}
TRUE = {"const": True}
ERROR = _object(["code", "message", "data"],
                code={"type": "integer"}, message={"type": "string", "minLength": 1},
                data=_object(["code", "remediation"], closed=False,
                             code={"enum": ["invalid", "not_found", "limit", "denied", "busy",
                                            "unavailable", "lost", "internal"]},
                             remediation={"type": "string", "minLength": 1}))
SERVER_INFO = _object(["name", "version"], name={"const": "fumehood"}, title=TEXT,
                      version={"type": "string", "pattern": r"^\d+\.\d+\.\d+"})
CHANGES = _object(["listChanged"], listChanged={"const": True})
CAPABILITIES = _object(
    ["tools"], tools=CHANGES, prompts=CHANGES, logging=_object(), completions=_object(),
    resources=_object(["listChanged", "subscribe"], listChanged={"const": True},
                      subscribe={"const": True}),
    tasks={"type": "object"}, extensions={"type": "object"})
INSTRUCTIONS = {"type": "string", "minLength": 1, "maxLength": 1024}
MODERN_META = _object([META + "serverInfo"], **{META + "serverInfo": SERVER_INFO})
LISTEN_META = _object([META + "serverInfo", META + "subscriptionId"], **{
    META + "serverInfo": SERVER_INFO, META + "subscriptionId": SCALAR})
TOOL = {"type": "object", "required": ["name", "description", "inputSchema"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z_]{1,32}$"},
            "title": TEXT, "description": {"type": "string", "minLength": 40},
            "inputSchema": {"type": "object", "required": ["type"],
                            "properties": {"type": {"const": "object"}}},
            "outputSchema": {"type": "object", "required": ["type"],
                             "properties": {"type": {"const": "object"}}},
            "annotations": _object(
                ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"],
                readOnlyHint={"type": "boolean"}, destructiveHint={"type": "boolean"},
                idempotentHint={"type": "boolean"}, openWorldHint={"type": "boolean"},
                title=TEXT),
            "icons": {"type": "array"}, "_meta": {"type": "object"},
            "execution": _object(["taskSupport"],
                                 taskSupport={"enum": ["forbidden", "optional", "required"]})},
        "additionalProperties": False}
RESOURCE = _object(["uri", "name"], uri=TEXT, name=TEXT, title=TEXT, description=TEXT, mimeType=TEXT,
                   size={"type": "integer", "minimum": 0})
TEMPLATE = _object(["uriTemplate", "name"], uriTemplate=TEXT, name=TEXT, title=TEXT,
                   description=TEXT, mimeType=TEXT)
PROMPT = _object(["name", "description"], name=TEXT, title=TEXT, description=TEXT,
                 icons={"type": "array"}, _meta={"type": "object"},
                 arguments={"type": "array", "items": {
                     "type": "object", "required": ["name"], "properties": {
                         "name": TEXT, "required": {"type": "boolean"}}}})

LINK = _object(["type", "uri", "name"], uri=TEXT, name=TEXT, type={"const": "resource_link"},
               mimeType=TEXT, description=TEXT, size={"type": "integer"})
IMAGE = _object(["type", "data", "mimeType"], type={"const": "image"},
                data={"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$"},
                mimeType={"enum": ["image/png", "image/jpeg", "image/gif", "image/webp"]})


def _list(of, member):
    return _object([member], nextCursor=TEXT, **{member: {"type": "array", "items": of}})


RESULTS = {
    "initialize": _object(["protocolVersion", "capabilities", "serverInfo", "instructions"],
                          protocolVersion={"enum": LEGACY}, capabilities=CAPABILITIES,
                          serverInfo=SERVER_INFO, instructions=INSTRUCTIONS),
    "ping": _object(),
    "server/discover": _object(["supportedVersions", "capabilities", "instructions"],
                               supportedVersions={"const": [MODERN]},
                               capabilities=CAPABILITIES, instructions=INSTRUCTIONS),
    "tools/list": _list(TOOL, "tools"),
    "prompts/list": _list(PROMPT, "prompts"),
    "prompts/get": _object(["messages"], description=TEXT, messages={
        "type": "array", "minItems": 1, "items": _object(
            ["role", "content"], role={"enum": ["user", "assistant"]},
            content={"type": "object", "required": ["type"]})}),
    "resources/list": _list(RESOURCE, "resources"),
    "resources/templates/list": _list(TEMPLATE, "resourceTemplates"),
    "resources/read": _object(["contents"], contents={
        "type": "array", "minItems": 1, "items": _object(
            ["uri"], uri=TEXT, mimeType=TEXT, text=TEXT, blob=TEXT, _meta={"type": "object"})}),
    "resources/subscribe": _object(),
    "resources/unsubscribe": _object(),
    "completion/complete": _object(["completion"], completion=_object(
        ["values"], values={"type": "array", "maxItems": 100, "items": TEXT},
        total={"type": "integer"}, hasMore={"type": "boolean"})),
    "logging/setLevel": _object(),
    "subscriptions/listen": _object(["_meta"]),
    "tools/call": _object(["content"],
                          content={"type": "array", "minItems": 1, "prefixItems": [_object(
                              ["type", "text"], type={"const": "text"}, text=TEXT)],
                              "items": {"anyOf": [LINK, IMAGE]}},
                          structuredContent={"type": "object"}, isError={"const": True}),
}
CACHED = {"server/discover", "tools/list", "prompts/list", "resources/list",
          "resources/templates/list", "resources/read"}
SUBSCRIPTION = _object([META + "subscriptionId"], **{META + "subscriptionId": SCALAR})
TOOL_ERROR = _object(["code", "cause", "remediation"], code=ERROR["properties"]["data"]
                     ["properties"]["code"], cause={"type": "string", "minLength": 1},
                     remediation={"type": "string", "minLength": 1})
NOTIFICATIONS = {
    "notifications/progress": _object(["progressToken", "progress"], progressToken=SCALAR,
                                      progress={"type": "number"}, message=TEXT),
    "notifications/message": _object(["level", "data"], level=TEXT, logger=TEXT, data=ANY),
    "notifications/subscriptions/acknowledged": _object(
        ["notifications", "_meta"], _meta=SUBSCRIPTION, notifications=_object(
            toolsListChanged=TRUE, promptsListChanged=TRUE, resourcesListChanged=TRUE,
            resourceSubscriptions={"type": "array", "items": TEXT},
            taskIds={"type": "array", "items": TEXT})),
    "notifications/tools/list_changed": _object(_meta=SUBSCRIPTION),
    "notifications/prompts/list_changed": _object(_meta=SUBSCRIPTION),
    "notifications/resources/list_changed": _object(_meta=SUBSCRIPTION),
    "notifications/resources/updated": _object(["uri"], uri=TEXT, _meta=SUBSCRIPTION),
}
# what comes by itself in the legacy era, whatever is being tested: kept in Server.news
NEWS = {"notifications/resources/list_changed"}


def _matches(value, schema, what):
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(value))
    if errors:
        error = jsonschema.exceptions.best_match(errors)
        where = "/".join(map(str, error.absolute_path)) or "the whole"
        raise Breach(f"{what}: {where}: {error.message[:500]}")


def _result_schema(method, modern):
    schema = RESULTS.get(method)
    if schema is None or not modern:
        return schema
    more = {"resultType": {"const": "complete"}, "_meta": MODERN_META}
    if method == "subscriptions/listen":
        more["_meta"] = LISTEN_META
    if method in CACHED:
        more.update(ttlMs={"type": "integer", "minimum": 0},
                    cacheScope={"enum": ["public", "private"]})
    return dict(schema, properties=dict(schema["properties"], **more),
                required=schema["required"] + list(more))


def _no_duplicates(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("duplicate names in an object")
    return dict(pairs)


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse_line(line):
    """One line as the server wrote it -> the message; a Breach when it is none."""
    try:
        if not line.endswith(b"\n"):
            raise ValueError("the last line is not finished")
        message = json.loads(line.decode("utf-8"), object_pairs_hook=_no_duplicates,
                             parse_constant=_no_constant)
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            raise ValueError("no JSON-RPC 2.0 message")
        kind = ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"},
                {"jsonrpc", "method", "params"}, {"jsonrpc", "method"})
        if set(message) not in kind:
            raise ValueError(f"neither result, error nor notification: {sorted(message)}")
    except ValueError as why:
        raise Breach(f"bad line on stdout: {why}: {line[:300]!r}") from None
    return message


def key(value):
    """Ids and tokens: 1, 1.0, "1" and true are all different."""
    return json.dumps(value)


# --- the judge ------------------------------------------------------------------------------------

Asked = collections.namedtuple("Asked", "method version token tool")


class Judge:
    """Keeps what was asked and checks what comes back. Used under the server's lock."""

    def __init__(self):
        self.open = {}            # key(id) -> [Asked, ...]: a test may reuse one to be refused
        self.cancelled = set()
        self.listens = set()
        self.progress = {}        # key(token) -> the last value
        self.schemas = {}         # tool -> outputSchema
        self.anonymous = 0        # lines sent raw: errors without an id are theirs
        self.lists = set()        # results judged before: a list is long and does not change

    def asked(self, ident, asked):
        self.open.setdefault(key(ident), []).append(asked)
        self.cancelled.discard(key(ident))
        if asked.token is not None:
            self.progress[key(asked.token)] = -1
        if asked.method == "subscriptions/listen":
            self.listens.add(key(ident))

    def cancel(self, ident):
        for asked in self.open.pop(key(ident), []):
            self.cancelled.add(key(ident))
            if asked.token is not None:
                self.progress.pop(key(asked.token), None)
        self.listens.discard(key(ident))

    def judge(self, message):
        if "method" in message:
            self._notification(message)
        elif message["id"] is None:
            self._nobodys(message)
        else:
            self._answer(message)

    def _nobodys(self, message):
        if "error" not in message or not self.anonymous:
            raise Breach(f"an answer to nobody: {str(message)[:300]}")
        _matches(message["error"], ERROR, "an error without an id")

    def _answer(self, message):
        ident = key(message["id"])
        if ident in self.cancelled:
            raise Breach(f"the cancelled request {ident} was answered")
        if not self.open.get(ident):
            if self.anonymous and "error" in message:
                _matches(message["error"], ERROR, "an error")
                return
            raise Breach(f"nothing with the id {ident} was asked")
        refused = message.get("error", {}).get("code") == -32600
        # an error for a reused id is that of the later request
        asked = self.open[ident].pop(-1 if refused else 0)
        if not self.open[ident]:
            del self.open[ident]
        if asked.token is not None:
            self.progress.pop(key(asked.token), None)
        if "error" in message:
            _matches(message["error"], ERROR, f"the error of {asked.method}")
            return
        seen = asked.method, asked.version, json.dumps(message["result"])
        if seen in self.lists:
            return
        modern = asked.version == MODERN or asked.method == "server/discover"
        schema = _result_schema(asked.method, modern)
        if schema is None:
            raise Breach(f"{asked.method} does not exist, but was answered with a result")
        _matches(message["result"], schema, f"the result of {asked.method}")
        if asked.method == "tools/list":
            self._tools(message["result"]["tools"], asked.version)
            self.lists.add(seen)
        if asked.method == "tools/call":
            self._call(message["result"], asked)

    def _tools(self, tools, version):
        names = [tool["name"] for tool in tools]
        if len(set(names)) != len(names):
            raise Breach("a tool is listed twice")
        for tool in tools:
            jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
            if "outputSchema" in tool:
                jsonschema.Draft202012Validator.check_schema(tool["outputSchema"])
                self.schemas[tool["name"]] = tool["outputSchema"]
            if ("outputSchema" in tool) != (version >= "2025-06-18"):
                raise Breach(f"outputSchema in {version}")
            if ("title" in tool) != (version >= "2025-06-18"):
                raise Breach(f"title in {version}")
            if ("annotations" in tool) != (version >= "2025-03-26"):
                raise Breach(f"annotations in {version}")

    def _call(self, result, asked):
        if result.get("isError"):
            if "structuredContent" in result:
                raise Breach("structuredContent in a tool error")
            try:
                error = json.loads(result["content"][0]["text"])
            except ValueError:
                raise Breach(f"a tool error that is no JSON: {result['content']}") from None
            _matches(error, TOOL_ERROR, "a tool error")
            return
        if ("structuredContent" in result) != (asked.version >= "2025-06-18"):
            raise Breach(f"structuredContent in {asked.version}")
        if not result["content"][0]["text"]:
            raise Breach("an empty text block")
        if asked.version < "2025-06-18" and any(
                block["type"] == "resource_link" for block in result["content"]):
            raise Breach(f"resource_link in {asked.version}")
        if "structuredContent" in result and asked.tool in self.schemas:
            _matches(result["structuredContent"], self.schemas[asked.tool],
                     f"structuredContent of {asked.tool}")

    def _notification(self, message):
        schema, params = NOTIFICATIONS.get(message["method"]), message.get("params", {})
        if schema is None:
            raise Breach(f"an unexpected notification: {message['method']}")
        _matches(params, schema, message["method"])
        if message["method"] == "notifications/progress":
            token = key(params["progressToken"])
            if token not in self.progress:
                raise Breach(f"progress for the token {token}, which is not in use")
            if params["progress"] <= self.progress[token]:
                raise Breach(f"progress that does not increase: {params}")
            self.progress[token] = params["progress"]
        elif "_meta" in params and key(params["_meta"][META + "subscriptionId"]) not in self.listens:
            raise Breach("news of no subscription")


# --- the client -----------------------------------------------------------------------------------

class Server:
    """One server process. argv: the command line after the binary instead of `stdio --state DIR`;
    options: what follows it; env: changes to the environment (None removes); uid: run as that user (needs
    root); state: a state folder to use and keep, else a fresh one is made and removed; era and version: which
    revision requests are made in; open_files: so many it may have, and no more."""

    def __init__(self, argv=None, env=None, uid=None, state=None, era="legacy", version=None,
                 binary=None, open_files=None, options=()):
        self.version = version or (MODERN if era == "modern" else LEGACY[-1])
        self.dir = tempfile.mkdtemp(prefix="fumehood-test-")
        self.state = state or os.path.join(self.dir, "state")
        self.uid = uid
        command = [binary or BINARY]
        environment = dict(os.environ)
        for name, value in (env or {}).items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        few = resource.RLIMIT_NOFILE, (open_files, open_files)
        how = {"preexec_fn": lambda: resource.setrlimit(*few)} if open_files else {}
        if uid is not None:
            command = [self._lend(command[0])]
            how.update(user=uid, group=uid, extra_groups=[])
            environment.update(HOME=self.dir, XDG_STATE_HOME=self.dir)
        command += ["stdio", "--state", self.state] if argv is None else argv
        command += options
        self.judge, self.lock = Judge(), threading.Lock()
        self.messages = queue.Queue()       # what came, in order; None: the end
        self.answers = {}                   # key(id) -> [message, ...], taken from the queue
        self.notifications, self.news = [], []  # news: those that come by themselves
        self.lines = []                     # raw, every one
        self.breach, self.next_id = None, 0
        self.reading = threading.Event()    # cleared: this client stalls
        self.reading.set()
        self.stderr_path = os.path.join(self.dir, "stderr")
        with open(self.stderr_path, "wb") as stderr:
            self.proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=stderr, env=environment, cwd="/", **how)
        # Judging takes longer than reading: it must not look like a client that stalls.
        self.unjudged = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._judge, daemon=True).start()

    def _lend(self, binary):
        """A copy of the binary, and of the bwrap it would use, where any user may run them."""
        os.chown(self.dir, self.uid, self.uid)
        copies = [(binary, os.path.join(self.dir, os.path.basename(binary)))]
        if bwrap_of(binary) != "/usr/bin/bwrap":
            copies.append((bwrap_of(binary), os.path.join(self.dir, "deps", "bin", "bwrap")))
        for source, copy in copies:
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(source, copy)
            os.chmod(copy, 0o755)
        for folder in ("deps", "deps/bin"):
            if os.path.exists(os.path.join(self.dir, folder)):
                os.chmod(os.path.join(self.dir, folder), 0o755)
        return copies[0][1]

    # -- in

    def _read(self):
        with self.proc.stdout as lines:
            for line in lines:
                self.reading.wait()
                self.unjudged.put(line)
        self.unjudged.put(None)

    def _judge(self):
        while (line := self.unjudged.get()) is not None:
            with self.lock:
                self.lines.append(line)
                try:
                    message = parse_line(line)
                    self.judge.judge(message)
                except Breach as breach:
                    self.breach = self.breach or breach
                    break
            if message.get("method") in NEWS and "params" not in message:
                self.news.append(message)
            else:
                self.messages.put(message)
        self.messages.put(None)

    def check(self):
        if self.breach:
            raise self.breach

    def read(self, timeout=TIMEOUT):
        """The next message that nobody has taken yet; None at the end of stdout."""
        self.check()
        try:
            message = self.messages.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"nothing in {timeout} s; stderr: {self.stderr()[-1000:]}") from None
        if message is None:
            self.messages.put(None)
        self.check()
        return message

    def silent(self, seconds=0.3):
        """Nothing comes for that long. A ping shows that the server had its turn."""
        self.ping()
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            self.check()
            return True
        self.messages.put(message)
        return False

    def answer(self, ident, timeout=TIMEOUT):
        """The answer to that id; notifications on the way are kept in self.notifications."""
        end = time.monotonic() + timeout
        while not self.answers.get(key(ident)):
            message = self.read(max(0.0, end - time.monotonic()))
            if message is None:
                raise Breach(f"the server ended instead of answering {ident!r}; "
                             f"stderr: {self.stderr()[-1000:]}")
            if "method" in message:
                self.notifications.append(message)
            else:
                self.answers.setdefault(key(message["id"]), []).append(message)
        return self.answers[key(ident)].pop(0)

    def notification(self, method, timeout=TIMEOUT):
        """The next notification of that method; answers on the way are kept."""
        end = time.monotonic() + timeout
        while True:
            for i, message in enumerate(self.notifications):
                if message["method"] == method:
                    return self.notifications.pop(i)["params"]
            message = self.read(max(0.0, end - time.monotonic()))
            if message is None:
                raise Breach(f"the server ended instead of sending {method}")
            if "method" in message:
                self.notifications.append(message)
            else:
                self.answers.setdefault(key(message["id"]), []).append(message)

    # -- out

    def write(self, data):
        """Bytes as they are."""
        self.check()
        self.proc.stdin.write(data)
        self.proc.stdin.flush()

    def raw(self, data):
        """One line of any bytes; errors without an id are expected from now on."""
        with self.lock:
            self.judge.anonymous += 1
        self.write((data.encode() if isinstance(data, str) else data) + b"\n")

    def raw_error(self, data, ident=None, timeout=TIMEOUT):
        """Sends one line while nothing is in flight and returns the error it gets, under ident."""
        self.raw(data)
        message = self.read(timeout)
        assert message is not None and "error" in message, message
        assert key(message["id"]) == key(ident), message
        return RpcError(message["error"])

    def send(self, method, params=None, ident=None, version=None, token=None):
        """Sends a request, returns its id. params as they are, but for the _meta of the era."""
        version = version or self.version
        if ident is None:
            self.next_id += 1
            ident = self.next_id
        params = dict(params or {})
        meta = dict(params.get("_meta") or {})
        if version == MODERN:
            meta.setdefault(META + "protocolVersion", MODERN)
            meta.setdefault(META + "clientCapabilities", {})
        if token is not None:
            meta["progressToken"] = token
        if meta:
            params["_meta"] = meta
        message = {"jsonrpc": "2.0", "id": ident, "method": method}
        if params:
            message["params"] = params
        with self.lock:
            self.judge.asked(ident, Asked(method, version, token, params.get("name")))
        self.write(json.dumps(message).encode() + b"\n")
        return ident

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self.write(json.dumps(message).encode() + b"\n")

    def cancel(self, ident, reason="changed my mind"):
        """Cancels; True when the answer had not come before. None may come after it."""
        with self.lock:
            pending = key(ident) in self.judge.open
        # What is in the pipe already was sent before the server could know.
        self.notify("notifications/cancelled", {"requestId": ident, "reason": reason})
        if pending:
            self.ping()
            with self.lock:
                pending = key(ident) in self.judge.open
                self.judge.cancel(ident)
        return pending

    def result_of(self, ident, timeout=TIMEOUT):
        message = self.answer(ident, timeout)
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]

    def request(self, method, params=None, timeout=TIMEOUT, **how):
        return self.result_of(self.send(method, params, **how), timeout)

    # -- methods

    def initialize(self, version=None, capabilities=None):
        """The legacy handshake; requests are made in the agreed revision from then on."""
        if version is None:
            version = LEGACY[-1] if self.version == MODERN else self.version
        result = self.request("initialize", {
            "protocolVersion": version, "capabilities": capabilities or {},
            "clientInfo": {"name": "fumehood-tests", "version": "1"}}, version="none")
        self.version = result["protocolVersion"]
        self.notify("notifications/initialized")
        return result

    def ping(self):
        """A round trip in either era."""
        if self.version == MODERN:
            return self.request("server/discover")
        return self.request("ping")

    def tools(self):
        """name -> tool; from then on results are held against the output schemas."""
        return {tool["name"]: tool for tool in self.request("tools/list")["tools"]}

    def _learn(self):
        if not self.judge.schemas:
            self.request("tools/list", version=MODERN)

    def start(self, tool, arguments=None, token=None, ident=None):
        """Starts a call, returns its id."""
        self._learn()
        params = {"name": tool}
        if arguments is not None:
            params["arguments"] = arguments
        return self.send("tools/call", params, token=token, ident=ident)

    def finish(self, ident, timeout=TIMEOUT):
        """The structuredContent of a started call (its text where the revision has none)."""
        result = self.result_of(ident, timeout)
        if result.get("isError"):
            raise ToolError(**json.loads(result["content"][0]["text"]))
        return result.get("structuredContent", result["content"][0]["text"])

    def call(self, tool, arguments=None, timeout=TIMEOUT, **how):
        return self.finish(self.start(tool, arguments, **how), timeout)

    def run_code(self, language="python", code="", timeout=TIMEOUT, **arguments):
        return self.call("run_code", dict(arguments, language=language, code=code), timeout)

    def run_command(self, command, timeout=TIMEOUT, **arguments):
        return self.call("run_command", dict(arguments, command=command), timeout)

    # -- life

    def stderr(self):
        with open(self.stderr_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def close_stdin(self):
        try:
            self.proc.stdin.close()
        except BrokenPipeError:
            pass

    def wait(self, seconds=EXIT_SECONDS):
        """The exit code; a Breach when the server is still there after that time."""
        try:
            return self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Breach(f"still there after {seconds} s; stderr: {self.stderr()[-1000:]}") from None

    def close(self, code=0):
        """EOF, and out within two seconds with that exit code; every line was in order."""
        self.reading.set()
        self.close_stdin()
        try:
            got = self.wait()
            if got != code:
                raise Breach(f"exit code {got}; stderr: {self.stderr()[-1000:]}")
            while self.read(5) is not None:
                pass
            self.check()
        finally:
            self.discard()

    def discard(self):
        """Ends the server by force if it is still there, and removes what it left."""
        self.reading.set()
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()
        self.close_stdin()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            self.discard()
