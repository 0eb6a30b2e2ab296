"""A run in a Node.js that has waited for it gives what the same run gives in a sandbox of its own: all of it but times and ids.

What Node.js itself does is compared, by hundreds of programs, in tests/drivers/test_ahead.py; here it is the whole way: limits,
verdicts, output, and what a program sees around it.
"""
import os
import signal

import cells
import mcp
import pytest
from test_paths import TIMES_AND_IDS, cold, plain  # noqa: F401

STATUS = "const fs = require('fs')\nconst of = name => fs.readFileSync('/proc/self/' + name, 'utf8')\n"
PROGRAMS = {
    "nothing": "",
    "a line": "console.log('hello', 1 + 1)",
    "both streams": "console.log('out'); console.error('err')",
    "exit 3": "console.log('out'); process.exit(3)",
    "its own SIGKILL": "process.kill(process.pid, 'SIGKILL')",
    "its own SIGTERM": "process.kill(process.pid, 'SIGTERM'); setTimeout(() => 0, 60000)",
    "abort": "process.abort()",
    "error": "function f() {\n  return null.x\n}\nf()",
    "error in a promise": "Promise.reject(new Error('no'))",
    "syntax error": "let x = (",
    "a module": "import fs from 'fs'\nconsole.log(import.meta.url, await 5, typeof fs.readFileSync)",
    "a module's error": "import 'fs'\nthrow new Error('no')",
    "unicode": "console.log('\u00e4\u20ac\U0001f40d\\ud800')",
    "bytes": "process.stdout.write(Buffer.from([0xff, 0, 0xfe]))",
    "much": "process.stdout.write('x'.repeat(3000000), () => console.error('all of it'))",
    "a large program": "// " + "x" * 200000 + "\nconsole.log(1)",
    "a child": "console.log(require('child_process').spawnSync('sh', ['-c', 'echo out; exit 3']).status)",
    "a child that stays": "require('child_process').spawn('sleep', ['1000'], {detached: true, stdio: 'inherit'}).unref(); console.log('end')",
    "a worker": "const { Worker } = require('worker_threads'); new Worker('console.log(process.execArgv)', {eval: true})",
    "fork": "if (process.send) process.send(process.execArgv); else require('child_process').fork(__filename).on('message', console.log)",
    # limits
    "processes": "const { spawnSync } = require('child_process')\n"
                 "console.log(spawnSync('sh', ['-c', 'while sleep 1000 & do :; done']).status)\nprocess.exit(1)",
    "memory": "const x = []; for (;;) x.push(Buffer.alloc(8 << 20, 1))",
    "disk": "const fs = require('fs'); const b = Buffer.alloc(1 << 20); for (;;) fs.appendFileSync('f', b)",
    "descriptors": "const fs = require('fs'); let n = 0; try { for (;;) { fs.openSync('/dev/null'); n++ } } catch (e) { console.log(n, e.code) }",
    "threads": STATUS + "console.log(of('status').match(/Threads.*/)[0])",
    # what it sees
    "itself": "console.log(process.argv, process.execArgv, process.execPath, process.cwd(), __filename, process.pid, process.ppid, process.title)",
    "its confinement": STATUS + "console.log(of('status').match(/^(NoNewPrivs|Seccomp|Cap|Sig[BIC]|Groups|Umask|NSpid).*$/mg))",
    "its limits": STATUS + "console.log(of('limits'), of('oom_score_adj'), of('cgroup').replace(/^\\d+/mg, ''))",
    "its environment": STATUS + "console.log(Object.entries(process.env), of('environ').split('\\0').filter(Boolean))",
    "its descriptors": STATUS + "console.log(fs.readdirSync('/proc/self/fd'), [0, 1, 2].map(n => of('fdinfo/' + n).match(/flags.*/)[0]))",
    "its neighbours": STATUS + "console.log(fs.readdirSync('/proc').filter(n => n > 0).map(n => fs.readFileSync(`/proc/${n}/comm`, 'utf8')))",
    "its file": "const s = require('fs').statSync(__filename); console.log(s.mode, s.nlink, s.uid === process.getuid(), s.gid === process.getgid())",
    "a shebang": "#!/usr/bin/env node\nconsole.log(require('fs').statSync(__filename).mode)",
    "its mounts": STATUS + "for (const l of of('mountinfo').trim().split('\\n')) console.log(l.split(' - ')[0].split(' ').slice(3, 6), l.split(' - ')[1].split(' ')[0])",
    "who it is": "const os = require('os'); console.log(os.userInfo().username, os.hostname(), os.homedir(), process.getgroups().length, os.cpus().length)",
    "its network": "console.log(Object.keys(require('os').networkInterfaces()))\n"
                   "const s = require('net').createServer(c => c.end('hi')).listen(0, '127.0.0.1', () => require('net').connect(s.address().port)\n"
                   "  .on('data', d => { console.log(String(d)); s.close() }))",
}
CALLS = {name: (code, {}) for name, code in PROGRAMS.items()}
READ = "process.stdin.setEncoding('utf8'); let s = ''; process.stdin.on('data', d => s += d).on('end', () => console.log(s.length, s.slice(0, 9)))"
CALLS.update({
    "no stdin": (READ, {}),
    "an empty stdin": (READ, {"stdin": ""}),
    "stdin": (READ, {"stdin": "a\nb\r\n\u20ac"}),
    "a large stdin": (READ, {"stdin": "0123456789\n" * 50000}),
    "stdin that is not read": ("console.log(1)", {"stdin": "x" * 300000}),
    "stdin at once": ("console.log(require('fs').readFileSync(0, 'utf8'), require('fs').fstatSync(0).size)", {"stdin": "abc"}),
    "a timeout": ("console.log('a'); for (;;);", {"timeout_ms": 1000}),
    "a timeout asleep": ("setTimeout(() => 0, 60000)", {"timeout_ms": 300}),
    "a timeout of a deaf one": ("process.on('SIGTERM', () => 0); setInterval(() => 0, 10)", {"timeout_ms": 300}),
})


