// adapter_cases.mjs: what a framework's MCP client must see, over stdio and over HTTP. A kit is one
// framework:
//   name
//   connect({command, args} or {url}) -> client     close(client)
//   tools(client) -> Map name -> {description, input}
//   call(client, name, arguments) -> {error, text, structured?}; an error that is thrown is one too
//   normal(schema)   optional: what the framework makes of a schema on purpose
import assert from "node:assert/strict";
import { HttpServer, listedByServer, recorded, serverParameters } from "./server.mjs";
import { test } from "./tap.mjs";

const python = (code) => ({ language: "python", code });

// What the client makes of an answer, for whoever reads the log.
function show(text) {
	for (const line of ["a model is shown:", ...text.trimEnd().split("\n")].slice(0, 12))
		console.log(`# ${line.slice(0, 150)}`);
}

async function answers(kit, client) {
	const { error, text } = await kit.call(client, "run_code", python("print(6*7)"));
	assert.ok(!error && text.includes("42"), text);
}

const CASES = {
	async "lists every tool with its description and schema"(kit, client) {
		const normal = kit.normal ?? ((schema) => schema);
		const got = await kit.tools(client);
		const want = await listedByServer();
		assert.deepEqual([...got.keys()].sort(), [...want.keys()].sort());
		for (const [name, { description, inputSchema }] of want) {
			assert.equal(got.get(name).description, description);
			assert.deepEqual(got.get(name).input, normal(inputSchema));
		}
	},

	async "run_code gives the output of a program"(kit, client) {
		const r = await kit.call(client, "run_code", python("print(6*7)"));
		assert.ok(!r.error);
		assert.match(r.text, /exited/);
		assert.match(r.text, /\b42\b/);
		if (r.structured)
			assert.equal(r.structured.stdout, "42\n");
		show(r.text);
	},

	async "a failing program is a result, not an error"(kit, client) {
		const code = "print('x'); raise SystemExit(3)";
		const r = await kit.call(client, "run_code", python(code));
		assert.ok(!r.error);
		assert.match(r.text, /\b3\b/);
	},

	async "a language that is not there is an error that says so"(kit, client) {
		const r = await kit.call(client, "run_code", { language: "cobol85", code: "x" });
		assert.ok(r.error);
		assert.match(r.text, /python/);
		show(r.text);
		await answers(kit, client);
	},

	async "a tool that is not there is an error and the client lives on"(kit, client) {
		const r = await kit.call(client, "no_such_tool", {});
		assert.ok(r.error);
		await answers(kit, client);
	},

	async "8 concurrent calls each get their own output"(kit, client) {
		const results = await Promise.all(Array.from({ length: 8 }, (_, i) =>
			kit.call(client, "run_code", python(`print(${i} * 1000 + 7)`))));
		for (const [i, { text }] of results.entries())
			assert.ok(text.includes(`${i * 1000 + 7}`), text);
	},
};

async function overStdio(kit, body) {
	const { state, command, args } = serverParameters();
	const client = await kit.connect({ command, args });
	try {
		await body(kit, client);
	} finally {
		await kit.close(client);
	}
	await recorded(state);
}

async function overHttp(kit, body) {
	const server = await HttpServer.start();
	try {
		const client = await kit.connect({ url: server.url });
		try {
			await body(kit, client);
		} finally {
			await kit.close(client);
		}
		await server.stop();
	} finally {
		server.discard();
	}
}

export function adapterCases(kit) {
	for (const [name, body] of Object.entries(CASES)) {
		test(`stdio: ${name}`, () => overStdio(kit, body));
		test(`http: ${name}`, () => overHttp(kit, body));
	}
}
