// kit.mjs: the TypeScript SDK, v2 line, once per era.
import { Client, SdkError, SdkErrorCode } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { serverParameters } from "../lib/server.mjs";

const kit = (era, version, mode) => ({
	name: era,
	era,
	version,
	async connect() {
		const transport = new StdioClientTransport(serverParameters());
		const client = new Client({ name: "fumehood-test", version: "1.0.0" },
			{ versionNegotiation: { mode } });
		await client.connect(transport);
		const pid = transport.pid;
		// With the schemas at hand the client checks every result against them.
		await client.listTools();
		return { client, pid };
	},
	call: (client, name, args, options) =>
		client.callTool({ name, arguments: args }, options),
	negotiated: (client) => client.getNegotiatedProtocolVersion(),
	isTimeout: (e) => e instanceof SdkError && e.code === SdkErrorCode.RequestTimeout,
	hold: new URL("hold.mjs", import.meta.url).pathname,
});

export const kits = {
	legacy: kit("legacy", "2025-11-25", "legacy"),
	modern: kit("modern", "2026-07-28", "auto"),
};
