// kit.mjs: the TypeScript SDK, v1 line.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";
import { serverParameters } from "../lib/server.mjs";

// The client tells the agreed version to its transport alone.
const versions = new WeakMap();

async function connect() {
	const transport = new StdioClientTransport(serverParameters());
	const client = new Client({ name: "fumehood-test", version: "1.0.0" });
	transport.setProtocolVersion = (version) => versions.set(client, version);
	await client.connect(transport);
	const pid = transport.pid;
	// With the schemas at hand the client checks every result against them.
	await client.listTools();
	return { client, pid };
}

export const kits = {
	legacy: {
		name: "legacy",
		era: "legacy",
		version: "2025-11-25",
		connect,
		call: (client, name, args, options) =>
			client.callTool({ name, arguments: args }, undefined, options),
		negotiated: (client) => versions.get(client),
		isTimeout: (e) => e instanceof McpError && e.code === ErrorCode.RequestTimeout,
		hold: new URL("hold.mjs", import.meta.url).pathname,
	},
};
