// proxy.mjs: a wire between client and server that the test can cut, and on which it sees what
// the client asks.
import { createServer, connect } from "node:net";
import { once } from "node:events";

export class Proxy {
	#sockets = new Set();
	to;	// port of the server
	requests = [];	// {line, head}: of HTTP/1.1 requests that begin a packet, as clients send them

	static async start() {
		const proxy = new Proxy();
		proxy.server = createServer((socket) => proxy.#pass(socket));
		proxy.server.listen(0, "127.0.0.1");
		await once(proxy.server, "listening");
		proxy.port = proxy.server.address().port;
		proxy.url = `http://127.0.0.1:${proxy.port}/mcp`;
		return proxy;
	}

	#pass(client) {
		const server = connect(this.to, "127.0.0.1");
		for (const socket of [client, server]) {
			this.#sockets.add(socket);
			socket.on("error", () => {});
			socket.on("close", () => this.#sockets.delete(socket));
		}
		client.on("data", (bytes) => this.#note(bytes.toString("latin1")));
		client.pipe(server).pipe(client);
		client.on("close", () => server.destroy());
		server.on("close", () => client.destroy());
	}

	#note(text) {
		if (!/^(GET|POST|DELETE) /.test(text))
			return;
		const head = text.split("\r\n\r\n")[0];
		this.requests.push({ line: head.split("\r\n")[0], head: head.toLowerCase() });
	}

	// Every connection there is, with a reset, as a network that goes away does.
	cut() {
		for (const socket of this.#sockets)
			socket.resetAndDestroy();
	}

	close() {
		this.cut();
		this.server.close();
	}
}
