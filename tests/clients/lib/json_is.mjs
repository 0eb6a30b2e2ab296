// json_is.mjs FILE EXPRESSION: succeeds when the expression is true; `it` is the file's JSON.
import { readFileSync } from "node:fs";

const [file, expression] = process.argv.slice(2);
const text = readFileSync(file, "utf8");
if (!new Function("it", `return (${expression})`)(JSON.parse(text))) {
	console.log(`not so: ${expression}\n${text}`);
	process.exit(1);
}
