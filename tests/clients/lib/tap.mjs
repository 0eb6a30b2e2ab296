// tap.mjs: one test after another, one TAP line each.
import { inspect } from "node:util";

const tests = [];
export const test = (name, body) => tests.push({ name, body });

const LIMIT_MS = 60_000;

function limited(promise) {
	let timer;
	const late = new Promise((_, reject) => {
		const e = new Error(`no end after ${LIMIT_MS} ms`);
		timer = setTimeout(reject, LIMIT_MS, e);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export async function run(prefix) {
	let failed = 0;
	console.log(`1..${tests.length}`);
	for (const [i, t] of tests.entries()) {
		try {
			await limited(t.body());
			console.log(`ok ${i + 1} - ${prefix}: ${t.name}`);
		} catch (e) {
			failed++;
			console.log(`not ok ${i + 1} - ${prefix}: ${t.name}`);
			const text = e instanceof Error ? e.stack : inspect(e);
			console.log(text.replace(/^/gm, "# "));
		}
	}
	// A transport that a failed test left open must not keep this process alive.
	process.exit(failed ? 1 : 0);
}
