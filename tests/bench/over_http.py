"""HTTP: `serve` beside a server made with the TypeScript SDK v2, under the same load, in turns.

The SDK's server gives this server's own answers (http/sdk_server/server.mjs), so that both are asked the
same and answer the same. The load comes from http/load.c, which reads and compares every answer.
One slice of load goes to each server in turn, several times over. A cell's requests per second are
those of its median slice, so that what else the machine does for a moment hits one slice, not the cell;
the percentiles are those of all its requests.
"""
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time

import report
import servers
from spawner import PATIENCE, Wrong

OURS, SDK, SDK_BARE = "fumehood", "TypeScript SDK", "TypeScript SDK, bare"
CLIENTS = (1, 16, 64)
SESSIONS = max(CLIENTS)
STREAMS = 1000
SLICES = 5
LEGACY, MODERN = "2025-11-25", "2026-07-28"
META = "io.modelcontextprotocol/"
# kind -> (method, name, what every right answer holds)
METHODS = {
    "tools/list": ("tools/list", None, '"name":"run_code"'),
    "no-op call": ("tools/call", "sandbox_info", '"structuredContent":'),
}
MAX_STREAMS_MIB, MIN_RATE_RATIO, MAX_MEMORY_RATIO = 32, 5, 0.1
NOTES = (
    "over HTTP: keep-alive connections, one request in flight on each; requests per second of the median "
    f"of {SLICES} slices; the no-op call is sandbox_info, once its server knows all it says",
    "the SDK's servers give the same tools and the same result: as the SDK's guide writes a server "
    "(McpServer, registerTool), and bare (its low-level Server, handlers that return ready "
    "objects, nothing checked); both on node:http alone, legacy sessions kept, answers as JSON",
    "the load generator shares the machine and does not sleep; cpu: the server's own time for one request, "
    "at the most clients; with an API key the keeper is asked once a second for each key; "
    "memory is PSS (RSS where PSS is shown to root only), all processes of a server",
)


