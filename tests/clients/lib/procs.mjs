// procs.mjs: who is alive, read from /proc. A process is its pid and its start time together, so
// that a pid used again is not mistaken for the old one.
import { readFileSync, readdirSync } from "node:fs";

function stat(pid) {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, "latin1");
		const f = text.slice(text.lastIndexOf(")") + 2).split(" ");
		return { pid, state: f[0], parent: Number(f[1]), start: f[19] };
	} catch {
		return null;
	}
}

const dead = (s) => s === null || s.state === "Z" || s.state === "X";

export function all() {
	const pids = readdirSync("/proc").filter((n) => /^\d+$/.test(n));
	return pids.map((n) => stat(Number(n))).filter((s) => !dead(s));
}

export function alive(p) {
	const now = stat(p.pid);
	return !dead(now) && now.start === p.start;
}

export function tree(pid) {
	const procs = all();
	const found = procs.filter((p) => p.pid === pid);
	for (let i = 0; i < found.length; i++)
		found.push(...procs.filter((p) => p.parent === found[i].pid));
	return found;
}

export function command(pid) {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
	} catch {
		return "";
	}
}

// Every living process with this word as one of its arguments, whoever its parent is.
export function withArgument(word) {
	return all().filter((p) => command(p.pid).split(" ").includes(word));
}

export function describe(procs) {
	return procs.map((p) => `${p.pid} (${command(p.pid)})`).join(", ");
}

export async function until(what, limit_ms, condition) {
	const end = performance.now() + limit_ms;
	for (;;) {
		const value = await condition();
		if (value)
			return value;
		if (performance.now() > end)
			throw new Error(`not within ${limit_ms} ms: ${what()}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

export function untilGone(procs, limit_ms) {
	return until(() => `gone: ${describe(procs.filter(alive))}`, limit_ms,
		() => !procs.some(alive));
}
