// hold.mjs: a client that starts one program and then only waits, to be killed.
import { serverParameters } from "./server.mjs";

export async function hold(kits) {
	const [key, url, state, code] = process.argv.slice(2);
	const { client, pid } = url === "-"
		? await kits[key].open(serverParameters(state))
		: await kits[key].open({ url });
	console.log(pid);
	await kits[key].call(client, "run_code",
		{ language: "python", code, timeout_ms: 30_000 });
}