class Site:
    """A server over HTTP, and how it is asked."""

    def __init__(self, name, command, authorization=None):
        self.name, self.authorization, self.port = name, authorization, None
        self.log = tempfile.TemporaryFile("w+")
        # with the bench its servers end, however it ends
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *command], cwd="/",
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def said(self):
        # not by our own offset: the server writes at it
        return os.pread(self.log.fileno(), 1 << 16, 0).decode(errors="replace")

    def wait(self, pattern):
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.said(), re.M)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Wrong(f"{self.name} does not listen: {self.said()[-1500:]}")
            time.sleep(0.01)
        self.port = int(found.group(1))
        return self

    def pids(self):
        return [self.process.pid, *servers.descendants(self.process.pid)]

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.log.close()
        if code not in (0, -signal.SIGTERM):
            raise Wrong(f"{self.name} ended with code {code}")

    def discard(self):
        """However far it is: its end may take a moment, for its children's sake."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    # -- requests

    def headers(self, era, method=None, name=None, session=None):
        found = {"Content-Type": "application/json", "MCP-Protocol-Version": era,
                 "Accept": "application/json, text/event-stream", "Accept-Language": "*",
                 "Sec-Fetch-Mode": "cors", "User-Agent": "node", "Accept-Encoding": "gzip, deflate"}
        if self.authorization:
            found["Authorization"] = self.authorization
        if era == MODERN:
            found.update({"Mcp-Method": method, **({"Mcp-Name": name} if name else {})})
        elif session:
            found["Mcp-Session-Id"] = session
        return found

    def text(self, verb, headers, body=""):
        """A whole request, behind its length, for load."""
        fields = {"Host": f"127.0.0.1:{self.port}", "Connection": "keep-alive", **headers}
        if body:
            fields["Content-Length"] = len(body)
        request = (f"{verb} /mcp HTTP/1.1\r\n" +
                   "".join(f"{key}: {value}\r\n" for key, value in fields.items()) + f"\r\n{body}")
        return f"{len(request)}\n{request}"

    def post(self, connection, message, headers):
        connection.request("POST", "/mcp", json.dumps(message), headers)
        answer = connection.getresponse()
        return answer, answer.read()

    def open_sessions(self, n):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        found = []
        for _ in range(n):
            message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": servers.INITIALIZE}
            answer, body = self.post(connection, message, self.headers(LEGACY))
            session = answer.headers.get("mcp-session-id")
            if answer.status != 200 or not session:
                raise Wrong(f"{self.name}: initialize: {answer.status} {body[:1500]}")
            message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            answer, body = self.post(connection, message, self.headers(LEGACY, session=session))
            if answer.status != 202:
                raise Wrong(f"{self.name}: initialized: {answer.status} {body[:1500]}")
            found.append(session)
        connection.close()
        return found

    def result(self, kind, era, session):
        """What it answers, as a value; not measured."""
        method, name, _ = METHODS[kind]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        message = json.loads(body_of(method, name, era).replace("@" * 8, "12345678"))
        answer, body = self.post(connection, message, self.headers(era, method, name, session))
        connection.close()
        got = answer_in(answer, body) if answer.status == 200 else {}
        if got.get("id") != 12345678 or "result" not in got:
            raise Wrong(f"{self.name}: {kind}: {answer.status} {body[:1500]}")
        return got["result"]


def answer_in(answer, body):
    """The message of an answer as JSON, or the last of a stream: a first call may take its time."""
    text = body.decode()
    if answer.headers.get_content_type() == "text/event-stream":
        text = text.rpartition("data: ")[2]
    try:
        return json.loads(text)
    except ValueError:
        return {}


def body_of(method, name, era, **params):
    """The text of a message; load puts a number in place of the @."""
    if name:
        params.update(name=name, arguments={})
    if era == MODERN:
        params["_meta"] = {f"{META}protocolVersion": era, f"{META}clientCapabilities": {},
                           f"{META}clientInfo": servers.INITIALIZE["clientInfo"]}
    message = {"jsonrpc": "2.0", "id": "@", "method": method, "params": params}
    return json.dumps(message, separators=(",", ":")).replace('"@"', "@" * 8)


def shown(result):
    """What must be the same in the answers of both: not who gives them, nor how long they keep."""
    return {key: result[key] for key in ("tools", "content", "structuredContent") if key in result}


# --- the servers ----------------------------------------------------------------------------------

LISTENING = r"event=listening address=127\.0\.0\.1:(\d+)"


def start_ours(b, name=OURS, key=False):
    state = tempfile.mkdtemp(dir=b.dir)
    command = [b.binary, "serve", "--listen", "127.0.0.1:0", "--bwrap", b.bwrap, "--state", state]
    authorization = None
    if key:
        made = subprocess.run([b.binary, "key", "create", "bench", "--state", state],
                              capture_output=True, text=True, check=True, timeout=PATIENCE)
        authorization = f"Bearer {made.stdout.strip()}"
    else:
        command.append("--insecure-no-auth")
    return b.keep(Site(name, command, authorization)).wait(LISTENING)


def start_sdk(b, answers, name=SDK, how="guide"):
    script = os.path.join(b.out, "sdk_server", "server.mjs")
    command = [os.environ["BENCH_NODE"], script, answers, how]
    return b.keep(Site(name, command)).wait(r"^(\d+)$")


def write_answers(b, ours):
    """The file the SDK's server answers from: ours, as an old client sees them."""
    session = ours.open_sessions(1)[0]
    tools, info = (ours.result(kind, LEGACY, session) for kind in METHODS)
    path = os.path.join(b.dir, "answers.json")
    with open(path, "w") as f:
        json.dump({"tools": tools["tools"], "info": shown(info)}, f)
    return path


def check_same(sites, session_of):
    """The servers give the same answers, else comparing them says nothing."""
    for kind in METHODS:
        for era in (LEGACY, MODERN):
            found = [shown(site.result(kind, era, session_of[site.name])) for site in sites]
            for site, got in zip(sites, found):
                # what a tool says of tasks is known to one revision only
                for tool in got.get("tools", []):
                    tool.pop("execution", None)
                if got != found[0]:
                    raise Wrong(f"{site.name}: {kind}, {era}: not what {sites[0].name} answers")


# --- load -----------------------------------------------------------------------------------------

def cpu_ns(site):
    total = 0
    for pid in site.pids():
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(servers.read_proc(pid, f"task/{task}/schedstat").split()[0])
    return total


class Load:
    """The requests of one kind for one server."""

    def __init__(self, b, site, kind, era, sessions):
        method, name, self.expect = METHODS[kind]
        body = body_of(method, name, era)
        texts = [site.text("POST", site.headers(era, method, name, session), body)
                 for session in (sessions if era == LEGACY else [None])]
        self.site, self.binary = site, os.path.join(b.out, "load")
        self.path = os.path.join(b.dir, f"{site.name} {kind.replace('/', ' ')} {era}")
        with open(self.path, "w", newline="") as f:
            f.write("".join(texts))

    def command(self, clients, ms):
        return [self.binary, str(self.site.port), self.path, self.expect, str(clients), str(ms)]

    def run(self, clients, ms):
        cpu = cpu_ns(self.site)
        done = subprocess.run(self.command(clients, ms), capture_output=True, text=True,
                              timeout=PATIENCE + ms / 1000)
        if done.returncode:
            raise Wrong(f"{self.site.name}: {done.stderr.strip()[-2000:]}")
        return {**json.loads(done.stdout), "server_cpu_ns": cpu_ns(self.site) - cpu}


