// Bundles src/main.ts into dist/: the binary, and beside it the parts that it loads when they are needed.
//
// A bundle starts in half the time that the modules of node_modules take to be found and read.
import { chmod, rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = path.join(root, "dist");

/** zod brings its messages in 50 languages, a third of the bundle; nobody asks for any but English. */
const englishOnly = {
  name: "english-only",
  setup({ onResolve }) {
    onResolve({ filter: /\/locales\/index\.js$/ }, ({ resolveDir }) => {
      if (!resolveDir.includes(`${path.sep}zod${path.sep}`)) return undefined;
      return { path: path.resolve(resolveDir, "../locales/en.js") };
    });
  },
};

await rm(dist, { recursive: true, force: true });
const result = await build({
  absWorkingDir: root,
  entryPoints: { "ml-executor": "src/main.ts" },
  outdir: dist,
  chunkNames: "parts/[name]-[hash]",
  bundle: true,
  splitting: true,
  platform: "node",
  target: "node20",
  format: "esm",
  // Names and lines stay, so that a stack trace in a log can be read.
  minifySyntax: true,
  legalComments: "none",
  metafile: true,
  plugins: [englishOnly],
  // CommonJS dependencies inside an ES module reach Node's own modules through require().
  banner: {
    js: [
      'import { createRequire as __createRequire } from "node:module";',
      "const require = __createRequire(import.meta.url);",
    ].join("\n"),
  },
});
await chmod(path.join(dist, "ml-executor.js"), 0o755);
const bytes = Object.values(result.metafile.outputs).reduce((sum, file) => sum + file.bytes, 0);
console.log(`dist/: ${(bytes / 1024 / 1024).toFixed(1)} MB`);
