// kits.mjs: makes the kits of sdk_cases.mjs from what one SDK does in its own way:
//   open({command, args} or {url, fetch}, era) -> {client, transport, pid?}
import { HttpServer, recorded, serverParameters } from "./server.mjs";

// Notes the methods of what is posted.
function noting(posted) {
	return (url, init) => {
		if (init?.method === "POST")
			posted.push(JSON.parse(init.body).method);
		return fetch(url, init);
	};
}

async function overStdio(open, ...options) {
	const { state, ...command } = serverParameters(undefined, ...options);
	const { client, pid } = await open(command);
	return { client, pid, end: async () => {
		await client.close();
		await recorded(state);
	} };
}

async function overHttp(open, ...options) {
	const posted = [];
	const c = { posted, server: await HttpServer.start({ options }) };
	c.pid = c.server.pid;
	try {
		const { client, transport } = await open({ url: c.server.url, fetch: noting(posted) });
		c.client = client;
		c.session = () => transport.sessionId;
		c.terminate = () => transport.terminateSession();
	} catch (e) {
		c.server.discard();
		throw e;
	}
	// another server process in the place of the one that has ended
	c.restart = async () => {
		const { port, state } = c.server;
		c.server = await HttpServer.start({ port, state, options });
		c.pid = c.server.pid;
	};
	c.end = async () => {
		try {
			await c.client.close();
			await c.server.stop();
		} finally {
			c.server.discard();
		}
	};
	return c;
}

// Runs body with a connected client, then ends it. What fails first is what is told.
export async function using(c, body) {
	try {
		await body(c);
	} catch (e) {
		await c.end().catch(() => {});
		throw e;
	}
	await c.end();
}

export function makeKit({ era, transport, open, ...more }) {
	const opened = (target) => open(target, era);
	const connect = transport === "stdio" ? overStdio : overHttp;
	return {
		name: `${transport}, ${era}`,
		key: `${transport}_${era}`,
		era,
		transport,
		version: { legacy: "2025-11-25", modern: "2026-07-28" }[era],
		open: opened,
		...more,
		async connect(...options) {
			const c = await connect(opened, ...options);
			c.call = (tool, args, o) => more.call(c.client, tool, args, o);
			return c;
		},
	};
}
