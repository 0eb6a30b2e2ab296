"""driver.js: what people do in a JavaScript session."""
import os

import pytest

import rig


@pytest.mark.parametrize("code, value", [
    ("1+1", "2"), ("'a'", "'a'"), ("undefined", None), ("null", "null"), ("const x = 1", None),
    ("let x = 1; x", "1"), ("-0", "-0"), ("NaN", "NaN"), ("2n ** 70n", "1180591620717411303424n"),
    ("[1, { a: [2, { b: {} }] }]", "[ 1, { a: [ 2, [Object] ] } ]"), ("Symbol('s')", "Symbol(s)"),
    ("new Map([[1, { a: 2 }]])", "Map(1) { 1 => { a: 2 } }"), ("function f() {}", None),
    ("{ a: 1, b: 2 }", "{ a: 1, b: 2 }"), ("{ let y = 3; y }", "3"), ("{ a: 1 };", "1"),
    ("for (let i = 0; i < 3; i++) i", "2"), ("", None), ("// nothing", None),
    ("await 5", "5"), ("Promise.resolve([1])", "[ 1 ]"), ("(async () => 'later')()", "'later'"),
    ("await new Promise((r) => setTimeout(r, 5, 'timer'))", "'timer'"),
    ("new Proxy({}, {})", "Proxy [ {}, {} ]"), ("this === globalThis", "true"),
    ("typeof require + typeof module + typeof __filename", "'functionobjectstring'"),
    ("for await (const x of [Promise.resolve(1)]) x", "1"), ("fs.constants.O_RDONLY", "0"),
    ("require.main === module", "true"), ("'use strict'; 7", "7"), ("var v = 5, w = 6; v", "5"),
    ("x = 5", "5"), ("class A {}; new A()", "A {}"), ("'漢字🎉'", "'漢字🎉'"), ("'\\ud800'", "'\\ud800'"),
])
def test_the_value_of_the_last_expression(js, code, value):
    done = js.run(code)
    assert (done.code, done.value, done.err) == (0, value, "")


def test_the_last_value_has_a_name_until_the_code_takes_it(js):
    js.run("[4, 2]")
    assert js.run("_[0] + 1").value == "5"
    js.run("null.x")
    assert js.run("_").value == "5"
    js.run("const keep = 1;")
    assert js.run("typeof _").value == "'undefined'"
    js.run("_ = 'mine'; 7")
    assert js.run("_").value == "'mine'"
    js.run("var _ = 'again'; 8")
    assert js.run("_").value == "'again'"
    js.run("const _ = 'for good'; 9")
    assert js.run("_").value == "'for good'"


def test_declarations_may_be_made_again_and_are_seen_by_functions(js):
    js.run("const a = 1; let b = 2; class C { v() { return a } } function f() { return a + b }")
    assert js.run("f() + new C().v()").value == "4"
    js.run("const a = 10; let b = 20; class C { v() { return -a } }")
    assert js.run("[f(), new C().v()]").value == "[ 30, -10 ]"
    assert js.run("const d = await Promise.resolve(3)").value is None
    assert js.run("d").value == "3"
    assert js.run("d = 4").error["type"] == "TypeError"
    assert js.run("const fs = require('fs'); typeof fs.readFileSync").value == "'function'"


