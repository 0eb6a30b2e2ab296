// node's REPL, step after step: what a session's JavaScript is compared with.
//
// A line of JSON {code, stdin} comes in on descriptor 3, one goes out when the step has ended: {exit,
// value, displays, error}. What evaluates is the REPL's own function, with its own writer.
"use strict";

const fs = require("fs");
const net = require("net");
const { PassThrough } = require("stream");
const util = require("util");

const line = new net.Socket({ fd: 3 });
const server = require("repl").start({ prompt: "", input: new PassThrough(), output: new PassThrough(),
	useGlobal: true, breakEvalOnSigint: true });
const JUPYTER = Symbol.for("Jupyter.display");
let displays = [];
let number = 0;
let settle = null;

// What the REPL has no word for: there display() just inspects.
globalThis.display = (value) => {
	displays.push({ "text/plain": util.inspect(value, { showProxy: true }) });
};
const strike = () => server.emit("SIGINT");
// What nobody catches, the REPL would print and go on.
server._domain.removeAllListeners("error");
server._domain.on("error", (error) => settle?.(error));
process.exit = (code) => settle?.({ exit: code ?? 0 });

function told(error) {
	const found = /REPL\d+:(\d+)/.exec(String(error?.stack));
	const named = error instanceof Error;
	return { type: named ? error.name : String(error?.constructor?.name),
		message: named ? error.message : util.inspect(error), line: found ? +found[1] : null };
}

function valued(value) {
	const own = typeof value?.[JUPYTER] === "function" ? value[JUPYTER]() : {};
	return { "text/plain": util.inspect(value, { showProxy: true }), ...own };
}

function step({ code, stdin }) {
	fs.closeSync(0);
	fs.openSync(stdin, "r");
	Object.defineProperty(process, "stdin", { configurable: true,
		value: new fs.ReadStream(null, { fd: 0, autoClose: false }) });
	displays = [];
	number += 1;
	settle = (error, value) => {
		settle = null;
		process.removeListener("SIGINT", strike);
		if (error && typeof error === "object" && "exit" in error && !(error instanceof Error))
			return answer({ exit: error.exit, value: null, error: null });
		if (!error && !server.underscoreAssigned)
			server.last = value;
		const interrupted = error?.code === "ERR_SCRIPT_EXECUTION_INTERRUPTED";
		answer({ exit: interrupted ? 130 : error ? 1 : 0, error: error ? told(error) : null,
			value: error || value === undefined ? null : valued(value) });
	};
	server.eval(code + "\n", server.context, `REPL${number}`, (error, value) =>
		// rejections that nobody handles come first
		setImmediate(() => settle?.(error && error.err || error, value)));
	// Only now: while code runs the REPL watches, and a listener would be in its way.
	if (settle)
		process.on("SIGINT", strike);
}

function answer(what) {
	line.write(JSON.stringify({ ...what, displays }) + "\n");
}

let heard = "";
line.on("data", (data) => {
	const lines = (heard + data).split("\n");
	heard = lines.pop();
	lines.forEach((each) => step(JSON.parse(each)));
});
line.on("end", () => process.reallyExit(0));
