// The bundle of `make mcpb` through the bundle format's own tool and library: what a host of
// bundles checks, unpacks, shows and starts. $FUMEHOOD.mcpb is the bundle.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { run, test } from "../lib/tap.mjs";

const bundle = `${process.env.FUMEHOOD}.mcpb`;
const folder = mkdtempSync(join(tmpdir(), "mcpb-"));
const unpacked = join(folder, "fumehood");
const manifest = join(unpacked, "manifest.json");

function mcpb(...args) {
	const done = spawnSync(process.execPath,
		["node_modules/@anthropic-ai/mcpb/dist/cli/cli.js", ...args],
		{ encoding: "utf8" });
	return { status: done.status, said: done.stdout + done.stderr };
}

test("unpack takes the bundle", () => {
	const { status, said } = mcpb("unpack", bundle, unpacked);
	assert.equal(status, 0, said);
});

test("validate finds the manifest valid", () => {
	const { status, said } = mcpb("validate", manifest);
	assert.equal(status, 0, said);
	assert.match(said, /validation passes/);
});

test("validate refuses a manifest without a server (control)", () => {
	const { server, ...rest } = JSON.parse(readFileSync(manifest, "utf8"));
	assert.ok(server);
	const broken = join(folder, "manifest.json");
	writeFileSync(broken, JSON.stringify(rest));
	assert.notEqual(mcpb("validate", broken).status, 0);
});

test("info reads the bundle", () => {
	const { status, said } = mcpb("info", bundle);
	assert.equal(status, 0, said);
	assert.match(said, /File: fumehood\.mcpb/);
});

test("a host's configuration starts a server that runs code", async () => {
	const config = await getMcpConfigForManifest({
		manifest: JSON.parse(readFileSync(manifest, "utf8")),
		extensionPath: unpacked,
		pathSeparator: "/",
		userConfig: {},
		systemDirs: { HOME: folder },
	});
	assert.equal(config.command, join(unpacked, "server/bin/fumehood"));
	assert.ok(!JSON.stringify(config).includes("${"), JSON.stringify(config));
	const client = new Client({ name: "mcpb-test", version: "1" });
	await client.connect(new StdioClientTransport(
		{ ...config, env: { ...process.env, ...config.env } }));
	const answer = await client.callTool(
		{ name: "run_code", arguments: { language: "python", code: "print(6*7)" } });
	await client.close();
	assert.equal(answer.structuredContent.stdout, "42\n");
});

await run("mcpb");