@pytest.mark.parametrize("code, kind, line, message", [
    ("null.x", "TypeError", 1, "Cannot read properties of null (reading 'x')"),
    ("\n\nnope", "ReferenceError", 3, "nope is not defined"),
    ("let q = ;", "SyntaxError", 1, "Unexpected token ';'"),
    ("const a = 1;\nfunction f( {", "SyntaxError", 2, "Unexpected end of input"),
    ("function f() {\n  throw new RangeError('r');\n}\nf()", "RangeError", 2, "r"),
    ("await 1;\nthrow new Error('late')", "Error", 2, "late"),
    ("await Promise.reject(new Error('no'))", "Error", 1, "no"),
    ("Promise.reject(new Error('value'))", "Error", 1, "value"),
    ("Promise.reject(new Error('lost')); 1", "Error", 1, "lost"),
    ("throw 5", "Number", None, "5"), ("throw undefined", "undefined", None, "undefined"),
    ("throw { a: 1 }", "Object", None, "{ a: 1 }"), ("JSON.parse('{')", "SyntaxError", 1, None),
    ("(function f() { f() })()", "RangeError", 1, "Maximum call stack size exceeded"),
    ("import { nope } from 'fs'", "SyntaxError", None, None),
    ("await import('./missing.mjs')", "Error", None, None),
    ("setTimeout(() => {\n throw new Error('t') }, 1);\nawait new Promise(() => {})", "Error", 2, "t"),
    ("const o = { [util.inspect.custom]() { throw new Error('show') } }; o", "Error", 1, "show"),
])
def test_errors(js, code, kind, line, message):
    done = js.run(code)
    assert done.code == 1
    assert done.error["type"] == kind
    if line is not None:
        assert done.error.get("line") == line
    if message is not None:
        assert done.error["message"] == message
    assert done.error["traceback"].strip() in done.err
    assert "driver.js" not in done.err and "node:inspector" not in done.err
    assert js.run("1+1").value == "2"


def test_an_uncaught_error_looks_as_in_node(js):
    done = js.run("function f() {\n\tnull.x;\n}\nf();")
    assert done.err == ("<call 1>:2\n\tnull.x;\n\t     ^\n\nTypeError: Cannot read properties of null "
                        "(reading 'x')\n    at f (<call 1>:2:7)\n    at <call 1>:4:1\n")
    done = js.run("\nf()")
    assert done.error["line"] == 2 and "at <call 2>:2:1" in done.err


def test_stacks_the_code_looks_at_end_with_its_own_frames(js):
    done = js.run("try { null.x } catch (e) { console.log(e.stack) }")
    assert done.out == ("TypeError: Cannot read properties of null (reading 'x')\n"
                        "    at <call 1>:1:12\n")
    out = js.run("try { require('fs').readFileSync(5, 6) } catch (e) { console.log(e.stack) }").out
    assert out.startswith("TypeError [ERR_INVALID_ARG_TYPE]: ")


def test_strays_of_earlier_calls_are_not_the_running_ones(js):
    js.run("setTimeout(() => { throw new Error('stray') }, 30)\nundefined")
    done = js.run("await new Promise((r) => setTimeout(r, 90)); 'fine'")
    assert (done.code, done.value, done.error) == (0, "'fine'", None)
    assert "Error: stray" in done.err


def test_strays_between_calls_are_written_and_do_no_harm(js):
    js.run("const kept = 1; setTimeout(() => { Promise.reject(new Error('one')) }, 5);"
           "setTimeout(() => { throw new Error('two') }, 10); undefined")
    js.until("Error: one", fd=2)
    js.until("Error: two", fd=2)
    assert js.run("kept").value == "1"


def test_listeners_of_the_code_come_first(js):
    js.run("process.on('unhandledRejection', (e) => console.log('mine', e.message)); undefined")
    done = js.run("Promise.reject(new Error('x')); 1")
    assert (done.code, done.out, done.value) == (0, "mine x\n", "1")


MODULES = {
    "mine.js": "exports.value = 1; exports.where = __filename", "data.json": '{"a": [1]}',
    "mine.mjs": "export const value = 2; export default function hello() { return 'hi' }",
    "node_modules/dep/package.json": '{"name": "dep", "type": "module", "exports": "./i.js"}',
    "node_modules/dep/i.js": "export const value = 3",
    "bad.js": "\n\nmodule.exports = () => { throw new Error('inside') }",
}


