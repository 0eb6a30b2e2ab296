import { leavingCases } from "../lib/leaving_cases.mjs";
import { sdkCases } from "../lib/sdk_cases.mjs";
import { run } from "../lib/tap.mjs";
import { kits } from "./kit.mjs";

for (const kit of Object.values(kits)) {
	sdkCases(kit);
	leavingCases(kit);
}
await run("ts_sdk_v1");