def run(server, code, how):
    result = server.result_of(server.start("run_code", {"language": "javascript", "code": code, **how}))
    return result["structuredContent"], result["content"]


class Warm:
    """Each program is run in an interpreter that waits: these are made one after the other, so it is asked again."""

    def __init__(self, server):
        self.server = server

    def run(self, code, how):
        cells.until("none waits", lambda: self.server.call("run_code", {"language": "javascript", "code": ""})["path"] == "warm")
        for _ in range(20):
            facts, content = run(self.server, code, how)
            if facts["path"] == "warm":
                return facts, content
        raise AssertionError(facts)


@pytest.fixture(scope="module")
def warm():
    with cells.with_copies(mcp.Server(), "javascript") as server:
        yield Warm(server)
        cells.nothing_is_amiss(server)


def seen(facts, content):
    return ({name: plain(value) for name, value in facts.items() if name not in TIMES_AND_IDS},
            [{name: plain(value) for name, value in block.items()} for block in content])


@pytest.mark.parametrize("name", CALLS)
def test_both_paths_give_the_same(warm, cold, name):
    facts, content = run(cold, *CALLS[name])
    assert facts["path"] == "cold"
    assert seen(*warm.run(*CALLS[name])) == seen(facts, content)


@pytest.mark.parametrize("code", ["console.log(process.hrtime())", "process.exit(Math.random() * 200 + 1)"])
def test_a_difference_would_be_seen(warm, cold, code):
    """What no two runs have in common, or hardly ever."""
    assert any(seen(*warm.run(code, {})) != seen(*run(cold, code, {})) for _ in range(5))


def test_many_at_once_have_their_own_answers(warm):
    """More than wait: some run cold. No answer is another's."""
    started = [warm.server.start("run_code", {"language": "javascript", "code": f"console.log({n} * 3)"}) for n in range(24)]
    for n, ident in enumerate(started):
        assert warm.server.result_of(ident)["structuredContent"]["stdout"] == f"{n * 3}\n"


def test_those_that_wait_stay_few(warm):
    """However many were asked for: each has its own memory."""
    for _ in range(12):
        run(warm.server, "1", {})

    cells.until("there are too many, or none", lambda: 1 <= len(nodes(warm.server)) <= 4)


def nodes(server):
    return [pid for pid in cells.offspring(server.proc.pid) if name_of(pid) == "node"]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def test_one_that_is_killed_while_it_waits_is_replaced(warm):
    """By the host, say for want of memory: no run has a trace of it."""
    waiting = cells.until("none waits", lambda: nodes(warm.server))
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    cells.until("one does not end", lambda: not {pid for pid in waiting if name_of(pid) == "node"})
    assert run(warm.server, "console.log(1)", {})[0]["stdout"] == "1\n"
    assert warm.run("console.log(2)", {})[0]["stdout"] == "2\n"
