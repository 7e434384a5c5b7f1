import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The interpreter that jobs run in. */
    python: string;
    /** Where `test/plain/datasets.py` has written its tables. */
    data: string;
  }
}

/** Builds the binary and writes the data sets, once for all test files. */
export function setup(project: TestProject): () => void {
  const python = process.env.ML_EXECUTOR_TEST_PYTHON;
  if (!python)
    throw new Error("ML_EXECUTOR_TEST_PYTHON is not set: start the tests with `npm test`");
  const root = fileURLToPath(new URL("../../", import.meta.url));
  execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
  const data = mkdtempSync(join(tmpdir(), "mlx-data-"));
  execFileSync(python, [join(root, "test/plain/datasets.py"), data], { stdio: "inherit" });
  project.provide("python", python);
  project.provide("data", data);
  return () => rmSync(data, { recursive: true, force: true });
}
