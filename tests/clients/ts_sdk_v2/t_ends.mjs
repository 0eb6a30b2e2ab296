import { endingCases, sixtySeconds } from "../lib/ending_cases.mjs";
import { run } from "../lib/tap.mjs";
import { kits } from "./kit.mjs";

for (const kit of Object.values(kits))
	endingCases(kit);
sixtySeconds(kits.http_legacy);
sixtySeconds(kits.http_modern);
await run("ts_sdk_v2");
