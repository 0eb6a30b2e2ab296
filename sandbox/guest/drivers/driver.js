// driver.js: runs the JavaScript of a session, call after call, in one node.
//
// Theory of operation.  The guest starts us with its socket as 3 and the pipe of rich results as
// 4; the files of a call lie beside this one.  A line `run N` comes in, or `code N BYTES` and the
// code itself, which has no files then; the code is given to V8's REPL mode through an inspector
// session of our own: that is where `await` works at the top level and const, let and class may be
// declared again.  Only `import` has to be rewritten.
//
// SIGINT belongs to node's own watchdog, from our first moment to the last; it notes the signal,
// and we never let go of it (without it, the signal would be deadly).  A thread, the poacher, asks
// it, gives our loop a moment to answer for the interrupt, and then has V8 end whatever keeps it
// from that.  What is ended so is ended without catch or finally.  The same is done, by ourselves,
// for process.exit(): nothing after it in the call runs.  The poacher costs 8 MiB, so it goes when
// there has been no call for a while, and comes with the next.
"use strict";

const fs = require("fs");
const inspector = require("inspector");
const Module = require("module");
const net = require("net");
const path = require("path");
const { Writable } = require("stream");
const util = require("util");
const { promiseHooks } = require("v8");
const vm = require("vm");

const NEWLINE = 10;
const GUEST = 3;
const RICH = 4;
const LINE_MAX_BYTES = 16 << 20;
const TEXT_MAX_BYTES = 64 << 10;
const MACHINERY = /[/\\]driver\.js:\d|\(?node:(inspector|vm|internal\/process\/task_queues)/;
const { writeSync, existsSync, readFileSync, unlinkSync, openSync, closeSync } = fs;
const { setImmediate } = globalThis;

const sources = new Map();      // number of a call -> its lines
const session = new inspector.Session();
let number = 0;                 // of the call
let call = null;                // the one that runs: { ended, waits, outcome }

// ---- Lines on 4 ----

let torn = false;       // an interrupt has ended us inside a line: what is left of it is no JSON

function sendLine(record) {
	let line = JSON.stringify(record);
	if (line.includes("\\ud"))      // half a surrogate pair, or a backslash before "ud"
		line = line.replace(/\\(?:ud[89a-f]..|.)/g, (it) => it.startsWith("\\ud") ? "\\ufffd" : it);
	mend();
	torn = true;
	writeAll(RICH, Buffer.from(line + "\n"));
	torn = false;
}

function mend() {
	if (torn)
		writeAll(RICH, Buffer.from("\n"));
	torn = false;
}

function writeAll(fd, data) {
	for (let sent = 0; sent < data.length;) {
		try {
			sent += writeSync(fd, data, sent);
		} catch (error) {
			if (error.code !== "EAGAIN")
				throw error;
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);  // a child's doing
		}
	}
}

// At most 64 KiB of it: who wants more can print it.
function cut(text) {
	const bytes = Buffer.byteLength(text);
	if (bytes <= TEXT_MAX_BYTES)
		return text;
	const note = `\n[cut: ${bytes} bytes in all]`;
	const kept = Buffer.from(text).subarray(0, TEXT_MAX_BYTES - note.length - 3);
	return kept.toString().replace(/\ufffd+$/, "") + note;
}

function encoded(part) {
	return ArrayBuffer.isView(part)
		? Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString("base64") : part;
}

// A bundle {MIME: value}; what is no JSON, or too much for a line, is left out.
function sendData(kind, bundle, text) {
	const data = { "text/plain": cut(text) };
	let room = LINE_MAX_BYTES - (1 << 20);
	for (const [mime, part] of Object.entries(bundle)) {
		try {
			const bytes = Buffer.byteLength(JSON.stringify(encoded(part)));
			if (bytes > room)
				throw new RangeError(`${bytes} bytes are more than a line holds`);
			if (mime !== "text/plain") {
				room -= bytes;
				data[mime] = encoded(part);
			}
		} catch (error) {
			complain(`${mime} is left out: ${error.message}`);
		}
	}
	sendLine({ call: number, kind, data, metadata: {} });
}

function complain(text) {
	process.stderr.write(text + "\n");
}

