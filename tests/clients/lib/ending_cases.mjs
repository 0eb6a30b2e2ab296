// ending_cases.mjs: what becomes of a call when the connection, the server or the client's patience
// ends before it. Kits are those of sdk_cases.mjs.
import assert from "node:assert/strict";
import { using } from "./kits.mjs";
import { until, untilGone, withArgument } from "./procs.mjs";
import { Proxy } from "./proxy.mjs";
import { answers, GONE_MS, LONG_MS, python, start } from "./sdk_cases.mjs";
import { outcomes } from "./server.mjs";
import { slowTest, test } from "./tap.mjs";

const LINES = Array.from({ length: 8 }, (_, i) => `line ${i}\n`).join("");
const FOUR_SECONDS = python([
	"import time",
	"for i in range(8):",
	"    print('line', i, flush=True)",
	"    time.sleep(0.5)",
].join("\n"), { timeout_ms: LONG_MS });

export function endingCases(kit) {
	if (kit.transport === "http") {
		(kit.era === "legacy" ? resuming : cutting)(kit);
		restarting(kit);
	}
	promoted(kit);
}

// A client behind a wire that can be cut.
function wired(kit, name, body) {
	test(`${kit.name}: ${name}`, async () => {
		const proxy = await Proxy.start();
		try {
			const options = ["--allow-host", `127.0.0.1:${proxy.port}`];
			await using(await kit.connect(...options), async (c) => {
				proxy.to = c.server.port;
				const far = await kit.open({ url: proxy.url });
				await body(c, proxy, far);
				await far.client.close();
			});
		} finally {
			proxy.close();
		}
	});
}

async function ranOnce(c) {
	const runs = (await outcomes(c.server.state)).filter((r) => r.tool === "run_code");
	assert.deepEqual(runs.map((r) => r.status), ["exited"]);
}

function resuming(kit) {
	const resumed = (proxy, token) => proxy.requests.filter((r) => r.line.startsWith("GET ")
		&& r.head.includes(`last-event-id: ${token.toLowerCase()}`));

	wired(kit, "a connection cut during a run is taken up again by Last-Event-ID",
		async (c, proxy, { client }) => {
			let token;
			const call = kit.call(client, "run_code", FOUR_SECONDS,
				{ onresumptiontoken: (t) => token = t });
			await until(() => "an event id", 10_000, () => token);
			const first = token;
			proxy.cut();
			const r = await call;
			assert.equal(r.structuredContent.status, "exited");
			assert.equal(r.structuredContent.stdout, LINES);
			assert.ok(resumed(proxy, first).length > 0, "nobody asked for the rest");
			await ranOnce(c);
		});

	wired(kit, "a connection cut again and again still brings the answer",
		async (c, proxy, { client }) => {
			const tokens = [];
			// the second cut waits for an event of the resumed stream: until there is one,
			// the SDKs would ask for a stream without a beginning
			const call = kit.call(client, "run_code", FOUR_SECONDS,
				{ onresumptiontoken: (t) => tokens.push(t), onprogress: () => {} });
			for (let seen = 0, i = 1; i <= 2; i++) {
				await until(() => `an event id, ${i}`, 10_000, () => tokens.length > seen);
				seen = tokens.length;
				proxy.cut();
				const last = tokens.at(-1);
				await until(() => `attempt ${i} to resume`, 10_000,
					() => resumed(proxy, last).length > 0);
			}
			assert.equal((await call).structuredContent.stdout, LINES);
			await ranOnce(c);
		});

	test(`${kit.name}: a client that comes back with its resumption token gets the answer`,
		async () => using(await kit.connect(), async (c) => {
			let token;
			const lost = kit.call(c.client, "run_code", FOUR_SECONDS,
				{ onresumptiontoken: (t) => token = t });
			lost.catch(() => {});
			await until(() => "an event id", 10_000, () => token);
			const session = c.session();
			await c.client.close();
			const r = await kit.resume({ url: c.server.url, sessionId: session, token,
				arguments: FOUR_SECONDS });
			assert.equal(r.structuredContent.stdout, LINES);
			await ranOnce(c);
		}));
}

function cutting(kit) {
	wired(kit, "a connection cut during a run ends the program: modern streams are not resumed",
		async (c, proxy, { client }) => {
			const run = await start({ ...c, client,
				call: (tool, args, o) => kit.call(client, tool, args, o) });
			proxy.cut();
			assert.ok(await run.settled, "an answer over a cut connection");
			await untilGone(run.procs, GONE_MS);
			assert.deepEqual(withArgument(run.word), []);
			await answers(c);
		});
}