def test_require_and_import_are_of_the_workspace(js):
    rig.install(js, MODULES)
    assert js.run("require('./mine').value + require('./data.json').a[0]").value == "2"
    assert js.run("(await import('./mine.mjs')).value").value == "2"
    assert js.run("(await import('dep')).value").value == "3"
    done = js.run("""\
        import hello, { value as two } from './mine.mjs';
        import * as dep from "dep"
        import fs, {
            readFileSync,   // with a comment
            writeFileSync as write
        } from 'node:fs'
        import 'os'; import path from 'path'
        [hello(), two, dep.value, typeof readFileSync, typeof write, path.sep, fs === require('fs')]""")
    assert done.value == "[ 'hi', 2, 3, 'function', 'function', '/', true ]"
    assert js.run("import hello from './mine.mjs'; two + hello()").value == "'2hi'"
    done = js.run("import { a } from 'path'\n")
    assert "does not provide an export named 'a'" in done.error["message"]
    done = js.run("import fs from 'fs'\n\nnull.x")
    assert done.error["line"] == 3
    done = js.run("\nrequire('./bad')()")
    assert done.error["line"] == 2 and "bad.js:3" in done.err
    assert js.run("require('./mine').where", cwd="/").value == f"'{js.workspace}/mine.js'"


def test_import_is_not_seen_where_there_is_none(js):
    assert js.run("""\
        const o = { import: 1, f() { return this.import } };
        const s = 'import("x")' + "import 'y'" + `import('z') ${ `${ typeof import('fs') }` } import`;
        const r = /import ['"`] \\/ (x)/.source; // import q from 'q'
        /* import("w") */ const n = 4 / 2 / 1;
        [o.import + o.f(), s, r.length, n, typeof import.meta.url]""").value == (
        "[\n  2,\n  `import(\"x\")import 'y'import('z') object import`,\n  19,\n  2,\n  'string'\n]")


def test_process_exit_is_not_to_be_caught(js):
    done = js.run("try { process.exit(3) } catch { console.log('c') } finally { console.log('f') }")
    assert (done.code, done.out, done.error) == (3, "", None)
    assert js.run("await 1; try { process.exit(4) } finally { console.log('f') }").out == ""
    done = js.run("setTimeout(() => process.exit(5), 1); await new Promise(() => {})")
    assert done.code == 5
    assert js.run("[1, 2].forEach(() => process.exit()); 1").value is None
    assert js.run("process.exitCode = 6; undefined").code == 6
    for _ in range(3):
        assert js.run("await null; process.exit(7); 1").code == 7
        assert js.interrupted("console.log('ready'); for (;;);").code == 130
    assert js.run("1+1").value == "2"


def test_timers_go_on_between_calls(js):
    js.run("let n = 0; const t = setInterval(() => { if (++n === 3) console.log('three') }, 5); 1")
    js.until("three")
    assert js.run("clearInterval(t); n >= 3").value == "true"


@pytest.mark.parametrize("code", [
    "kept = 1; console.log('ready'); for (;;) console.log('x')",
    "kept = 1; try { console.log('ready'); while (true); } catch { } finally { kept = 2 }",
    "kept = 1; await 1; console.log('ready'); while (true);",
    "kept = 1; process.nextTick(() => { console.log('ready'); while (true); }); await 1",
    "kept = 1; (function f() { console.log('ready'); for (;;) Promise.resolve().then(() => 1) })()",
    "kept = 1; setTimeout(console.log, 50, 'ready'); await new Promise(() => {})",
    "kept = 1; setInterval(console.log, 1, 'x'); setTimeout(console.log, 30, 'ready');"
    "await new Promise(() => {})",
    "kept = 1; console.log('ready'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
    "kept = 1; ({ [util.inspect.custom]() { console.log('ready'); for (;;); } })",
    "kept = 1; console.log('ready'); /(a+)+$/.test('a'.repeat(40) + 'b')",
])
def test_interrupts(js, code):
    for _ in range(3):
        done = js.interrupted(code)
        assert (done.code, done.error["type"]) == (130, "Interrupted")
        assert js.run("kept").value == "1"


