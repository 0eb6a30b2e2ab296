// kit.mjs: the TypeScript SDK, v2 line, once per era and transport.
import { Client, SdkError, SdkErrorCode, StreamableHTTPClientTransport }
	from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { makeKit } from "../lib/kits.mjs";

async function open({ url, command, args, ...more }, era) {
	const transport = url ? new StreamableHTTPClientTransport(new URL(url), more)
		: new StdioClientTransport({ command, args });
	const mode = era === "modern" ? "auto" : era;
	const client = new Client({ name: "fumehood-test", version: "1.0.0" },
		{ versionNegotiation: { mode } });
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
	const result = await client.callTool({ name: "run_code", arguments: args },
		{ resumptionToken: token });
	await client.close();
	return result;
}

const more = {
	resume,
	open,
	call: (client, name, args, options) =>
		client.callTool({ name, arguments: args }, options),
	negotiated: (client) => client.getNegotiatedProtocolVersion(),
	isTimeout: (e) => e instanceof SdkError && e.code === SdkErrorCode.RequestTimeout,
	status: (e) => e.status ?? e.data?.status,
	hold: new URL("hold.mjs", import.meta.url).pathname,
};

export const kits = Object.fromEntries(["stdio", "http"].flatMap((transport) =>
	["legacy", "modern"].map((era) => [`${transport}_${era}`, makeKit({ transport, era, ...more })])));