function restarting(kit) {
	const connected = (name, body) => test(`${kit.name}: ${name}`,
		async () => using(await kit.connect(), body));

	if (kit.era === "modern") {
		connected("a server restarted in its place answers the next call", async (c) => {
			await answers(c);
			await c.server.stop();
			await c.restart();
			await answers(c);
		});
		return;
	}
	connected("a restarted server answers 404, and the client can initialize anew", async (c) => {
		await answers(c);
		const old = c.session();
		await c.server.stop();
		await c.restart();
		const e = await c.call("run_code", python("print(1)")).then(() => null, (e) => e);
		assert.equal(kit.status(e ?? {}), 404, String(e));
		const { client, transport } = await kit.open({ url: c.server.url });
		assert.notEqual(transport.sessionId, old);
		await answers({ call: (tool, args) => kit.call(client, tool, args) });
		await client.close();
	});
}

// A call that becomes a run to be asked after.
function promoted(kit) {
	const quick = (name, body) => test(`${kit.name}: ${name}`,
		async () => using(await kit.connect("--promote-ms", "1000"), body));

	quick("a long run answers `running`, and run_status follows it to its end", async (c) => {
		const first = await c.call("run_code", FOUR_SECONDS);
		assert.ok(!first.isError);
		assert.equal(first.structuredContent.status, "running");
		const { run_id } = first.structuredContent;
		assert.match(first.content[0].text, new RegExp(run_id));
		let stdout = "", offset = 0, now;
		do {
			const r = await c.call("run_status",
				{ run_id, wait_ms: 10_000, stdout_offset: offset });
			now = r.structuredContent;
			stdout += now.stdout;
			offset = now.next_stdout_offset;
		} while (now.status === "running" || !now.stdout_eof);
		assert.equal(now.status, "exited");
		assert.equal(now.exit_code, 0);
		assert.equal(stdout, LINES);
	});

	quick("run_cancel ends a run that goes on by itself", async (c) => {
		const run = await start(c);
		await run.settled;
		const { run_id, status } = run.answer.structuredContent;
		assert.equal(status, "running");
		assert.ok(withArgument(run.word).length > 0, "the program went with the answer");
		await c.call("run_cancel", { run_id });
		await untilGone(run.procs, GONE_MS);
		const last = await c.call("run_status", { run_id });
		assert.equal(last.structuredContent.status, "cancelled");
	});

	quick("closing the client ends a run that goes on by itself, at the latest with the server",
		async (c) => {
			const run = await start(c);
			await run.settled;
			assert.equal(run.answer.structuredContent.status, "running");
			await c.end();
			await untilGone(run.procs, GONE_MS);
			assert.deepEqual(withArgument(run.word), []);
		});
}

// The SDKs wait 60 s where they are not told otherwise. Both take that long, and no CPU.
export function sixtySeconds(kit) {
	const sleeping = (word) => python(
		`import subprocess; subprocess.run(["/bin/sleep", "${word}"])`, { timeout_ms: 120_000 });
	const word = () => `9${process.pid}.${Math.trunc(Math.random() * 1e9)}`;

	slowTest(`${kit.name}: the SDK's own limit of 60 s ends the program`,
		async () => using(await kit.connect("--promote-ms", "100000"), async (c) => {
			const id = word();
			const began = performance.now();
			const e = await c.call("run_code", sleeping(id)).then(() => null, (e) => e);
			assert.ok(kit.isTimeout(e ?? {}), String(e));
			assert.ok(performance.now() - began > 50_000, "not the limit of 60 s");
			await until(() => "the program gone", GONE_MS, () => withArgument(id).length === 0);
			await answers(c);
		}), 90_000);

	slowTest(`${kit.name}: a run of more than 60 s is answered before that limit`,
		async () => using(await kit.connect(), async (c) => {
			const id = word();
			const r = await c.call("run_code", sleeping(id));
			assert.equal(r.structuredContent.status, "running");
			assert.equal(withArgument(id).length, 1);
			await c.call("run_cancel", { run_id: r.structuredContent.run_id });
			await until(() => "the program gone", GONE_MS, () => withArgument(id).length === 0);
		}), 90_000);
}
