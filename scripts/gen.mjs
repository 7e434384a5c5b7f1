// Bundles scripts/gen.ts in memory and runs it: the generator reads the same TypeScript as the server.
import { build } from "esbuild";

const result = await build({
  entryPoints: [new URL("gen.ts", import.meta.url).pathname],
  bundle: true,
  write: false,
  platform: "node",
  format: "esm",
  target: "node20",
  define: { "import.meta.url": JSON.stringify(import.meta.url) },
});
const code = Buffer.from(result.outputFiles[0].contents).toString("base64");
await import(`data:text/javascript;base64,${code}`);
