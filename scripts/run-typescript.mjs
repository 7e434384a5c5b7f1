// `node scripts/run-typescript.mjs FILE [ARGUMENT…]`: bundles a TypeScript program of this repository and
// runs it; it reads the same sources as the server.
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const [entry, ...rest] = process.argv.slice(2);
// One level below the root, as the sources are: what they find from their own place stays right.
const bundle = path.join(root, ".tmp", `${path.basename(entry, ".ts")}-${process.pid}.mjs`);
mkdirSync(path.dirname(bundle), { recursive: true });
process.once("exit", () => rmSync(bundle, { force: true }));
await build({
  entryPoints: [path.resolve(root, entry)],
  outfile: bundle,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  logLevel: "warning",
});
process.argv = [process.argv[0], bundle, ...rest];
await import(pathToFileURL(bundle).href);
