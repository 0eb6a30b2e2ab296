// Codex's app server, which starts the MCP servers of its configuration and calls their
// tools; needs no login. It speaks JSON-RPC, one message per line.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fumehood, HttpServer, listedByServer, recorded, stateFolder } from "../lib/server.mjs";
import { run, test } from "../lib/tap.mjs";

const BINARY = "node_modules/@openai/codex-linux-*/vendor/*/bin/codex";
const binary = resolve(globSync(BINARY)[0]);

class AppServer {
	#waiting = new Map();
	#id = 0;

	// With one of the examples as its configuration; `more` is added to its environment.
	constructor(example, replace, more = {}) {
		const home = mkdtempSync(join(tmpdir(), "codex-"));
		let config = readFileSync(join(process.env.EXAMPLES, "clients", example), "utf8");
		for (const [from, to] of Object.entries(replace))
			config = config.replaceAll(from, to);
		mkdirSync(join(home, ".codex"));
		writeFileSync(join(home, ".codex/config.toml"), config);
		this.home = home;
		this.process = spawn(binary, ["app-server"], {
			cwd: home,
			env: { ...process.env, HOME: home, CODEX_HOME: join(home, ".codex"), ...more },
			stdio: ["pipe", "pipe", "ignore"],
		});
		createInterface(this.process.stdout)
			.on("line", (line) => this.#onLine(JSON.parse(line)));
	}

	#onLine(m) {
		const waiting = this.#waiting.get(m.id);
		if (!waiting || m.method)
			return;
		this.#waiting.delete(m.id);
		if (m.error)
			waiting.reject(new Error(JSON.stringify(m.error)));
		else
			waiting.resolve(m.result);
	}

	send(message) {
		this.process.stdin.write(`${JSON.stringify(message)}\n`);
	}

	request(method, params) {
		const id = ++this.#id;
		this.send({ id, method, params });
		return new Promise((resolve, reject) =>
			this.#waiting.set(id, { resolve, reject }));
	}

	async open() {
		await this.request("initialize",
			{ clientInfo: { name: "fumehood-test", version: "1" } });
		this.send({ method: "initialized" });
	}

	close() {
		if (this.process.exitCode !== null || this.process.signalCode !== null)
			return undefined;
		const ended = new Promise((resolve) => this.process.once("exit", resolve));
		this.process.kill("SIGTERM");
		return ended;
	}
}

async function overStdio(body) {
	const codex = new AppServer("codex.toml", { "/usr/local/bin/fumehood": fumehood });
	try {
		await codex.open();
		await body(codex);
	} finally {
		await codex.close();
	}
	// the state is made with the first call
	const state = join(codex.home, ".local/state/fumehood");
	if (existsSync(state))
		await recorded(state);
}

async function overHttp(body) {
	const state = stateFolder();
	const key = execFileSync(fumehood, ["key", "create", "codex", "--state", state],
		{ encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
	const server = await HttpServer.start({ state, auth: true });
	const codex = new AppServer("codex_http.toml",
		{ "http://127.0.0.1:8080/mcp": server.url }, { FUMEHOOD_KEY: key });
	try {
		await codex.open();
		await body(codex);
		await codex.close();
		await server.stop();
	} finally {
		await codex.close();
		server.discard();
	}
}

function codex(name, body) {
	test(`examples/clients/codex.toml: ${name}`, () => overStdio(body));
	test(`examples/clients/codex_http.toml: ${name}`, () => overHttp(body));
}

codex("the server's tools are listed", async (server) => {
	const { data } = await server.request("mcpServerStatus/list", {});
	const found = data.find((s) => s.name === "fumehood");
	assert.equal(found?.serverInfo?.name, "fumehood");
	for (const [name, tool] of await listedByServer())
		assert.deepEqual(found.tools[name]?.inputSchema, tool.inputSchema, name);
});

async function call(server, args) {
	const { thread } = await server.request("thread/start", { cwd: server.home });
	return server.request("mcpServer/tool/call", {
		server: "fumehood",
		threadId: thread.id,
		tool: "run_code",
		arguments: args,
	});
}

codex("a thread's tool call gives the output of a program", async (server) => {
	const r = await call(server, { language: "python", code: "print(6*7)" });
	assert.ok(!r.isError);
	assert.equal(r.structuredContent.status, "exited");
	assert.equal(r.structuredContent.stdout, "42\n");
});

codex("a language that is not there is a tool error", async (server) => {
	const r = await call(server, { language: "cobol85", code: "x" });
	assert.equal(r.isError, true);
	assert.match(r.content[0].text, /python/);
});

await run("codex");