// ---- What a value looks like ----

const JUPYTER = Symbol.for("Jupyter.display");

function inspected(value) {
	if (typeof value === "number")          // util.inspect() of one takes longer than most calls
		return Object.is(value, -0) ? "-0" : String(value);
	return util.inspect(value, { showProxy: true });
}

function show(kind, value) {
	const own = !util.types.isProxy(value) && typeof value?.[JUPYTER] === "function";
	const bundle = own ? value[JUPYTER]() : {};
	sendData(kind, bundle, own && bundle["text/plain"] || inspected(value));
}

// Shows a value as a notebook does; with raw, it is a {MIME: value} already.
function display(value, options) {
	if (options?.raw)
		sendData("display", value, String(value["text/plain"] ?? inspected(value)));
	else
		show("display", value);
}

// ---- Errors ----

// Stacks end where the caller's code does, for everybody who looks at one.
function prepareStackTrace(error, frames) {
	let head;
	try {
		head = Error.prototype.toString.call(error);
		if (typeof error.code === "string" && /^ERR_/.test(error.code) && !head.includes(error.code))
			head = head.replace(error.name, `${error.name} [${error.code}]`);
	} catch {
		head = "Error";
	}
	let lines = frames.map((frame) => String(frame).replace(/<call-(\d+)>/g, "<call $1>"));
	const machinery = lines.findIndex((line) => MACHINERY.test(line));
	const ours = lines.findLastIndex((line) => line.includes("<call "));
	if (ours >= 0 && lines.slice(ours).some((line) => MACHINERY.test(line)))
		lines = lines.slice(0, ours + 1);
	else if (machinery >= 0)
		lines = lines.slice(0, machinery);
	return [head, ...lines].join("\n    at ");
}

function stackOf(value) {
	try {
		return util.types.isNativeError(value) ? String(value.stack) : "";
	} catch {
		return "";
	}
}

// Where in the code of a call it happened: { call, line, column }, counted from 1.
function placeOf(value, details) {
	const found = /<call (\d+)>:(\d+):(\d+)/.exec(stackOf(value));
	if (found)
		return { call: +found[1], line: +found[2], column: +found[3] };
	if (!details || !util.types.isNativeError(value) || value.name !== "SyntaxError")
		return null;
	const last = sources.get(number).length;        // the line after it is ours
	return { call: number, line: Math.min(details.lineNumber + 1, last),
		column: details.lineNumber < last ? details.columnNumber + 1 : 0 };
}

// As node prints what nobody catches: the line of source, a caret, and the rest.
function formatted(value, place) {
	let text;
	try {
		text = util.types.isNativeError(value) ? util.inspect(value) : `Uncaught ${inspected(value)}`;
	} catch {
		text = "Uncaught error that cannot be shown";
	}
	const source = sources.get(place?.call)?.[place.line - 1];
	if (source === undefined)
		return text;
	const caret = place.column > 0 && place.column <= source.length + 1 && source.length < 200
		? source.slice(0, place.column - 1).replace(/[^\t]/g, " ") + "^\n" : "";
	return `<call ${place.call}>:${place.line}\n${source.slice(0, 200)}\n${caret}\n${text}`;
}

function messageOf(value) {
	try {
		return String(util.types.isNativeError(value) ? value.message : inspected(value));
	} catch {
		return "";
	}
}

function typeOf(value) {
	try {
		return String(util.types.isNativeError(value) ? value.name : value?.constructor?.name ?? value);
	} catch {
		return "Error";
	}
}

// What the caller's code threw: on stderr, and as a line on 4.
function tell(value, details) {
	const place = placeOf(value, details);
	const traceback = formatted(value, place);
	complain(traceback);
	const error = { type: typeOf(value), message: cut(messageOf(value)),
		traceback: cut(traceback) };
	if (place)
		error.line = place.line;
	sendLine({ call: number, kind: "error", error });
}

// An error nobody waited for.  It is the running call's unless it comes from an earlier one;
// either way it is for the code's own listeners if there are any.
function onStray(event, value) {
	if (process.listenerCount(event) > 1)
		return;
	const place = placeOf(value);
	if (!call || place && place.call !== number) {
		complain(formatted(value, place));
		return;
	}
	tell(value);
	end(1);
}

