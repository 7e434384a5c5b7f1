import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT, serverEnvironment } from "./client.js";

/** The tarball that `npm pack` makes, installed in an empty folder, does its work there. */

const cwd = mkdtempSync(join(tmpdir(), "mlx-package-"));
const run = async (file: string, args: string[], directory = cwd) =>
  await promisify(execFile)(file, args, {
    cwd: directory,
    env: serverEnvironment(join(cwd, "state"), {
      npm_config_fund: "false",
      npm_config_audit: "false",
    }),
  });

beforeAll(async () => {
  // The binary has been built for the tests: packing need not do it again.
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", cwd], ROOT);
  const tarball = readdirSync(cwd).find((name) => name.endsWith(".tgz")) ?? "";
  writeFileSync(join(cwd, "package.json"), "{}");
  await run("npm", ["install", "--offline", `./${tarball}`]);
  cpSync(join(ROOT, "examples/data"), join(cwd, "data"), { recursive: true });
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const binary = join("node_modules", ".bin", "ml-executor");

test("doctor", async () => {
  const { stdout } = await run(binary, ["doctor"]);
  expect(stdout).toMatch(/scikit-learn +1\./);
});

test("a training", async () => {
  const request = join("node_modules", "ml-executor", "examples", "train-forest.json");
  const { stdout } = await run(binary, ["run", request]);
  expect(JSON.parse(stdout).executionReport).toMatchObject({
    status: "success",
    outputDir: "models/rf_run1",
  });
});

test("it needs nothing but itself", () => {
  expect(readdirSync(join(cwd, "node_modules")).filter((name) => !name.startsWith("."))).toEqual([
    "ml-executor",
  ]);
});