def percentile_ns(histogram, p):
    """Nearest rank, as in report.percentile."""
    left = max(1, -(-sum(histogram.values()) * p // 100))
    for ns in sorted(histogram):
        left -= histogram[ns]
        if left <= 0:
            return ns
    raise Wrong("no request was answered")


def together(slices):
    """Slices of one server in one cell -> its row"""
    histogram = {}
    for part in slices:
        for ns, count in part["histogram"]:
            histogram[ns] = histogram.get(ns, 0) + count
    n = sum(part["requests"] for part in slices)
    rates = [part["requests"] / part["seconds"] for part in slices]
    return {"requests": n, "per_second": round(report.percentile(rates, 50), 1),
            "p50_us": round(percentile_ns(histogram, 50) / 1e3, 1),
            "p99_us": round(percentile_ns(histogram, 99) / 1e3, 1),
            "cpu_us": round(sum(part["server_cpu_ns"] for part in slices) / n / 1e3, 2),
            "load_cpu_us": round(sum(part["cpu_seconds"] for part in slices) / n * 1e6, 2),
            "answer_bytes": slices[0]["bytes"]}


def measure_rates(b, sites, sessions):
    ms = min(1000, max(40, 12 * b.rounds // 10))
    cells = []
    for kind in METHODS:
        for era in (LEGACY, MODERN):
            loads = [Load(b, site, kind, era, sessions[site.name]) for site in sites]
            for load in loads:
                load.run(16, 8 * ms)    # the compiler of node has had its time then
            for clients in CLIENTS:
                b.say(f"HTTP: {kind}, {era}, {clients}")
                slices = {site.name: [] for site in sites}
                for _ in range(SLICES):
                    for load in loads:
                        slices[load.site.name].append(load.run(clients, ms))
                cells.append({"kind": kind, "era": era, "clients": clients,
                              "servers": {name: together(s) for name, s in slices.items()}})
    return cells


# --- memory -----------------------------------------------------------------------------------------

def memory_kib(site):
    """{"rss", "pss"} of all its processes; without "pss" where one's is not shown."""
    parts = [servers.memory_kib(pid) for pid in site.pids()]
    return {kind: sum(part[kind] for part in parts) for kind in ("rss", "pss")
            if all(kind in part for part in parts)}


def largest(samples):
    return {kind: max(s[kind] for s in samples) for kind in samples[0]}


def memory_under_load(b, site, sessions):
    """The largest seen while SESSIONS clients ask for both, in both eras."""
    samples = []
    for kind in METHODS:
        for era in (LEGACY, MODERN):
            load = Load(b, site, kind, era, sessions)
            with subprocess.Popen(load.command(SESSIONS, min(1000, 10 * b.rounds)),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  text=True) as process:
                while process.poll() is None:
                    samples.append(memory_kib(site))
                    time.sleep(0.05)
                if process.returncode:
                    raise Wrong(f"{site.name}: {process.stderr.read()[-2000:]}")
    return largest(samples)


def hold_streams(b, site, era):
    """{"rss", "pss"} of the server while STREAMS are open"""
    if era == LEGACY:
        texts = [site.text("GET", site.headers(era, session=session))
                 for session in site.open_sessions(STREAMS)]
        expect = "text/event-stream"
    else:
        method = "subscriptions/listen"
        texts = [site.text("POST", site.headers(era, method),
                           body_of(method, None, era, notifications={"toolsListChanged": True}))]
        expect = "notifications/subscriptions/acknowledged"
    path = os.path.join(b.dir, f"{site.name} streams {era}")
    with open(path, "w", newline="") as f:
        f.write("".join(texts))
    command = [os.path.join(b.out, "load"), str(site.port), path, expect, str(STREAMS), "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        found = memory_kib(site)
        rest, wrong = process.communicate(timeout=PATIENCE)
    if process.returncode or json.loads(rest) != {"kept": STREAMS}:
        raise Wrong(f"{site.name}: {STREAMS} streams: {first} {rest} {wrong[-2000:]}")
    return found


def measure_streams(b, starts):
    rows = []
    for era in (LEGACY, MODERN):
        row = {"era": era, "streams": STREAMS, "servers": {}}
        for start in starts:
            site = start()
            b.say(f"HTTP: {STREAMS} streams, {era}, {site.name}")
            row["servers"][site.name] = hold_streams(b, site, era)
            b.close(site)
        rows.append(row)
    return rows


# --- all together -------------------------------------------------------------------------------------

def measure(b):
    ours = start_ours(b)
    answers = write_answers(b, ours)
    starts = [lambda: start_ours(b)]
    sites = [ours]
    if b.has_sdk_server:
        starts.append(lambda: start_sdk(b, answers))
        sites += [start_sdk(b, answers), start_sdk(b, answers, SDK_BARE, "bare")]
    sites.append(start_ours(b, f"{OURS}, API key", key=True))
    sessions = {site.name: site.open_sessions(SESSIONS) for site in sites}
    check_same(sites, {name: found[0] for name, found in sessions.items()})
    idle = {site.name: memory_kib(site) for site in sites}
    cells = measure_rates(b, sites, sessions)
    loaded = {site.name: memory_under_load(b, site, sessions[site.name]) for site in sites}
    b.close(*sites)
    return {"rates": cells, "memory": {"idle": idle, "loaded": loaded},
            "streams": measure_streams(b, starts), "notes": NOTES}


# --- shown --------------------------------------------------------------------------------------------

def ratio(servers_of, key, other=SDK):
    """Ours by the SDK's, or None."""
    return servers_of[OURS][key] / servers_of[other][key] if other in servers_of else None


def memory_ratio(servers_of):
    """Of PSS; where ours is not shown, of our RSS, which is more."""
    if SDK not in servers_of or "pss" not in servers_of[SDK]:
        return None
    has = servers_of[OURS]
    return has.get("pss", has["rss"]) / servers_of[SDK]["pss"]


def kib(servers_of, name):
    has = servers_of.get(name)
    if has is None:
        return "-"
    return report.number(has["pss"], 0) if "pss" in has else f"RSS {has['rss']}"


def bound(value, limit, exact):
    """An upper bound above the limit says nothing."""
    return value if value is None or exact or value <= limit else None


def rate_rows(cells, kind, era):
    of = {cell["clients"]: cell["servers"] for cell in cells
          if (cell["kind"], cell["era"]) == (kind, era)}
    size = next(iter(of.values()))[OURS]["answer_bytes"]
    yield [f"{kind}, {era}, {size} bytes"]
    most = of[max(CLIENTS)]
    for name in most:
        row = ["  " + name]
        for clients in CLIENTS:
            has = of[clients][name]
            row += [report.number(has["per_second"], 0), report.number(has["p50_us"] / 1e3, 2),
                    report.number(has["p99_us"] / 1e3, 2)]
        yield row + [report.number(most[name]["cpu_us"], 0)]
    for other in (SDK, SDK_BARE):
        row = ["  " + f"{OURS} / {other}"]
        for clients in CLIENTS:
            row += [report.number(ratio(of[clients], key, other), 2)
                    for key in ("per_second", "p50_us", "p99_us")]
        yield row + [report.number(ratio(most, "cpu_us", other), 2)]


def tables(r):
    head = ["HTTP, N clients"]
    for clients in CLIENTS:
        head += [f"{clients}: /s", "p50 ms", "p99 ms"]
    head.append("cpu us")
    rows = [row for kind in METHODS for era in (LEGACY, MODERN)
            for row in rate_rows(r["rates"], kind, era)]
    memory = [["  idle", r["memory"]["idle"]], ["  64 clients", r["memory"]["loaded"]]]
    memory += [[f"  {row['streams']} streams, {row['era']}", row["servers"]]
               for row in r["streams"]]
    names = list(r["memory"]["idle"])
    shown_rows = [[label, *(kib(has, name) for name in names),
                   report.number(memory_ratio(has), 3)] for label, has in memory]
    return [report.table(head, rows),
            report.table(["HTTP, memory of all processes, KiB", *names, f"{OURS} / {SDK}"],
                         shown_rows)]


def targets(r):
    found = []
    ratios = [(ratio(cell["servers"], "per_second"), cell) for cell in r["rates"]]
    if ratios[0][0] is not None:
        least, cell = min(ratios, key=lambda pair: pair[0])
        name = f"the least: {cell['kind']}, {cell['era']}, {cell['clients']} clients"
    else:
        least, name = None, "not measured"
    found.append(report.target(f"HTTP: requests per second / SDK's ({name})", least,
                               MIN_RATE_RATIO, "x", least=True))
    for label, key in (("idle", "idle"), ("under load", "loaded")):
        exact = "pss" in r["memory"][key][OURS]
        value = bound(memory_ratio(r["memory"][key]), MAX_MEMORY_RATIO, exact)
        found.append(report.target(f"HTTP: memory / SDK's, {label}", value, MAX_MEMORY_RATIO, "x"))
    for row in r["streams"]:
        has = row["servers"][OURS]
        kind = "pss" if "pss" in has else "rss"
        mib = bound(has[kind] / 1024, MAX_STREAMS_MIB, kind == "pss")
        found.append(report.target(f"HTTP: {row['streams']} streams, {row['era']}: {kind.upper()}",
                                   mib, MAX_STREAMS_MIB, "MiB"))
    return found
