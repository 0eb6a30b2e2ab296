// examples/agent_node.mjs as it is, copied to where its imports are found.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { run, test } from "../lib/tap.mjs";

const home = mkdtempSync(join(tmpdir(), "agent-"));
copyFileSync(join(process.env.EXAMPLES, "agent_node.mjs"), "agent_node.mjs");

async function agent(...args) {
	const p = spawn(process.execPath, ["agent_node.mjs", ...args],
		{ env: { ...process.env, HOME: home }, stdio: ["ignore", "pipe", "pipe"] });
	const [out, err, [code]] = await Promise.all(
		[text(p.stdout), text(p.stderr), once(p, "exit")]);
	return { code, out, err };
}

test("examples/agent_node.mjs prints the output of its program", async () => {
	const { code, out, err } = await agent();
	assert.equal(code, 0, err);
	assert.equal(out, "status: exited\nexit code: 0\n42\n");
});

test("examples/agent_node.mjs runs a JavaScript file", async () => {
	const file = join(home, "answer.js");
	writeFileSync(file, "console.log([6, 7].reduce((a, b) => a * b))");
	const { code, out, err } = await agent(file);
	assert.equal(code, 0, err);
	assert.equal(out, "status: exited\nexit code: 0\n42\n");
});

test("examples/agent_node.mjs fails when the program fails", async () => {
	const file = join(home, "fails.py");
	writeFileSync(file, "import sys; sys.exit('no')");
	const { code, out, err } = await agent(file);
	assert.equal(code, 1);
	assert.equal(out, "status: exited\nexit code: 1\n");
	assert.match(err, /^no$/m);
});

await run("ts_sdk_v2");
