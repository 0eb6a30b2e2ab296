"""Forty steps in JavaScript; each builds on those before it."""
from steps import Step

PNG_MAKER = r'''
const crc = (data) => { let c = ~0; for (const b of data) { c ^= b; for (let k = 0; k < 8; k++) c = c >>> 1 ^ (c & 1 ? 0xEDB88320 : 0) } return ~c >>> 0 };
const chunk = (kind, data) => {
	const body = Buffer.concat([Buffer.from(kind), data]), out = Buffer.alloc(body.length + 8);
	out.writeUInt32BE(data.length, 0); body.copy(out, 4); out.writeUInt32BE(crc(body), body.length + 4);
	return out;
};
const png = (w, h, color) => {
	const head = Buffer.alloc(13); head.writeUInt32BE(w, 0); head.writeUInt32BE(h, 4); head[8] = 8; head[9] = 2;
	const row = Buffer.from([0, ...Array(w).fill(color).flat()]);
	return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", head),
		chunk("IDAT", require("zlib").deflateSync(Buffer.concat(Array(h).fill(row)))), chunk("IEND", Buffer.alloc(0))]);
};
class Picture {
	constructor(...how) { this.how = how }
	[Symbol.for("Jupyter.display")]() { return { "image/png": png(...this.how).toString("base64") } }
}
'''

NUMBERS = "\n".join(str(i * 7919 % 10007) for i in range(5000)) + "\n"

