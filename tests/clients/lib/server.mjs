// server.mjs: how the tests start the server: the binary of $FUMEHOOD, each with a state folder of
// its own in the temporary folder that run.sh makes and removes.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { until } from "./procs.mjs";

const PATIENCE_MS = 20_000;
const LISTENING = /event=listening\b.*?\baddress="?(127\.0\.0\.1:(\d+))/;

export const fumehood = process.env.FUMEHOOD;
if (!fumehood)
	throw new Error("FUMEHOOD does not name the binary");

export const stateFolder = () => mkdtempSync(join(tmpdir(), "fumehood-client-"));

export function serverParameters(state = stateFolder(), ...options) {
	return { state, command: fumehood, args: ["stdio", "--state", state, ...options] };
}

// The record of a server that has ended: unbroken, and every run in it has its outcome.
export async function recorded(state) {
	const words = ["audit", "verify", "--json", "--state", state];
	const { stdout } = await promisify(execFile)(fumehood, words);
	const found = JSON.parse(stdout);
	if (found.intact !== true || found.warnings_count !== 0)
		throw new Error(`the record: ${stdout}`);
	return found.rows;
}

// The runs of the record and how each ended.
export async function outcomes(state) {
	const words = ["audit", "list", "--json", "--limit", "100", "--state", state];
	const { stdout } = await promisify(execFile)(fumehood, words);
	return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

// `fumehood serve`. start() with {port, state} of an earlier one puts it in that one's place; with
// auth it wants a key.
export class HttpServer {
	static async start({ port = 0, state = stateFolder(), options = [], auth } = {}) {
		const log = `${state}.log`;
		const fd = openSync(log, "w");
		const words = ["serve", "--listen", `127.0.0.1:${port}`, "--state", state, ...options];
		if (!auth)
			words.push("--insecure-no-auth");
		const child = spawn(fumehood, words, { stdio: ["ignore", "ignore", fd] });
		closeSync(fd);
		const server = new HttpServer();
		Object.assign(server, { process: child, pid: child.pid, state, log });
		const found = await until(() => `listening: ${readFileSync(log, "utf8")}`, PATIENCE_MS,
			() => LISTENING.exec(readFileSync(log, "utf8")) ?? server.#ended());
		server.port = Number(found[2]);
		server.url = `http://${found[1]}/mcp`;
		return server;
	}

	#ended() {
		if (this.process.exitCode !== null)
			throw new Error(`the server ended: ${readFileSync(this.log, "utf8")}`);
		return null;
	}

	// With SIGTERM, which it survives with code 0 and a record that is complete.
	async stop() {
		if (this.process.exitCode === null && this.process.signalCode === null) {
			const exit = once(this.process, "exit");
			this.process.kill("SIGTERM");
			await exit;
		}
		if (this.process.exitCode !== 0)
			throw new Error(`the server ended with ${this.process.exitCode}, ` +
				`${this.process.signalCode}: ${readFileSync(this.log, "utf8")}`);
		return recorded(this.state);
	}

	async kill() {
		const exit = once(this.process, "exit");
		this.process.kill("SIGKILL");
		await exit;
	}

	// For `finally`: never throws, so that it hides no failure.
	discard() {
		this.process.kill("SIGKILL");
	}
}

// name -> tool, as the server itself writes them (revision 2025-11-25).
export async function listedByServer() {
	const { command, args } = serverParameters();
	const child = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
	const send = (message) =>
		child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
	send({ id: 1, method: "initialize", params: { protocolVersion: "2025-11-25",
		capabilities: {}, clientInfo: { name: "reference", version: "1" } } });
	send({ method: "notifications/initialized" });
	send({ id: 2, method: "tools/list" });
	for await (const line of createInterface({ input: child.stdout })) {
		const { id, result } = JSON.parse(line);
		if (id !== 2)
			continue;
		child.stdin.end();
		if (result.nextCursor)
			throw new Error("the list has pages: the comparison needs all of them");
		return new Map(result.tools.map((t) => [t.name, t]));
	}
	throw new Error("the server ended without listing its tools");
}
