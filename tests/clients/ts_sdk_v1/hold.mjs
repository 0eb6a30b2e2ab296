import { hold } from "../lib/hold.mjs";
import { kits } from "./kit.mjs";

await hold(kits);