// ---- import ----

const TOKEN = new RegExp([
	/\/\/.*|\/\*[^]*?\*\//, /'(?:\\[^]|[^'\\\n])*'|"(?:\\[^]|[^"\\\n])*"/, /[\w$\u0080-\uffff]+/,
	/\s+/, /\?\.|[^]/,
].map((part) => `(${part.source})`).join("|"), "y");
const REGEXP = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/\w*/y;
const STATEMENT = new RegExp(/import\b\s*(?:([\w$]+)\s*(?:,\s*)?)?/.source
	+ /(?:\*\s*as\s+([\w$]+)\s*|\{([^}]*)\}\s*)?(?:from\b\s*)?/.source
	+ /('[^'\n]+'|"[^"\n]+")(?:\s*(?:with|assert)\s*(\{[^}]*\}))?\s*;?/.source, "y");
const BEFORE_REGEXP = new RegExp("^(?:[([{,;:=!&|?+\\-*%<>~^]|return|typeof|case|in|of|delete|void"
	+ "|throw|new|await|yield|else|do)?$");

// The source with its imports as calls; strings, templates, comments and regular expressions are
// passed over.
function rewritten(source) {
	let out = "";
	let previous = "";      // the last token that is neither space nor comment
	const open = [];        // of each { and ${: what closes it
	let at = 0;
	const template = () => {
		while (at < source.length) {
			const part = source[at++];
			out += part;
			if (part === "\\")
				out += source[at++] ?? "";
			else if (part === "`")
				return;
			else if (part === "$" && source[at] === "{") {
				out += source[at++];
				open.push("template");
				return;
			}
		}
	};
	while (at < source.length) {
		const sticky = source[at] === "/" && BEFORE_REGEXP.test(previous) ? REGEXP : TOKEN;
		sticky.lastIndex = at;
		let found = sticky.exec(source);
		if (!found || sticky === REGEXP && /^\/[/*]/.test(found[0])) {
			TOKEN.lastIndex = at;
			found = TOKEN.exec(source);
		}
		let text = found[0];
		if (text === "import" && previous !== "." && previous !== "?.") {
			const after = /^\s*/.exec(source.slice(at + 6))[0].length + at + 6;
			STATEMENT.lastIndex = at;
			const statement = open.length === 0 && STATEMENT.exec(source);
			if (source[after] === "(" || source[after] === ".") {
				out += "__import__";
				at += 6;
				previous = "__import__";
				continue;
			} else if (statement) {
				out += imported(statement);
				at = STATEMENT.lastIndex;
				previous = ";";
				continue;
			}
		}
		at += text.length;
		out += text;
		if (/^\s+$/.test(text) || found[1] && sticky === TOKEN)
			continue;
		previous = sticky === REGEXP ? "a" : text;
		if (text === "`") {
			template();
		} else if (text === "{") {
			open.push("block");
		} else if (text === "}" && open.pop() === "template") {
			template();
		}
	}
	return out;
}

// One import declaration as a statement, on as many lines.
function imported([text, byDefault, all, names, from, attributes]) {
	const wanted = [];
	const pattern = [];
	if (byDefault)
		names = `default as ${byDefault},${names ?? ""}`;
	for (const name of (names ?? "").replace(/\/\/.*|\/\*[^]*?\*\//g, "").split(",")) {
		const [theirs, mine] = name.trim().split(/\s+as\s+/);
		if (theirs) {
			wanted.push(theirs);
			pattern.push(`${theirs}: ${mine ?? theirs}`);
		}
	}
	const module = `await __import__.named(${from}, ${JSON.stringify(wanted)}, ${attributes ?? "{}"})`;
	let target = "";
	if (all)
		target = `const ${all} = ${module};` + (pattern.length ? `const {${pattern}} = ${all};` : "");
	else
		target = (pattern.length ? `const {${pattern}} = ` : "") + `${module};`;
	return target + "\n".repeat(text.split("\n").length - 1);
}

// ---- The world of the code ----

const home = new Module(path.join(process.cwd(), "session.js"));

// `require`, import() and their kin as of a file in the workspace.
function furnish() {
	home.filename = home.id;
	home.paths = Module._nodeModulePaths(path.dirname(home.id));
	process.mainModule = home;
	home._compile(`exports.give = (hide) => {
		const load = (from, options) => import(from, options);
		load.meta = { url: ${JSON.stringify("file://" + encodeURI(home.id))}, filename: __filename,
			dirname: __dirname, resolve: (what) => require("url").pathToFileURL(
				require.resolve(what)).href };
		load.named = async (from, names, attributes) => {
			const module = await import(from, { with: attributes, assert: attributes });
			for (const name of names)
				if (!(name in module))
					throw new SyntaxError("The requested module '" + from
						+ "' does not provide an export named '" + name + "'");
			return module;
		};
		hide({ require, module, __filename, __dirname, __import__: load });
	};`, home.id);
	const { give } = home.exports;
	home.exports = {};
	give(hide);
	hide({ exports: home.exports, display });
	for (const name of Module.builtinModules) {
		if (/^_|\//.test(name) || name in globalThis)
			continue;
		Object.defineProperty(globalThis, name, { configurable: true,
			get() {
				const found = require(name);
				hide({ [name]: found });
				return found;
			},
			set(value) {
				hide({ [name]: value });
			} });
	}
}

function hide(values) {
	for (const [name, value] of Object.entries(values))
		Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

// Output is written when it is written: nothing to flush, in order, no memory taken by what the
// front has not read, and no state that an interrupt could leave half-way.
class Output extends Writable {
	constructor(fd) {
		super({ autoDestroy: false, emitClose: false });
		this.fd = fd;
		this._type = "pipe";
	}

	write(chunk, encoding, callback) {
		const data = typeof chunk === "string"
			? Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8") : chunk;
		const done = typeof encoding === "function" ? encoding : callback;
		writeAll(this.fd, data);
		if (done)
			process.nextTick(done);
		return true;
	}

	end(chunk, encoding, callback) {
		const done = [chunk, encoding, callback].find((each) => typeof each === "function");
		if (chunk && chunk !== done)
			this.write(chunk, encoding);
		process.nextTick(() => {
			this.emit("finish");    // for pipeline(); there is more to come all the same
			done?.();
		});
		return this;
	}
}

function own(name, fd) {
	let stream = null;
	Object.defineProperty(process, name, { configurable: true, enumerable: true,
		get: () => stream ??= new Output(fd) });
}

// Descriptor 0 is the call's: node has no dup2, so it is closed and the next one opened is 0.
let input = null;
let hadInput = false;

function renewInput(file) {
	const given = file !== null && existsSync(file);
	if (!given && !hadInput && !input)
		return;
	input?.destroy();
	input = null;
	hadInput = given;
	if (poacher)
		Atomics.wait(poacher, 2, 0, 1000);      // while it comes up, it opens things
	closeSync(0);
	if (openSync(given ? file : "/dev/null", "r") !== 0)
		complain("the standard input of this call is lost: another thread took its descriptor");
	if (given)
		unlinkSync(file);
}

function openInput() {
	if (!input) {
		const kind = fs.fstatSync(0);
		input = kind.isFIFO() || kind.isSocket()
			? new net.Socket({ fd: 0, readable: true, writable: false })
			: new fs.ReadStream(null, { fd: 0, autoClose: false });
		input.fd = 0;
	}
	return input;
}

function take(name) {
	const file = path.join(__dirname, `${number}.${name}`);
	if (!existsSync(file))
		return null;
	const content = readFileSync(file, "utf8");
	unlinkSync(file);
	return content;
}

// The surroundings of a call.  False: its folder cannot be entered, so it is not to run.
function prepare(hasFiles) {
	process.exitCode = undefined;
	if (!hasFiles) {
		renewInput(null);
		process.argv = [process.execPath, home.id];
		return true;
	}
	renewInput(path.join(__dirname, `${number}.in`));
	for (const pair of (take("env") ?? "").split("\0").slice(0, -1)) {
		const equals = pair.indexOf("=");
		process.env[pair.slice(0, equals)] = pair.slice(equals + 1);
	}
	process.argv = [process.execPath, home.id, ...(take("args") ?? "").split("\0").slice(0, -1)];
	const folder = take("cwd");
	try {
		if (folder !== null)
			process.chdir(folder);
		return true;
	} catch (error) {
		complain(`cannot enter ${folder}: ${error.message}`);
		return false;
	}
}

// ---- Interrupts ----

// The poacher asks again until there is an answer: node may swallow the end of what it has called.
// cell[0]: 1 while a call runs, 2 while its interrupt is answered, 3 while what runs is being ended
// (we wait for that, lest it strike what comes next).  cell[1]: it is to go.  cell[2]: it is up.
const POACHER = `
	process.noDeprecation = true;
	const { parentPort, workerData: cell } = require("worker_threads");
	const { watchdogHasPendingSigint } = process.binding("contextify");
	const session = new (require("inspector").Session)();
	session.connectToMainThread();
	Atomics.store(cell, 2, 1);
	Atomics.notify(cell, 2);
	while (!Atomics.load(cell, 1)) {
		const running = Atomics.load(cell, 0);
		Atomics.wait(cell, 0, running, running ? 10 : 50);
		for (let again = false; watchdogHasPendingSigint(); again = true) {
			const state = Atomics.load(cell, 0);
			if (again && state !== 2 && Atomics.compareExchange(cell, 0, state, 3) === state) {
				session.post("Runtime.terminateExecution");
				Atomics.wait(cell, 0, 3, 50);
				Atomics.store(cell, 0, state);
			}
			parentPort.postMessage(null);
			Atomics.wait(cell, 0, state, 50);
		}
	}
	session.disconnect();
`;
const IDLE_MS = 2500;           // without a call in one or two of these the poacher goes
let poacher = null;             // its cell
let asyncWrap = null;
let watchdog = null;

// Parts of node that have no other name.  (From node 24 on, async_wrap is not among them: there
// the interpreter needs --no-force-async-hooks-checks.)
function internal(name) {
	const { noDeprecation } = process;
	process.noDeprecation = true;
	try {
		return process.binding(name);
	} catch {
		return null;
	} finally {
		process.noDeprecation = noDeprecation;
	}
}

function watch() {
	asyncWrap = internal("async_wrap");
	watchdog = internal("contextify");
	const unchecked = process.execArgv.includes("--no-force-async-hooks-checks");
	if (!watchdog?.watchdogHasPendingSigint || !asyncWrap && !unchecked) {
		watchdog = null;
		process.on("SIGINT", onInterrupt);
		return;
	}
	watchdog.startSigintWatchdog();
	// What is terminated leaves node's stack of async ids as it was: no reason to abort.
	if (asyncWrap)
		asyncWrap.async_hook_fields[asyncWrap.constants.kCheck] = 0;
	// node would take the signal for listeners of the code: they hear of it from us.
	for (const event of ["newListener", "removeListener"]) {
		const nodes = process.listeners(event);
		process.removeAllListeners(event);
		process.on(event, (name, listener) => {
			if (name !== "SIGINT")
				nodes.forEach((each) => each.call(process, name, listener));
		});
	}
}

function forgetInterrupts() {
	if (!watchdog?.watchdogHasPendingSigint())
		return;
	watchdog.startSigintWatchdog();         // its second user, whose going clears the note
	watchdog.stopSigintWatchdog();
}

function bringPoacher() {
	if (poacher || !watchdog)
		return;
	dismissPoacher.refresh();
	const { Worker } = require("worker_threads");
	poacher = new Int32Array(new SharedArrayBuffer(12));
	new Worker(POACHER, { eval: true, workerData: poacher, env: {}, execArgv: [],
		resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 } })
		.on("message", onInterrupt).on("error", () => {}).unref();
}

function tellPoacher(next) {
	let state;
	if (!poacher)
		return;
	do
		state = Atomics.load(poacher, 0);
	while (state === 3 || Atomics.compareExchange(poacher, 0, state, next) !== state);
	if (state === 2 || next === 2)  // else it sees it soon enough: waking it costs more than a call
		Atomics.notify(poacher, 0);
}

let called = false;             // since the last look

const dismissPoacher = setTimeout(() => {
	if (call || called) {
		called = false;
		dismissPoacher.refresh();
		return;
	}
	if (poacher)
		Atomics.store(poacher, 1, 1);
	poacher = null;
}, IDLE_MS).unref();

function onInterrupt() {
	if (watchdog && !watchdog.watchdogHasPendingSigint())
		return;                 // told twice of one
	tellPoacher(2);
	if (call) {
		asyncWrap?.clearAsyncIdStack?.();
		const error = new Error("interrupted");
		error.name = "Interrupted";
		error.stack = "Interrupted";
		tell(error);
		forgetInterrupts();
		end(130);
	}
	forgetInterrupts();
	tellPoacher(0);
	if (watchdog)
		process.emit("SIGINT", "SIGINT", 2);
}

// ---- Running ----

const watched = new vm.Script("__step__()", { filename: __filename });
let step = null;

// Runs part of a call, microtasks and all, and what came of it.
function proceed(part) {
	const mine = call;
	step = () => {
		part();
		process._tickCallback();
		mine.outcome?.();
	};
	if (watchdog) {
		step();
		return;
	}
	try {                           // better than nothing
		watched.runInThisContext({ breakOnSigint: true });
	} catch (error) {
		if (error?.code !== "ERR_SCRIPT_EXECUTION_INTERRUPTED")
			throw error;
		onInterrupt();
	}
}

// The value of a RemoteObject: V8 hands it to `receive`.
let receiver = null;
let received;

function valueOf(remote) {
	if (remote.type === "undefined")
		return undefined;
	if ("value" in remote)
		return remote.value;
	const argument = remote.objectId ? { objectId: remote.objectId }
		: { unserializableValue: remote.unserializableValue };
	session.post("Runtime.callFunctionOn", { objectId: receiver, arguments: [argument],
		functionDeclaration: "function (value) { this(value); }", silent: true });
	session.post("Runtime.releaseObjectGroup", { objectGroup: "call" });
	const value = received;
	received = undefined;
	return value;
}

function connect() {
	session.connect();
	hide({ __receive__: (value) => { received = value; } });
	session.post("Runtime.evaluate", { expression: "__receive__" }, (error, { result }) => {
		receiver = result.objectId;
	});
	delete globalThis.__receive__;
}

// Like node's REPL: {a: 1} is an object, not a block, if it can be one.
function asExpression(source) {
	if (!/^\s*\{/.test(source) || /;\s*$/.test(source))
		return source;
	try {
		new vm.Script(`async () => (${source}\n)`);
		return `(${source}\n)`;
	} catch {
		return source;
	}
}

// An evaluation V8 has lost sight of, as its promise is garbage, would be answered in the middle of
// a collection, which is fatal.  The promise is the first that comes about: we keep it, where the
// code can wait for anything.
const unanswered = new Set();

function keepFirstPromise() {
	const kept = { promise: null };
	kept.stop = promiseHooks.onInit((promise) => {
		kept.promise ??= promise;
		kept.stop();
	});
	unanswered.add(kept);
	return kept;
}

// What declares and awaits nothing means the same as a plain script, and that takes half the time.
const NEEDS_REPL = /\b(?:let|const|class|var|function|async|await|import|using|enum)\b|\\u/;

// False: it does not compile, and the inspector tells best why.
function ranPlainly(source) {
	const mine = call;
	let script;
	try {
		script = new vm.Script(asExpression(source), { filename: `<call-${number}>` });
	} catch {
		return false;
	}
	let value;
	try {
		value = script.runInThisContext({ displayErrors: false });
	} catch (error) {
		settle(mine, fail, error);
		return true;
	}
	settleWith(mine, value);
	return true;
}

function settleWith(mine, value) {
	if (util.types.isPromise(value))
		Promise.prototype.then.call(value, (result) => settle(mine, succeed, result),
			(error) => settle(mine, fail, error));
	else
		settle(mine, succeed, value);
}

function evaluate(source) {
	const mine = call;
	if (!NEEDS_REPL.test(source) && ranPlainly(source))
		return;
	const kept = /\bawait\b/.test(source) || /\bimport\b/.test(source) ? keepFirstPromise() : null;
	const expression = `${asExpression(/\bimport\b/.test(source) ? rewritten(source) : source)}
//# sourceURL=<call-${number}>`;
	session.post("Runtime.evaluate", { expression, replMode: true, awaitPromise: true,
		objectGroup: "call" }, (failure, answer) => {
		unanswered.delete(kept);
		if (failure || mine.ended)
			return;
		const value = valueOf(answer.result);
		if (answer.exceptionDetails)
			settle(mine, fail, value, answer.exceptionDetails);
		else
			settleWith(mine, value);
	});
	kept?.stop();
}

// The outcome is told when rejections that nobody handles have had their turn.
function settle(mine, outcome, ...what) {
	mine.outcome = () => {
		mine.outcome = null;
		if (!mine.ended)
			outcome(...what);
	};
	if (mine.waits)
		setImmediate(() => call === mine && proceed(() => {}));
}

// `_` is the value of the call before, as in node's REPL, until the code takes the name for itself.
let last;

function offerLast() {
	Object.defineProperty(globalThis, "_", { configurable: true, get: () => last,
		set(value) {
			last = undefined;
			hide({ _: value });
		} });
}

function succeed(value) {
	try {
		if (value !== undefined)
			show("result", value);
		last = value;
	} catch (error) {
		fail(error);
		return;
	}
	end(Number(process.exitCode ?? 0));
}

function fail(value, details) {
	tell(value, details);
	end(value?.signal === "SIGINT" ? 130 : 1);      // execSync: the interrupt was its child's, too
}

function end(status) {
	call.ended = true;
	call = null;
	mend();
	process.exitCode = undefined;
	tellPoacher(0);
	writeSync(GUEST, `end ${number} ${status & 255}\n`);
}

// process.exit() ends the call, and with it whatever runs: V8 is told to stop us.
function exit(status = process.exitCode ?? 0) {
	if (call)
		end(Number(status));
	session.post("Runtime.terminateExecution");
	for (;;);
}

function perform(of, given) {
	number = of;
	const mine = call = { ended: false, waits: false, outcome: null };
	forgetInterrupts();
	const source = given ?? take("code");
	sources.set(number, source.split("\n"));
	if (!prepare(given === null)) {
		end(1);
		return;
	}
	bringPoacher();
	tellPoacher(1);
	called = true;
	proceed(() => evaluate(source));
	mine.waits = true;
}

function serve() {
	const leave = process.reallyExit.bind(process, 0);
	let heard = null;               // of a line, or of code, that has not come whole
	const onData = (n, buffer) => {
		let data = heard ? Buffer.concat([heard, buffer.subarray(0, n)]) : buffer.subarray(0, n);
		for (;;) {
			const at = data.indexOf(NEWLINE);
			const [, of, size] = data.latin1Slice(0, Math.max(at, 0)).split(" ");
			const end = at + 1 + Number(size ?? 0);
			const whole = at >= 0 && data.length >= end;
			const code = whole && size !== undefined ? data.utf8Slice(at + 1, end) : null;
			const rest = whole ? data.subarray(end) : data;
			// kept before the call, which need not return; and copied, as the buffer is used again
			heard = rest.length ? Buffer.from(rest) : null;
			if (!whole)
				return;
			perform(Number(of), code);
			if (!heard)
				return;
			data = heard;
		}
	};
	// past the stream's own machinery, into one buffer
	const guest = new net.Socket({ fd: GUEST,
		onread: { buffer: Buffer.alloc(65536), callback: onData } });
	guest.on("end", leave).on("error", leave).on("close", leave);
	guest.resume();
	writeSync(GUEST, "up inline\n");
}

Error.prepareStackTrace = prepareStackTrace;
process.on("uncaughtException", (error) => onStray("uncaughtException", error));
process.on("unhandledRejection", (reason) => onStray("unhandledRejection", reason));
process.exit = exit;
Object.defineProperty(process, "stdin", { configurable: true, enumerable: true, get: openInput });
hide({ __step__: () => step() });
furnish();
offerLast();
own("stdout", 1);
own("stderr", 2);
connect();
watch();
serve();
