// endless.mjs: a program that never ends and can be seen from outside: it spins, and keeps a
// child whose argument is a word nobody else has.
import { randomInt } from "node:crypto";
import { tree, until, withArgument } from "./procs.mjs";

export function endless() {
	// sleep adds its arguments up, so any number will do as the word
	const word = `0.${randomInt(1e9, 1e10)}${randomInt(1e9, 1e10)}`;
	const code = [
		"import subprocess",
		`subprocess.Popen(["/bin/sleep", "86400", "${word}"])`,
		"while True: pass",
	].join("\n");
	return { word, code };
}

// Waits until the program of `word` runs under the server; gives the processes of its run that
// were not there `before`.
export async function running(word, server_pid, before) {
	await until(() => `a process with the argument ${word}`, 15_000,
		() => withArgument(word).length > 0);
	const known = new Set(before.map((p) => `${p.pid}/${p.start}`));
	const procs = tree(server_pid).filter((p) => !known.has(`${p.pid}/${p.start}`));
	const found = new Set(procs.map((p) => p.pid));
	// the word must be in the tree: else the later "it is gone" would look in the wrong place
	for (const { pid } of withArgument(word))
		if (!found.has(pid))
			throw new Error(`process ${pid} runs outside the server's tree`);
	return payload(procs, word);
}

// The process of the word and everything between it and the server's own processes: these
// belong to the one run. What else is new may be made ahead for the next call.
function payload(procs, word) {
	const by_pid = new Map(procs.map((p) => [p.pid, p]));
	const run = [];
	for (let p = withArgument(word)[0]; p && by_pid.has(p.pid); p = by_pid.get(p.parent))
		run.push(by_pid.get(p.pid));
	return run;
}
