// leaving_cases.mjs: the ways a client goes away while a program runs, and what is left: no
// process, and a record in which every run has its end. Kits are those of sdk_cases.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { endless, running } from "./endless.mjs";
import { using } from "./kits.mjs";
import { all, tree, untilGone, withArgument } from "./procs.mjs";
import { answers, GONE_MS, LONG_MS, python, start } from "./sdk_cases.mjs";
import { HttpServer, outcomes, recorded, stateFolder } from "./server.mjs";
import { test } from "./tap.mjs";

export function leavingCases(kit) {
	const label = (name) => `${kit.name}: ${name}`;
	if (kit.transport === "stdio")
		overStdio(kit, label);
	else
		overHttp(kit, label);
}

// A client in a process of its own that runs one program; body gets it once that runs.
async function holding({ kit, url = "-", state = "-", program, server_pid }, body) {
	const before = all();
	const holder = spawn(process.execPath, [kit.hold, kit.key, url, state, program.code],
		{ stdio: ["ignore", "pipe", "inherit"] });
	try {
		const [line] = await once(createInterface(holder.stdout), "line");
		const pid = server_pid ?? Number(line);
		const procs = await running(program.word, pid, before);
		await body({ holder, server_pid: pid, procs });
	} finally {
		holder.kill("SIGKILL");
	}
}

function overStdio(kit, label) {
	// The SDKs close stdin and send SIGTERM 2 s later: who is gone before went by itself.
	async function closesIn(limit_ms, c, procs) {
		const closed = c.end();
		await untilGone(procs, limit_ms);
		await closed;
	}

	test(label("closing an idle client ends the server within 2 s"), async () => {
		const c = await kit.connect();
		await answers(c);
		const procs = tree(c.pid);
		assert.ok(procs.length > 0, "the server was not running");
		await closesIn(GONE_MS, c, procs);
	});

	test(label("closing during a run ends server and program within 2 s"), async () => {
		const c = await kit.connect();
		const program = endless();
		const before = all();
		c.call("run_code", python(program.code, { timeout_ms: LONG_MS }))
			.catch(() => {});
		await running(program.word, c.pid, before);
		const procs = tree(c.pid);
		await closesIn(GONE_MS, c, procs);
		assert.deepEqual(withArgument(program.word), []);
	});

	test(label("killing the client ends server and program within 2 s"), async () => {
		const state = stateFolder();
		const program = endless();
		await holding({ kit, state, program }, async ({ holder, server_pid }) => {
			const procs = tree(server_pid);
			holder.kill("SIGKILL");
			await untilGone(procs, GONE_MS);
			assert.deepEqual(withArgument(program.word), []);
		});
		await recorded(state);
	});
}

// Ends by itself; seen from outside like an endless one.
function threeSeconds() {
	const { word } = endless();
	return { word, code: `import subprocess; subprocess.run(["/bin/sleep", "3", "${word}"])` };
}

// The URL serves again, from the same state; who connects anew is answered.
async function restarted(kit, c) {
	const { client } = await kit.open({ url: c.server.url });
	const r = await kit.call(client, "run_code", python("print(6*7)"));
	assert.equal(r.structuredContent.stdout, "42\n");
	await client.close();
}

function overHttp(kit, label) {
	const connected = (name, body, ...options) => test(label(name),
		async () => using(await kit.connect(...options), body));
	const killed = (name, program, body) => test(label(name), async () => {
		const server = await HttpServer.start();
		try {
			await holding({ kit, url: server.url, program, server_pid: server.pid }, async (h) => {
				h.holder.kill("SIGKILL");
				await body(h, server);
			});
			await server.stop();
		} finally {
			server.discard();
		}
	});

	connected("SIGTERM with an idle client ends the server within 2 s", async (c) => {
		await answers(c);
		const procs = tree(c.pid);
		await Promise.all([untilGone(procs, GONE_MS), c.server.stop()]);
	});

	connected("kill -9 of the server leaves no program, and its next start completes the record",
		async (c) => {
			const run = await start(c);
			const procs = tree(c.pid);
			await c.server.kill();
			await untilGone([...procs, ...run.procs], GONE_MS);
			assert.deepEqual(withArgument(run.word), []);
			await run.settled;
			assert.notEqual(run.answer?.structuredContent?.status, "exited");
			await c.restart();
			await restarted(kit, c);
		});

	connected("SIGTERM during a run: the call is answered, the program ends", async (c) => {
		const run = await start(c);
		const procs = tree(c.pid);
		await Promise.all([c.server.stop(), untilGone(procs, 5_000)]);
		assert.deepEqual(withArgument(run.word), []);
		await run.settled;
	}, "--drain-ms", "300");

	if (kit.era === "modern") {
		connected("closing during a run ends the program within 2 s", async (c) => {
			const run = await start(c);
			await c.client.close();
			await untilGone(run.procs, GONE_MS);
			assert.deepEqual(withArgument(run.word), []);
		});
		killed("killing the client ends the program within 2 s", endless(),
			({ procs }) => untilGone(procs, GONE_MS));
		return;
	}
	connected("DELETE during a run ends the program within 2 s", async (c) => {
		const run = await start(c);
		await c.terminate();
		await untilGone(run.procs, GONE_MS);
		assert.deepEqual(withArgument(run.word), []);
	});
	connected("DELETE at the end: the session is not known any more", async (c) => {
		await answers(c);
		const session = c.session();
		const ask = () => fetch(c.server.url, {
			method: "POST",
			headers: { "Mcp-Session-Id": session, "Content-Type": "application/json",
				Accept: "application/json, text/event-stream" },
			body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
		}).then((r) => r.status);
		assert.equal(await ask(), 200);
		await c.terminate();
		assert.equal(await ask(), 404);
	});
	// MCP 2025: a lost connection is not a cancellation; the session may be taken up again.
	killed("killing the client leaves the program its time", threeSeconds(),
		async ({ procs }, server) => {
			await untilGone(procs, 10_000);
			const [run] = (await outcomes(server.state)).filter((r) => r.tool === "run_code");
			assert.equal(run.status, "exited", JSON.stringify(run));
		});
}
