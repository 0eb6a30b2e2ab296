// server.mjs: how the tests start the server: the binary of $FUMEHOOD, each with a state
// folder of its own in the temporary folder that run.sh makes and removes.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function serverParameters() {
	if (!process.env.FUMEHOOD)
		throw new Error("FUMEHOOD does not name the binary");
	const state = mkdtempSync(join(tmpdir(), "fumehood-client-"));
	return { command: process.env.FUMEHOOD, args: ["stdio", "--state", state] };
}
