// `npm run check`: every linter, formatter and type checker, both languages; all are run, all are told.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { ensureBuild, ensurePackages, ensurePython, main, root, since } from "./bootstrap.mjs";

/** Files that `npm run gen` writes. */
const GENERATED = ["tools.manifest.json", "docs/tools.md", "README.md"];

/** Folders with Python code, seen from runners/, whose settings hold for all of them. */
const PYTHON = [".", "../scripts", "../examples", "../test"];
const SETTINGS = ["--config", "pyproject.toml"];

await main(async () => {
  await ensurePackages();
  await ensureBuild();
  const python = await ensurePython();
  const tool = (name) => path.join(root, "node_modules", ".bin", name);
  const runners = path.join(root, "runners");

  const checks = [
    ["generated files", generatedFiles],
    ["tsc", () => output(tool("tsc"), ["--noEmit"])],
    ["biome", () => output(tool("biome"), ["check", "--error-on-warnings"])],
    ["knip", () => output(tool("knip"), ["--no-progress"])],
    ["boundaries (TypeScript)", () => output(process.execPath, ["scripts/check-boundaries.mjs"])],
    ["boundaries (Python)", () => output(python, ["scripts/check_boundaries.py"])],
    [
      "ruff check",
      () => output(python, ["-m", "ruff", "check", "--quiet", ...SETTINGS, ...PYTHON], runners),
    ],
    [
      "ruff format",
      () =>
        output(
          python,
          ["-m", "ruff", "format", "--check", "--quiet", ...SETTINGS, ...PYTHON],
          runners,
        ),
    ],
    ["pyright", () => output(tool("pyright"), ["--pythonpath", python], runners)],
  ];
  let failed = 0;
  for (const [name, check] of checks) {
    const started = Date.now();
    const { code, text } = await check();
    if (code !== 0) failed += 1;
    console.log(`${code === 0 ? "ok  " : "FAIL"} ${name.padEnd(26)} ${since(started)}`);
    if (code !== 0) console.log(text.trimEnd().replace(/^/gm, "     "));
  }
  console.log(
    failed === 0
      ? `All ${checks.length} checks passed`
      : `${failed} of ${checks.length} checks failed`,
  );
  return failed === 0 ? 0 : 1;
});

/** Generates anew and compares with what was there (and puts nothing back: the new files are right). */
async function generatedFiles() {
  const before = await Promise.all(GENERATED.map(digest));
  const { code, text } = await output(process.execPath, [
    "scripts/run-typescript.mjs",
    "scripts/gen.ts",
  ]);
  if (code !== 0) return { code, text };
  const after = await Promise.all(GENERATED.map(digest));
  const stale = GENERATED.filter((_file, index) => before[index] !== after[index]);
  if (stale.length === 0) return { code: 0, text };
  return { code: 1, text: `${stale.join(", ")} was out of date and is generated anew: commit it` };
}

async function digest(file) {
  const bytes = await readFile(path.join(root, file)).catch(() => "");
  return createHash("sha256").update(bytes).digest("hex");
}

function output(command, args, cwd = root) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, text }));
  });
}
