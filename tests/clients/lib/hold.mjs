// hold.mjs: a client that starts one program and then only waits, to be killed.
export async function hold(kits) {
	const [era, code] = process.argv.slice(2);
	const { client, pid } = await kits[era].connect();
	console.log(pid);
	await kits[era].call(client, "run_code",
		{ language: "python", code, timeout_ms: 30_000 });
}
