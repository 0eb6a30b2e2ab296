// sdk_cases.mjs: what every SDK client must see, over stdio and over HTTP. A kit tells how one SDK
// does it in one era over one transport:
//   transport                     "stdio" or "http"
//   connect() -> {client, pid, call(name, args, options), end()}   a client with its own server;
//                                 end() closes the client, ends the server, looks at its record
//   version, negotiated(client)   what the connection must agree on, and what it did
//   isTimeout(e)                  the SDK's own error
//   hold, key                     a program and its first argument: connects, prints the server's
//                                 pid, runs its third argument as Python and waits; the second
//                                 is the URL of the server, or "-" for one of its own
import assert from "node:assert/strict";
import { endless, running } from "./endless.mjs";
import { using } from "./kits.mjs";
import { all, until, untilGone, withArgument } from "./procs.mjs";
import { listedByServer } from "./server.mjs";
import { test } from "./tap.mjs";

export const LONG_MS = 30_000;
export const GONE_MS = 1_900;	// "within 2 s", and before the SDK helps with a signal
export const python = (code, more = {}) => ({ language: "python", code, ...more });

// Prints for five seconds; short enough for every default limit but the client's own.
const FIVE_SECONDS = python([
	"import time",
	"for i in range(10):",
	"    print(i, flush=True)",
	"    time.sleep(0.5)",
].join("\n"), { timeout_ms: LONG_MS });

export function sdkCases(kit) {
	const connected = (name, body) => test(`${kit.name}: ${name}`,
		async () => using(await kit.connect(), body));
	// A server that has answered once: what it starts on first use is there already.
	const warm = (name, body) => connected(name, async (c) => {
		await answers(c);
		await body(c);
	});

	basics(kit, connected);
	endings(connected);
	cancelling(kit, warm);
	progress(connected);
	warm("16 concurrent calls each get their own output", sixteen);
}

export async function answers(c) {
	const r = await c.call("run_code", python("print(6*7)"));
	assert.equal(r.structuredContent?.status, "exited");
	assert.equal(r.structuredContent.stdout, "42\n");
	return r;
}

function basics(kit, connected) {
	connected(`negotiates ${kit.version}`, async ({ client }) => {
		assert.equal(client.getServerVersion()?.name, "fumehood");
		assert.equal(kit.negotiated(client), kit.version);
	});

	connected("lists its tools with usable schemas", async ({ client }) => {
		const { tools } = await client.listTools();
		const want = await listedByServer();
		assert.deepEqual(tools.map((t) => t.name).sort(), [...want.keys()].sort());
		for (const t of tools) {
			assert.match(t.name, /^[a-z_]{1,32}$/);
			assert.ok(t.description?.length > 0, `${t.name} has no description`);
			assert.deepEqual(t.inputSchema, want.get(t.name).inputSchema);
			assert.deepEqual(t.outputSchema, want.get(t.name).outputSchema);
		}
	});

	connected("run_code gives the output of a program", async (c) => {
		const r = await answers(c);
		assert.equal(r.structuredContent.exit_code, 0);
		assert.ok(!r.isError);
	});

	connected("the text block says what structuredContent says", async (c) => {
		const r = await answers(c);
		const text = r.content.map((b) => b.text ?? "").join("\n");
		assert.match(text, /\b42\b/);
		assert.match(text, /exited|exit code/i);
	});

	connected("run_command runs a shell command", async (c) => {
		const r = await c.call("run_command",
			{ command: "printf '%s' one two | tr a-z A-Z" });
		assert.equal(r.structuredContent.status, "exited");
		assert.equal(r.structuredContent.stdout, "ONETWO");
	});

	connected("sandbox_info names the runtimes", async (c) => {
		const r = await c.call("sandbox_info", {});
		assert.ok(!r.isError);
		assert.match(JSON.stringify(r.structuredContent), /"python"/);
	});

	connected("output beyond ASCII arrives unchanged", async (c) => {
		const text = "gr\u00fc\u00df \u6f22\u5b57 \u{1f9ea} \"\\ \t end";
		const r = await c.call("run_code", python(`print(${JSON.stringify(text)
			.replace("\u{1f9ea}", "\\U0001f9ea")})`));
		assert.equal(r.structuredContent.stdout, `${text}\n`);
	});
}

