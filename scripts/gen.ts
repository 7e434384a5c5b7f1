/** Writes the generated files: the manifest and the tool reference. `npm run check` fails on a difference. */
import { writeFileSync } from "node:fs";
import { ACTIONS } from "../src/actions/index.js";
import { buildManifest } from "../src/contract/manifest.js";
import { TOOLS } from "../src/tools/index.js";
import { toolReference } from "./tool-reference.js";

const root = new URL("../", import.meta.url);
const manifest = buildManifest(ACTIONS, TOOLS);
writeFileSync(new URL("tools.manifest.json", root), `${JSON.stringify(manifest, null, 1)}\n`);
writeFileSync(new URL("docs/tools.md", root), toolReference(manifest));