STEPS = [
    Step("const fs = require('fs'), path = require('path'); let x = 41; var rows = [3, 1, 2];"),
    Step("x + 1"),
    Step("console.log([...rows].sort(), 'two', 2.5, null, undefined); rows"),
    Step("function area(r, scale = 1) { return scale * Math.PI * r ** 2 }\narea(2)"),
    Step("[0, 1, 2, 3].map((r) => area(r)), [area.name, area.length]"),
    Step("class Point { #secret = 7; constructor(x, y = 0.5) { this.x = x; this.y = y } get sum() { return this.x "
         "+ this.y } static zero = new Point(0, 0); reveal() { return this.#secret } }\nconst p = new Point(1); p"),
    Step("p.sum + p.reveal(), Point.zero"),
    Step("rows.push(4);\nnull.x;\nrows.push(5);"),
    Step("rows"),
    Step("let y = 1;\nlet z = = 2;"),
    Step("const outer = (n) => inner(n);\nfunction inner(n) {\n  if (n > 1) throw new RangeError(`zu groß: ${n}`);\n"
         "  return n;\n}\nouter(1)"),
    Step("inner(5)"),
    Step("'αβγ 🙂 שלום ' + 'e\\u0301' + '\\u{10FFFF}', ['🙂'.length, 'ß'.toUpperCase(), 'quote \\' \" `']"),
    Step("console.log('日本語', '🙂'.repeat(3), 'العربية', '%s is %d and %j', 'it', 42, { a: [1] })"),
    Step("const text = fs.readFileSync(0, 'utf8'); text.split('\\n')", stdin="Åsa\n37\nmore"),
    Step("const readline = require('readline'); let total = 0;\nfor await (const line of readline.createInterface("
         "{ input: process.stdin })) { total += Number(line); console.log('so far', total) }\ntotal",
         background=["1\n2\n", "3\n", "4\n5\n"]),
    Step("const slow = (n) => new Promise((done) => setTimeout(done, n * 10, n * n));\n"
         "await Promise.all([3, 1, 2].map(slow))"),
    Step("const later = slow(4); later instanceof Promise"),
    Step("(await later) + x"),
    Step("async function* count(n) { for (let i = 0; i < n; i++) yield i }\nconst seen = [];\n"
         "for await (const i of count(4)) seen.push(i * i);\nseen"),
    Step("function* squares() { for (let i = 0; ; i++) yield i * i }\nconst gen = squares();\n"
         "[gen.next(), gen.next(), gen.next().value]"),
    Step("[gen.next().value, gen]"),
    Step("[_[0] + 1, typeof _]"),
    Step("fs.mkdirSync('out'); fs.writeFileSync('out/ünïcode.bin', Buffer.from([...Array(256).keys()]));\n"
         "fs.writeFileSync('out/data.json', JSON.stringify({ k: [1, 2.5, null, 'é'] }, null, 1)); fs.readdirSync('out')",
         download=["out/ünïcode.bin", "out/data.json"]),
    Step("const numbers = fs.readFileSync('numbers.txt', 'utf8').trim().split('\\n').map(Number);\n"
         "const mean = numbers.reduce((a, b) => a + b) / numbers.length;\n({ n: numbers.length, mean, "
         "deviation: Math.sqrt(numbers.reduce((a, b) => a + (b - mean) ** 2, 0) / numbers.length), max: "
         "Math.max(...numbers) })", upload={"numbers.txt": NUMBERS.encode()}),
    Step("let state = 12345n;\nfor (let i = 0; i < 60000; i++) { state = (state * 1103515245n + 12345n) % 2n ** 31n; "
         "console.log(i, state, state.toString(16)) }\nstate"),                     # 1.4 MiB
    Step("console.error('to err'); console.warn('%o', 1); process.stderr.write('raw\\n'); process.stdout.write('out\\n')"),
    Step(PNG_MAKER + "new Picture(4, 4, [0, 128, 255])"),
    Step("display({ a: 1 }); display('text'); new Picture(2, 1, [255, 0, 0])"),
    Step("({ [Symbol.for('Jupyter.display')]() { return { 'text/html': '<b>ü</b>', 'text/plain': 'plain', "
         "'application/json': { n: [1, null] } } } })"),
    Step("console.log('turning'); let turns = 0;\nwhile (true) turns++;", cancel="turning", alike=("stdout", "exit")),
    Step("turns > 0 && x"),
    Step("setTimeout(() => console.log('asleep'), 100); await new Promise(() => {}); console.log('never')",
         timeout="asleep",      # printed when it waits: just before that, the REPL can die of a SIGINT
         alike=("stdout", "exit")),
    Step("[x, rows.length, p.sum]"),
    Step("await (async () => { await null; throw new TypeError('später') })()"),
    Step("throw Object.assign(new Error('with a code'), { name: 'CustomError', code: 'E_ODD' })"),
    Step("class Odd extends Error { constructor() { super(''); this.name = 'Odd' } }\nthrow new Odd()"),
    Step("const { EventEmitter } = await import('node:events'); const bus = new EventEmitter(); const heard = [];\n"
         "bus.on('news', (...what) => heard.push(what)); bus.emit('news', 1, 'a'); bus.emit('none'); heard"),
    Step("const cp = require('child_process'); const [sh] = [cp.spawnSync('sh', ['-c', 'echo second; exit 4'])];\n"
         "console.log('first'); [sh.status, String(sh.stdout), cp.execSync('printf \"%s\" $((6 * 7))', "
         "{ encoding: 'utf8' })]"),
    Step("const circle = { name: 'c' }; circle.self = circle; const m = new Map([['k', { deep: { er: { est: [1] } } }]]);\n"
         "[circle, m, new Set(['é', NaN, -0]), Symbol('s'), 2n ** 100n, /r(e)g/giu, new Date(0), function f() {}, "
         "class C {}, async () => {}, [1, , 3], new Uint8Array(3), Buffer.from('hi'), new Proxy({ a: 1 }, {}), "
         "new Error('inside').message, null, undefined, 0.1 + 0.2, 1e21, new WeakMap(), globalThis === this]"),
    Step("({ a: 1, get b() { return 2 }, set c(v) {}, 'd-e': [[[[[]]]]] })"),
    Step("console.table([{ a: 1, b: 'x' }, { a: 2, b: 'ÿ' }]); console.group('g'); console.log('indented'); "
         "console.groupEnd(); console.dir({ a: { b: { c: {} } } }, { depth: 0 }); console.assert(1 === 2, 'odd')"),
    Step("label: for (let i = 0; ; i++) { switch (i) { case 3: break label } }\n"
         "try { undefinedName } catch ({ name, message }) { `${name}: ${message}` }"),
    Step("fs.mkdirSync('deep/er', { recursive: true }); process.chdir('deep'); process.env.STAYS = 'yes';"),
    Step("[path.basename(process.cwd()), fs.readdirSync('.'), process.env.STAYS, "
         "cp.execSync('echo $STAYS; basename $PWD', { encoding: 'utf8' })]"),
    Step("const { Worker } = require('worker_threads');\nawait new Promise((done, failed) => new Worker(\n"
         "  'require(\"worker_threads\").parentPort.postMessage([...Array(5).keys()])', { eval: true })\n"
         "  .on('message', done).on('error', failed))"),
    Step("const { createHash } = require('crypto'); const { gzipSync, gunzipSync } = require('zlib');\n"
         "[createHash('sha256').update(JSON.stringify(numbers)).digest('hex'), "
         "gunzipSync(gzipSync('round trip')).toString(), structuredClone(m), new URL('http://ü.example/a?b=1').href, "
         "new Intl.NumberFormat('en').format(1234567.891)]"),
    Step("function deeper(n) { return deeper(n + 1) }\ndeeper(0)"),
    Step("undefinedName"),
    Step("x = 'changed'; [x, mean, seen, gen.next().value, heard, state, turns > 0, total]"),
]
