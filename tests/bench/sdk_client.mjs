// sdk_client.mjs: the TypeScript SDK's client, told over stdin what to measure: one JSON request
// a line, one reply a line. Time runs from callTool() to its answer, as a user of the SDK sees it.
import { EventEmitter } from "node:events";
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

// each call of a burst waits for the pipe by itself
EventEmitter.defaultMaxListeners = 0;
let clients = [];

async function open(command, args) {
	const transport = new StdioClientTransport({ command, args });
	const client = new Client({ name: "fumehood-bench", version: "1.0.0" });
	await client.connect(transport);
	// with the schemas at hand the client checks every result against them
	await client.listTools();
	return client;
}

// wherever in the result it is said; "cold" where it is not
function pathOf(result) {
	const meta = result._meta ?? {};
	for (const said of [result.structuredContent, meta, ...Object.values(meta)])
		if (said?.path === "warm" || said?.path === "cold")
			return said.path;
	return "cold";
}

// a burst waits longer for its last than a client usually does
const patience = { timeout: 600_000 };

// -> [milliseconds, path]; an error of kind "refused" when it was not run
async function call(client, { language, code, factor }, nonce) {
	const params = {
		name: "run_code",
		arguments: { language, code: code.replace("NONCE", nonce) },
	};
	const began = performance.now();
	const result = await client.callTool(params, undefined, patience);
	const took = performance.now() - began;
	const got = result.structuredContent;
	if (result.isError)
		throw Object.assign(new Error(JSON.stringify(result)), { refused: true });
	if (got?.status !== "exited" || got.exit_code !== 0 ||
		got.stdout !== `${factor * nonce}\n` || got.stderr !== "")
		throw new Error(`wrong answer: ${JSON.stringify(result)}`);
	return [took, pathOf(result)];
}

// -> [calls per second, calls, how many were warm]
async function rate(ask) {
	let nonce = ask.nonce, warm = 0;
	const began = performance.now();
	const end = began + ask.seconds * 1e3;
	const loop = async (client) => {
		do {
			const [, path] = await call(client, ask, nonce++);
			warm += path === "warm";
		} while (performance.now() < end);
	};
	const workers = clients.flatMap((client) => Array(ask.in_flight).fill(client));
	await Promise.all(workers.map(loop));
	const calls = nonce - ask.nonce;
	return [calls / ((performance.now() - began) / 1e3), calls, warm];
}

// n calls at once of one client -> {ends: milliseconds until each was answered, warm, errors, error}
async function burst(ask) {
	const found = { ends: [], last: 0, warm: 0, errors: 0, error: null };
	const began = performance.now();
	const one = async (i) => {
		try {
			const [, path] = await call(clients[0], ask, ask.nonce + i);
			found.warm += path === "warm";
			found.ends.push(performance.now() - began);
		} catch (e) {
			if (!e.refused)
				throw e;
			found.errors++;
			found.error ??= e.message;
		}
		found.last = performance.now() - began;
	};
	await Promise.all(Array.from({ length: ask.n }, (_, i) => one(i)));
	return found;
}

const ops = {
	open: async ({ command, args, n }) => {
		clients = await Promise.all(Array.from({ length: n }, () => open(command, args)));
		return true;
	},
	call: (ask) => call(clients[0], ask, ask.nonce),
	rate,
	burst,
	close: async () => {
		await Promise.all(clients.map((client) => client.close()));
		clients = [];
		return true;
	},
};

for await (const line of createInterface({ input: process.stdin })) {
	const ask = JSON.parse(line);
	let reply;
	try {
		reply = { reply: await ops[ask.op](ask) };
	} catch (e) {
		reply = { wrong: String(e?.stack ?? e) };
	}
	process.stdout.write(`${JSON.stringify(reply)}\n`);
}
