// server.mjs ANSWERS: what the other server's answers cost when the TypeScript SDK gives them.
// ANSWERS is a JSON file {tools, info}: the result of tools/list, and of calling sandbox_info.
//
// Everything is arranged in the SDK's favour: the low-level Server, whose handlers return ready
// objects (no schema is converted, no argument is validated), no framework, one JSON body instead
// of a stream, one session's server kept as long as the session. Both eras, as the SDK's guide
// routes them. Prints its port.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { localhostHostValidation, localhostOriginValidation, NodeStreamableHTTPServerTransport,
	toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, Server } from "@modelcontextprotocol/server";

const { tools, info } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const CAPABILITIES = { capabilities: { tools: { listChanged: true } } };

function makeServer() {
	const server = new Server({ name: "bench", version: "1.0.0" }, CAPABILITIES);
	server.setRequestHandler("tools/list", () => ({ tools }));
	server.setRequestHandler("tools/call", () => info);
	return server;
}

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
