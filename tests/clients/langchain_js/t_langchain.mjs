// LangChain's MCP adapters for JavaScript: the tools as LangChain tools, called as a graph does.
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { adapterCases } from "../lib/adapter_cases.mjs";
import { run } from "../lib/tap.mjs";

const kit = {
	async connect({ command, args, url }) {
		const server = url ? { transport: "http", url, automaticSSEFallback: false }
			: { transport: "stdio", command, args };
		const client = new MultiServerMCPClient({ mcpServers: { fumehood: server } });
		const tools = await client.getTools();
		return { client, byName: new Map(tools.map((t) => [t.name, t])) };
	},

	close: ({ client }) => client.close(),

	tools: ({ byName }) => new Map([...byName].map(([name, t]) =>
		[name, { description: t.description, input: t.schema }])),

	async call({ byName }, name, args) {
		try {
			const message = await byName.get(name).invoke(
				{ type: "tool_call", id: "1", name, args });
			const of = (type) => message.artifact?.find((a) => a.type === type)?.data;
			return { error: message.status === "error", text: message.text,
				structured: of("mcp_structured_content") };
		} catch (e) {
			return { error: true, text: String(e?.message ?? e) };
		}
	},
};

adapterCases(kit);
await run("langchain_js");
