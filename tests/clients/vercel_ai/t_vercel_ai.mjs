// The Vercel AI SDK's MCP client: what generateText lists to a model and shows it of an answer. The
// model is a mock that asks for one call.
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as StdioTransport } from "@ai-sdk/mcp/mcp-stdio";
import { generateText, stepCountIs } from "ai";
import * as mocks from "ai/test";
import { adapterCases } from "../lib/adapter_cases.mjs";
import { run } from "../lib/tap.mjs";

// named for the revision of the SDK's own interface to models
const MockModel = Object.entries(mocks).find(([k]) => /^MockLanguageModel/.test(k))[1];
const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };

async function ask(client, doGenerate) {
	const tools = await client.tools();
	return generateText({ model: new MockModel({ doGenerate }), tools, prompt: "go",
		stopWhen: stepCountIs(2) });
}

const said = (reason, ...content) =>
	({ content, usage, warnings: [], finishReason: { unified: reason } });

const kit = {
	connect: ({ command, args, url }) => createMCPClient({ transport:
		url ? { type: "http", url } : new StdioTransport({ command, args }) }),

	close: (client) => client.close(),

	async tools(client) {
		const found = new Map();
		await ask(client, async ({ tools }) => {
			for (const t of tools)
				found.set(t.name, { description: t.description, input: t.inputSchema });
			return said("stop", { type: "text", text: "seen" });
		});
		return found;
	},

	async call(client, toolName, args) {
		let shown;
		const { steps } = await ask(client, async ({ prompt }) => {
			const last = prompt.at(-1);
			if (last.role !== "tool")
				return said("tool-calls", { type: "tool-call", toolCallId: "1", toolName,
					input: JSON.stringify(args) });
			shown = last.content[0].output;
			return said("stop", { type: "text", text: "done" });
		});
		// the SDK shows a model the text of an isError result as of any other; its caller sees both
		const output = steps[0].toolResults[0]?.output;
		const texts = Array.isArray(shown.value) ? shown.value.map((v) => v.text ?? "")
			: [shown.value];
		return { error: /^error/.test(shown.type) || output?.isError === true,
			text: texts.join("\n"), structured: output?.structuredContent };
	},
};

adapterCases(kit);
await run("vercel_ai");