def test_garbage_is_collected_while_a_call_waits_for_nothing(js):
    """What waits for a promise that is garbage is garbage too; V8's inspector must not notice."""
    waste = "const t = setInterval(() => { let a = []; for (let i = 0; i < 1e6; i++) a.push({ i });" \
            "if (++n === 20) console.log('ready') }, 1);"
    js.run("let n = 0; const kept = 1")
    for _ in range(3):
        assert js.interrupted(f"{{ n = 0; {waste} await new Promise(() => {{}}) }}").code == 130
        assert js.run("kept").value == "1"


def test_interrupts_of_what_keeps_the_loop_busy(js):
    """The thread that ends it is there after the first call with a second part."""
    js.run("let kept = 1; await new Promise((r) => setTimeout(r, 300))")
    for code in ["await new Promise((r) => setTimeout(r, 5)); console.log('ready'); while (true);",
                 "setImmediate(() => { console.log('ready'); while (true); }); await new Promise(() => {})",
                 "await require('fs/promises').readFile('/dev/null'); console.log('ready'); for (;;);",
                 "console.log('ready'); while (true);"]:
        for _ in range(3):
            assert js.interrupted(code).code == 130
            assert js.run("kept + 1").value == "2"
    assert js.run("await new Promise((r) => setTimeout(r, 1, 'timers work'))").value == "'timers work'"


def test_listeners_of_interrupts_hear_of_them(js):
    js.run("process.on('SIGINT', () => console.log('mine')); undefined")
    for _ in range(3):
        assert js.interrupted("console.log('ready'); while (true);").code == 130
        js.until("mine")
    js.run("process.removeAllListeners('SIGINT'); undefined")
    assert js.interrupted("console.log('ready'); while (true);").code == 130


def test_standard_input_as_a_stream(js):
    code = ("let all = ''; process.stdin.setEncoding('utf8');"
            "for await (const part of process.stdin) all += part; all.length")
    assert js.run(code, stdin=b"x" * 200_000).value == "200000"
    assert js.run(code, stdin=b"yy").value == "2"
    assert js.run(code).value == "0"
    js.begin("console.log('ready');" + code, stdin="fifo")
    js.until("ready")
    os.write(js.fifo, b"zzz")
    os.close(js.fifo)
    assert js.end().value == "3"
    lines = "const r = require('readline').createInterface({ input: process.stdin }); const l = [];" \
            "for await (const line of r) l.push(line); l"
    assert js.run(lines, stdin=b"a\nb\n").value == "[ 'a', 'b' ]"


def test_output_is_whole_and_in_order(js):
    done = js.run("console.log('one'); require('child_process').execSync('echo two', { stdio: 'inherit' });"
                  "process.stdout.write('three\\n'); require('fs').writeSync(1, 'four\\n');")
    assert done.out.split() == ["one", "two", "three", "four"]
    done = js.run("process.stdout.write('x'.repeat(10 << 20)); process.exit(0)")
    assert len(done.out) == 10 << 20
    done = js.run("const { pipeline } = require('stream/promises');"
                  "await pipeline(require('fs').createReadStream('/etc/passwd'), process.stdout); 1")
    with open("/etc/passwd") as file:
        assert done.out == file.read()
    assert js.run("console.log('after'); process.stdout.end('end')").out == "after\nend"
    assert js.run("console.log('again')").out == "again\n"


def test_workers_and_children(js):
    done = js.run("""\
        const { Worker } = require('worker_threads');
        await new Promise((resolve) => new Worker(
            "require('worker_threads').parentPort.postMessage(6 * 7)", { eval: true })
            .on('message', resolve))""")
    assert done.value == "42"
    done = js.run("await util.promisify(child_process.exec)('echo hi; exit 0')")
    assert done.value == "{ stdout: 'hi\\n', stderr: '' }"


