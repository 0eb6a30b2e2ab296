import { endingCases } from "../lib/ending_cases.mjs";
import { run } from "../lib/tap.mjs";
import { kits } from "./kit.mjs";

for (const kit of Object.values(kits))
	endingCases(kit);
await run("ts_sdk_v1");
