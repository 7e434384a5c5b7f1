import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BINARY, ROOT, serverEnvironment } from "./client.js";

/** Every request in `examples/` runs as it lies there, through the command line, in its order of need. */

const cwd = mkdtempSync(join(tmpdir(), "mlx-examples-"));
beforeAll(() => cpSync(join(ROOT, "examples"), cwd, { recursive: true }));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const ORDER = [
  "train-forest",
  "evaluate-forest",
  "predict-forest",
  "train-xgb-classifier",
  "train-xgboost",
  "train-lightgbm",
  "resume-lightgbm",
  "train-pytorch",
  "predict-pytorch",
  "fine-tune-pytorch",
  "train-digits",
];

test("every example is run here", () => {
  const files = readdirSync(join(ROOT, "examples")).filter((file) => file.endsWith(".json"));
  expect(files.map((file) => file.replace(".json", "")).sort()).toEqual([...ORDER].sort());
});

test("the page on fine-tuning shows its example as it is run", () => {
  const example = readFileSync(join(ROOT, "examples/fine-tune-pytorch.json"), "utf8");
  expect(readFileSync(join(ROOT, "docs/fine-tuning.md"), "utf8")).toContain(example);
});

test.each(ORDER)("%s", async (name) => {
  const { stdout } = await promisify(execFile)(process.execPath, [BINARY, "run", `${name}.json`], {
    cwd,
    env: serverEnvironment(join(cwd, "state")),
  });
  const { executionReport } = JSON.parse(stdout);
  const { action } = JSON.parse(readFileSync(join(cwd, `${name}.json`), "utf8"));
  expect(executionReport).toMatchObject({ action, status: "success", exitCode: 0 });
  expect(executionReport.warnings ?? []).toEqual([]);
});