def test_display(js):
    done = js.run("display(new Set([1])); display({ 'text/html': '<b>', 'text/plain': 'p' }, { raw: true });"
                  "({ [Symbol.for('Jupyter.display')]: () => ({ 'image/png': Buffer.from('x') }) })")
    assert done.displays == [{"text/plain": "Set(1) { 1 }"}, {"text/plain": "p", "text/html": "<b>"}]
    assert done.rich[-1]["kind"] == "result" and done.rich[-1]["data"]["image/png"] == "eA=="
    value = js.run("'é'.repeat(100_000).split('')").value
    assert len(value.encode()) <= 65536
    assert len(js.run("throw new Error('x'.repeat(1e6))").error["message"]) <= 65536


@pytest.mark.parametrize("code, status", [("process.abort()", -6), ("process.reallyExit(3)", 3),
                                          ("process.kill(process.pid)", -15)])
def test_deaths(js, code, status):
    assert js.dies(code) == status


def test_forty_steps_are_what_one_script_prints(js):
    steps = ["const data = Array.from({ length: 100 }, (_, i) => (i * 7919) % 101)",
             "const sum = (a) => a.reduce((x, y) => x + y, 0)", "console.log(sum(data))",
             "console.log(data.toSorted ? 1 : 1, [...data].sort((a, b) => a - b).slice(0, 5))",
             "const mean = sum(data) / data.length; console.log(mean)",
             "console.log(Math.sqrt(sum(data.map((x) => (x - mean) ** 2)) / data.length))",
             "class Stack { #a = []; push(x) { this.#a.push(x) } pop() { return this.#a.pop() } }",
             "const s = new Stack(); s.push(1); s.push(2); console.log(s.pop(), s)",
             "function* gen() { yield* [1, 2, 3] }", "console.log([...gen()])",
             "const { a, ...rest } = { a: 1, b: 2, c: 3 }; console.log(a, rest)",
             "console.log(JSON.stringify({ x: [1, null, 'é'], y: undefined }))",
             "console.log('a1b22'.replace(/\\d+/g, (m) => `<${m}>`))", "let counter = 0",
             "const inc = () => ++counter", "inc(); inc(); console.log(counter)",
             "try { null.x } catch (e) { console.log(e.message) }",
             "console.log([1, [2, [3, [4]]]].flat(Infinity))",
             "const m = new Map([['k', { v: 1 }]]); console.log(m)",
             "console.log(0.1 + 0.2, 2 ** 53, 1e21, -7 % 3, 7n / 2n)",
             "console.log(new Date(0).toISOString())", "const path = require('path')",
             "console.log(path.join('a', '..', 'b'))",
             "require('fs').writeFileSync('t.txt', 'one\\ntwo')",
             "console.log(require('fs').readFileSync('t.txt', 'utf8').split('\\n'))",
             "console.log(typeof undefined, typeof null, typeof (() => 1))",
             "console.log([3, 1, 2].sort(), ['b', 'a'].reverse())",
             "console.log(Object.entries({ x: 1 }), Number('12px'), parseInt('12px'))",
             "console.log(`${1 + 1} ${[1, 2]} ${{}}`)", "const tag = (p, ...v) => p.raw.join('|') + v",
             "console.log(tag`a${1}b${2}c`)", "var old = 1; { var old = 2 } console.log(old)",
             "console.log([..'héllo'].length)".replace("..'", "...'"),
             "label: for (let i = 0; i < 3; i++) for (;;) { if (i === 1) break label; break }",
             "console.log(new Set([1, 1, 2]), Symbol.iterator)",
             "console.log(require('crypto').createHash('sha256').update('x').digest('hex'))",
             "const delay = (ms, v) => new Promise((r) => setTimeout(r, ms, v))",
             "console.error('to stderr')", "console.table([{ a: 1 }])",
             "console.log(Buffer.from('hi'), new Uint8Array(2))"]
    assert len(steps) == 40
    plain = rig.plain(js, "plain.js", ";\n".join(steps) + "\n")
    assert plain.returncode == 0, plain.stderr
    dones = [js.run(step) for step in steps]
    assert [done.code for done in dones] == [0] * 40, [done.err for done in dones]
    assert "".join(done.out for done in dones) == plain.stdout
    assert "".join(done.err for done in dones) == plain.stderr
