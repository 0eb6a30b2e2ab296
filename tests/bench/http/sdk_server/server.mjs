// server.mjs ANSWERS guide|bare: what the other server's answers cost when the TypeScript SDK v2 gives
// them. ANSWERS is a JSON file {tools, info}: the result of tools/list, and of calling sandbox_info.
//
// guide: as the SDK's guide says to write a server: McpServer, registerTool, schemas made once.
// Arguments and structured results are checked, as by the server it is compared with.
// bare: the SDK's low-level Server, whose handlers return ready objects: no schema is looked at.
//
// The rest is in the SDK's favour: node:http without a framework, one JSON body instead of a
// stream, one session's server kept as long as the session. Both eras, as the guide routes them.
// Prints its port.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { localhostHostValidation, localhostOriginValidation, NodeStreamableHTTPServerTransport,
	toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, fromJsonSchema, McpServer, Server } from "@modelcontextprotocol/server";

const { tools, info } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ABOUT = { name: "bench", version: "1.0.0" };
const CAPABILITIES = { capabilities: { tools: { listChanged: true } } };

const registered = tools.map(({ name, execution, ...about }) => [name, {
	...about,
	inputSchema: fromJsonSchema(about.inputSchema),
	outputSchema: fromJsonSchema(about.outputSchema),
}]);

const makers = {
	guide: () => {
		const server = new McpServer(ABOUT, CAPABILITIES);
		for (const [name, about] of registered)
			server.registerTool(name, about, () => info);
		return server;
	},
	bare: () => {
		const server = new Server(ABOUT, CAPABILITIES);
		server.setRequestHandler("tools/list", () => ({ tools }));
		server.setRequestHandler("tools/call", () => info);
		return server;
	},
};
const makeServer = makers[process.argv[3]];

const modern = toNodeHandler(createMcpHandler(makeServer,
	{ legacy: "reject", responseMode: "auto" }));
const sessions = new Map();

async function open() {
	const transport = new NodeStreamableHTTPServerTransport({
		sessionIdGenerator: randomUUID,
		enableJsonResponse: true,
		onsessioninitialized: (id) => sessions.set(id, transport),
		onsessionclosed: (id) => sessions.delete(id),
	});
	await makeServer().connect(transport);
	return transport;
}

async function legacy(req, res) {
	const id = req.headers["mcp-session-id"];
	const transport = id === undefined ? await open() : sessions.get(id);
	if (transport)
		await transport.handleRequest(req, res);
	else
		res.writeHead(404).end();
}

const validHost = localhostHostValidation();
const validOrigin = localhostOriginValidation();

const http = createServer((req, res) => {
	if (!validHost(req, res) || !validOrigin(req, res))
		return undefined;
	if (req.headers["mcp-protocol-version"] === "2026-07-28")
		return modern(req, res);
	return legacy(req, res);
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
