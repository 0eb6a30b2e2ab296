// Codex's app server, which starts the MCP servers of its configuration and calls their
// tools; needs no login. It speaks JSON-RPC, one message per line.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { run, test } from "../lib/tap.mjs";

const BINARY = "node_modules/@openai/codex-linux-*/vendor/*/bin/codex";
const binary = resolve(globSync(BINARY)[0]);

class AppServer {
	#waiting = new Map();
	#id = 0;

	constructor() {
		const home = mkdtempSync(join(tmpdir(), "codex-"));
		const example = join(process.env.EXAMPLES, "clients/codex.toml");
		const config = readFileSync(example, "utf8");
		mkdirSync(join(home, ".codex"));
		writeFileSync(join(home, ".codex/config.toml"),
			config.replaceAll("/usr/local/bin/fumehood", process.env.FUMEHOOD));
		this.home = home;
		this.process = spawn(binary, ["app-server"], {
			cwd: home,
			env: { ...process.env, HOME: home, CODEX_HOME: join(home, ".codex") },
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
		const ended = new Promise((resolve) => this.process.once("exit", resolve));
		this.process.kill("SIGTERM");
		return ended;
	}
}

const codex = (name, body) => test(name, async () => {
	const server = new AppServer();
	try {
		await server.open();
		await body(server);
	} finally {
		await server.close();
	}
});

codex("examples/clients/codex.toml: the server's tools are listed", async (server) => {
	const { data } = await server.request("mcpServerStatus/list", {});
	const found = data.find((s) => s.name === "fumehood");
	assert.equal(found?.serverInfo?.name, "fumehood");
	for (const name of ["run_code", "run_command", "sandbox_info"])
		assert.ok(found.tools[name], `${name} is not in ${Object.keys(found.tools)}`);
});

codex("a thread's tool call gives the output of a program", async (server) => {
	const { thread } = await server.request("thread/start", { cwd: server.home });
	const r = await server.request("mcpServer/tool/call", {
		server: "fumehood",
		threadId: thread.id,
		tool: "run_code",
		arguments: { language: "python", code: "print(6*7)" },
	});
	assert.ok(!r.isError);
	assert.equal(r.structuredContent.status, "exited");
	assert.equal(r.structuredContent.stdout, "42\n");
});

await run("codex");
