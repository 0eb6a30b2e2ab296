// tap.mjs: one test after another, one TAP line each.
import { inspect } from "node:util";

const tests = [];
const LIMIT_MS = 60_000;

export const test = (name, body, limit_ms = LIMIT_MS) => tests.push({ name, body, limit_ms });

// A test that mostly waits: begins with the first test, its line is the last.
export function slowTest(name, body, limit_ms) {
	tests.push({ name, body, limit_ms, slow: true });
}

function limited({ body, limit_ms }) {
	let timer;
	const late = new Promise((_, reject) => {
		const e = new Error(`no end after ${limit_ms} ms`);
		timer = setTimeout(reject, limit_ms, e);
	});
	return Promise.race([body(), late]).finally(() => clearTimeout(timer));
}

// -> null, or why it failed
const outcome = (t) => limited(t).then(() => null, (e) => e ?? new Error("for no reason"));

export async function run(prefix) {
	let failed = 0;
	console.log(`1..${tests.length}`);
	const slow = new Map(tests.filter((t) => t.slow).map((t) => [t, outcome(t)]));
	const ordered = [...tests.filter((t) => !t.slow), ...slow.keys()];
	for (const [i, t] of ordered.entries()) {
		const e = await (slow.get(t) ?? outcome(t));
		console.log(`${e ? "not " : ""}ok ${i + 1} - ${prefix}: ${t.name}`);
		if (!e)
			continue;
		failed++;
		const text = e instanceof Error ? e.stack : inspect(e);
		console.log(text.replace(/^/gm, "# "));
	}
	// A transport that a failed test left open must not keep this process alive.
	process.exit(failed ? 1 : 0);
}
