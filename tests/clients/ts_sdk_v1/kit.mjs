// kit.mjs: the TypeScript SDK, v1 line.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport }
	from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";
import { makeKit } from "../lib/kits.mjs";

// The client tells the agreed version to its transport alone.
const versions = new WeakMap();

async function open({ url, command, args, ...more }) {
	const transport = url ? new StreamableHTTPClientTransport(new URL(url), more)
		: new StdioClientTransport({ command, args });
	const client = new Client({ name: "fumehood-test", version: "1.0.0" });
	const told = transport.setProtocolVersion?.bind(transport);
	transport.setProtocolVersion = (version) => {
		versions.set(client, version);
		told?.(version);
	};
	await client.connect(transport);
	const pid = transport.pid;
	// With the schemas at hand the client checks every result against them.
	await client.listTools();
	return { client, transport, pid };
}

// A client that was gone: in the old session, for the answer to a call it does not make again.
async function resume({ url, sessionId, token, arguments: args }) {
	const transport = new StreamableHTTPClientTransport(new URL(url), { sessionId });
	const client = new Client({ name: "fumehood-test", version: "1.0.0" });
	await client.connect(transport);
	transport.setProtocolVersion("2025-11-25");
	const result = await client.callTool({ name: "run_code", arguments: args }, undefined,
		{ resumptionToken: token });
	await client.close();
	return result;
}

const more = {
	resume,
	open,
	era: "legacy",
	call: (client, name, args, options) =>
		client.callTool({ name, arguments: args }, undefined, options),
	negotiated: (client) => versions.get(client),
	isTimeout: (e) => e instanceof McpError && e.code === ErrorCode.RequestTimeout,
	status: (e) => e.code,	// of HTTP, in the error of a call
	hold: new URL("hold.mjs", import.meta.url).pathname,
};

export const kits = {
	stdio_legacy: makeKit({ transport: "stdio", ...more }),
	http_legacy: makeKit({ transport: "http", ...more }),
};
