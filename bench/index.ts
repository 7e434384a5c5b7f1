/** `npm run bench`: every speed claim as a ratio within this run; writes `docs/benchmarks.md`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as cases from "./cases.js";
import { type Row, run } from "./measure.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const python = process.env.ML_EXECUTOR_TEST_PYTHON;
if (!python)
  throw new Error("ML_EXECUTOR_TEST_PYTHON is not set: start the benchmarks with `npm run bench`");
const wanted = process.argv.slice(2);
const data = mkdtempSync(join(tmpdir(), "mlx-bench-data-"));

try {
  await run(python, [join(root, "test/plain/datasets.py"), data]);
  const rows: Row[] = [];
  for (const [name, measure] of Object.entries(cases)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    console.error(`bench: ${name} …`);
    rows.push(...(await (measure as cases.Case)({ root, python, data })));
  }
  const table = [
    "| claim | measured | against | aim | |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(
      ({ claim, measured, against, aim, holds }) =>
        `| ${claim} | ${measured} | ${against} | ${aim} | ${holds === null ? "" : holds ? "holds" : "**misses**"} |`,
    ),
  ].join("\n");
  console.log(table);
  if (wanted.length === 0) writeFileSync(join(root, "docs/benchmarks.md"), await page(table));
} finally {
  rmSync(data, { recursive: true, force: true });
}

async function page(table: string): Promise<string> {
  const versions = await run(python as string, [
    "-c",
    "import sys, sklearn, xgboost, lightgbm, torch; print(f'Python {sys.version.split()[0]}, scikit-learn {sklearn.__version__}, XGBoost {xgboost.__version__}, LightGBM {lightgbm.__version__}, PyTorch {torch.__version__}')",
  ]);
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return `# Benchmarks

Written by \`npm run bench\`. Each figure is a median, held against the bare library or the limit in the same
run. ML Executor ${version}; ${new Date().toISOString().slice(0, 10)}; ${availableParallelism()} cores (${cpus()[0]?.model.trim()}), ${memory}, ${process.platform}; Node.js ${process.versions.node}; ${versions.trim()}.

${table}
`;
}
