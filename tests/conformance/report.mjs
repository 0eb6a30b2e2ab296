// report.mjs EXPECTED RESULTS: counts what the conformance suite wrote and holds it against the list.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [expectedFile, results] = process.argv.slice(2);

const expected = readFileSync(expectedFile, "utf8")
	.split("\n")
	.filter((line) => line && !line.startsWith("#"))
	.map((line) => {
		const [revision, kind, scenario, skipped] = line.split(" ");
		return { revision, kind, scenario, skipped: skipped === "skipped" };
	});

// results/REVISION/server-SCENARIO-TIME/checks.json
function checksOf(revision) {
	const found = new Map();
	const folder = join(results, revision);
	for (const name of existsSync(folder) ? readdirSync(folder) : []) {
		const match = /^(?:server-)?(.*)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(name);
		const file = join(folder, name, "checks.json");
		if (match && existsSync(file)) found.set(match[1], JSON.parse(readFileSync(file, "utf8")));
	}
	return found;
}

function judge(want, checks) {
	if (!checks) return { good: false, text: "not in the suite's output" };
	const count = (status) => checks.filter((c) => c.status === status).length;
	const bad = count("FAILURE");
	const done = count("SUCCESS");
	const text = `${done}/${done + bad} checks${count("WARNING") ? `, ${count("WARNING")} warnings` : ""}`;
	if (want.skipped) return { good: !bad, text: done ? text : "skipped by the suite itself" };
	return { good: !bad && done > 0, text };
}

let failed = 0;
let unlisted = 0;
const table = [];
for (const revision of new Set(expected.map((e) => e.revision))) {
	const found = checksOf(revision);
	const wanted = expected.filter((e) => e.revision === revision);
	let scored = 0;
	let passed = 0;
	for (const want of wanted) {
		const checks = found.get(want.scenario);
		const { good, text } = judge(want, checks);
		if (want.kind === "scored") {
			scored++;
			passed += good ? 1 : 0;
		} else {
			table.push(`  ${good ? "pass" : "FAIL"}  ${revision}  ${want.scenario.padEnd(38)} ${text}`);
		}
		for (const c of checks ?? [])
			if (c.status === "WARNING")
				console.log(`${revision} ${want.scenario}: warning: ${c.id}: ${c.errorMessage}`);
		if (good) continue;
		failed++;
		console.log(`${revision} ${want.scenario}: FAILED: ${text}`);
		for (const c of checks ?? [])
			if (c.status === "FAILURE") console.log(`    ${c.id}: ${c.errorMessage}`);
	}
	for (const scenario of found.keys())
		if (!wanted.some((w) => w.scenario === scenario)) {
			unlisted++;
			console.log(`${revision} ${scenario}: not in ${expectedFile}`);
		}
	console.log(`${revision}: ${passed}/${scored} scored passed`);
}
console.log("unscored:");
for (const line of table) console.log(line);
process.exit(failed || unlisted ? 1 : 0);