function endings(connected) {
	connected("a failing program is a result, not an error", async (c) => {
		const r = await c.call("run_code",
			python("import sys; print('no', file=sys.stderr); sys.exit(3)"));
		assert.ok(!r.isError);
		assert.equal(r.structuredContent.status, "exited");
		assert.equal(r.structuredContent.exit_code, 3);
		assert.equal(r.structuredContent.stderr, "no\n");
	});

	connected("the server's own time limit is a result with status timeout", async (c) => {
		const r = await c.call("run_code",
			python("while True: pass", { timeout_ms: 1000 }));
		assert.equal(r.structuredContent.status, "timeout");
	});

	connected("a language that is not there is a tool error that says so", async (c) => {
		const r = await c.call("run_code", { language: "cobol85", code: "x" });
		assert.equal(r.isError, true);
		assert.match(JSON.stringify(r.content), /python/);
		await answers(c);
	});

	connected("a tool that is not there is refused and the server lives on", async (c) => {
		await assert.rejects(c.call("no_such_tool", {}).then((r) => {
			if (r.isError)
				throw new Error("refused as a tool error");
		}));
		await answers(c);
	});
}

// Starts an endless program and waits until it is seen to run.
export async function start(c, options) {
	const program = endless();
	const before = all();
	const call = c.call("run_code", python(program.code, { timeout_ms: LONG_MS }), options);
	const run = { ...program, late: [], answer: null };
	run.settled = call.then((answer) => {
		run.answer = answer;
	}, (e) => e);
	run.procs = await running(program.word, c.pid, before);
	// both SDKs report an answer to an id they no longer wait for
	c.client.onerror = (e) => run.late.push(e);
	return run;
}

async function ended(c, run) {
	await untilGone(run.procs, GONE_MS);
	assert.deepEqual(withArgument(run.word), []);
	await answers(c);
	assert.deepEqual(run.late, []);
}

function cancelling(kit, warm) {
	// How the client says it, where the test can see that.
	function said(c) {
		if (c.posted)
			assert.equal(c.posted.includes("notifications/cancelled"), kit.era === "legacy",
				`posted ${c.posted}`);
	}

	warm("cancelling ends the program and the server still answers", async (c) => {
		const abort = new AbortController();
		const run = await start(c, { signal: abort.signal, timeout: LONG_MS });
		abort.abort(new Error("enough"));
		const e = await run.settled;
		assert.match(String(e), /enough/);
		await ended(c, run);
		said(c);
	});

	warm("the client's time limit ends the program and the server answers", async (c) => {
		const run = await start(c, { timeout: 2000 });
		const e = await run.settled;
		assert.ok(kit.isTimeout(e), String(e));
		await ended(c, run);
		said(c);
	});

	warm("cancelling one call leaves the others alone", async (c) => {
		const { word } = endless();
		const other = c.call("run_code", python([
			"import subprocess",
			`subprocess.run(["/bin/sleep", "2", "${word}"])`,
			"print('whole')",
		].join("\n"), { timeout_ms: LONG_MS }));
		other.catch(() => {});	// an earlier failure must not become an unhandled one
		const abort = new AbortController();
		const run = await start(c, { signal: abort.signal, timeout: LONG_MS });
		await until(() => "the other program", 15_000,
			() => withArgument(word).length > 0);
		abort.abort(new Error("enough"));
		await untilGone(run.procs, GONE_MS);
		assert.equal((await other).structuredContent.stdout, "whole\n");
	});
}

function progress(connected) {
	connected("a run of 5 s reports progress that only grows and ends with it", async (c) => {
		const seen = [];
		const r = await c.call("run_code", FIVE_SECONDS,
			{ onprogress: (p) => seen.push(p.progress), timeout: LONG_MS });
		const during = seen.length;
		assert.equal(r.structuredContent.stdout, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
		assert.ok(during > 0, "no progress in 5 s");
		for (let i = 1; i < during; i++)
			assert.ok(seen[i] > seen[i - 1], `progress went ${seen}`);
		await answers(c);
		assert.equal(seen.length, during, "progress after the answer");
	});

	connected("progress keeps a call alive beyond the client's time limit", async (c) => {
		const r = await c.call("run_code", FIVE_SECONDS,
			{ onprogress: () => {}, timeout: 3500, resetTimeoutOnProgress: true });
		assert.equal(r.structuredContent.status, "exited");
	});
}

async function sixteen(c) {
	const numbers = Array.from({ length: 16 }, (_, i) => i);
	const results = await Promise.all(numbers.map((i) => c.call("run_code",
		python(`import time; time.sleep(0.2); print(${i} * 1000 + 7)`,
			{ timeout_ms: LONG_MS }))));
	assert.deepEqual(results.map((r) => r.structuredContent.stdout),
		numbers.map((i) => `${i * 1000 + 7}\n`));
}
