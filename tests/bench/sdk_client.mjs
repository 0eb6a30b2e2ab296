// sdk_client.mjs: the TypeScript SDK's client, told over stdin what to measure: one JSON request
// a line, one reply a line. Time runs from callTool() to its answer, as a user of the SDK sees it.
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

let clients = [];

async function open(command, args) {
	const transport = new StdioClientTransport({ command, args });
	const client = new Client({ name: "fumehood-bench", version: "1.0.0" });
	await client.connect(transport);
	// with the schemas at hand the client checks every result against them
	await client.listTools();
	return client;
}

async function call(client, { language, code, factor }, nonce) {
	const params = {
		name: "run_code",
		arguments: { language, code: code.replace("NONCE", nonce) },
	};
	const began = performance.now();
	const result = await client.callTool(params);
	const took = performance.now() - began;
	const got = result.structuredContent;
	if (result.isError || got?.status !== "exited" || got.exit_code !== 0 ||
		got.stdout !== `${factor * nonce}\n` || got.stderr !== "")
		throw new Error(`wrong answer: ${JSON.stringify(result)}`);
	return took;
}

async function rate(ask) {
	let nonce = ask.nonce;
	const began = performance.now();
	const end = began + ask.seconds * 1e3;
	const loop = async (client) => {
		do
			await call(client, ask, nonce++);
		while (performance.now() < end);
	};
	await Promise.all(clients.map(loop));
	const calls = nonce - ask.nonce;
	return [calls / ((performance.now() - began) / 1e3), calls];
}

const ops = {
	open: async ({ command, args, n }) => {
		clients = await Promise.all(Array.from({ length: n }, () => open(command, args)));
		return true;
	},
	call: (ask) => call(clients[0], ask, ask.nonce),
	rate,
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
