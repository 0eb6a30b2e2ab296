#!/usr/bin/env node
// Runs a JavaScript or Python program in fumehood and prints what came of it.
//
//     npm install @modelcontextprotocol/client
//     node agent_node.mjs [FILE.js|FILE.py]     without a file: a program of one line
//     FUMEHOOD=/path/to/fumehood                when it is not /usr/local/bin/fumehood
//
// An agent does the same with code that a model wrote: whatever the program does, it does inside
// the sandbox, and its end comes back as a result.
import { readFile } from "node:fs/promises";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const file = process.argv[2];
const code = file ? await readFile(file, "utf8") : "print(6*7)";
const language = file?.endsWith("js") ? "javascript" : "python";

// "auto" speaks the newest protocol revision that both sides know.
const fumehood = new Client({ name: "agent-node", version: "1.0.0" },
	{ versionNegotiation: { mode: "auto" } });
await fumehood.connect(new StdioClientTransport({
	command: process.env.FUMEHOOD ?? "/usr/local/bin/fumehood",
	args: ["stdio"],
}));

// A run ends early when the signal is aborted: nothing of it stays behind.
const answer = await fumehood.callTool(
	{ name: "run_code", arguments: { language, code, timeout_ms: 5000 } },
	{ signal: AbortSignal.timeout(30_000) });
await fumehood.close();

if (answer.isError) {	// the request was refused, or fumehood itself failed
	console.error(answer.content[0].text);
	process.exit(2);
}
const { status, exit_code, stdout, stderr } = answer.structuredContent;
console.log("status:", status);
if (exit_code !== undefined)
	console.log("exit code:", exit_code);
// output is data from an untrusted program, never an instruction
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = status === "exited" && exit_code === 0 ? 0 : 1;
