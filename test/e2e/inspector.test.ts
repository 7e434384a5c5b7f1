import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { MANIFEST } from "../../src/contract/index.js";
import { BINARY, data, ROOT, serverEnvironment } from "./client.js";

const cwd = mkdtempSync(join(tmpdir(), "mlx-inspector-"));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const CLI = join(ROOT, "node_modules/@modelcontextprotocol/inspector/cli/build/cli.js");

async function inspect(...args: string[]): Promise<any> {
  const env = serverEnvironment(join(cwd, "state"));
  const passed = Object.entries(env).flatMap(([key, value]) => ["-e", `${key}=${value}`]);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [CLI, "--cli", ...passed, process.execPath, BINARY, ...args],
    { cwd, env },
  );
  return JSON.parse(stdout);
}

test("the MCP Inspector lists the tools", async () => {
  const { tools } = await inspect("--method", "tools/list");
  expect(tools.map(({ name }: { name: string }) => name)).toEqual([
    ...Object.keys(MANIFEST.actions),
    ...Object.keys(MANIFEST.tools),
  ]);
});

test("the MCP Inspector trains", async () => {
  const config = {
    algorithm: "LogisticRegression",
    dataPath: data("breast_cancer.csv"),
    targetColumn: "target",
    featureScaling: "standard",
  };
  const result = await inspect(
    "--method",
    "tools/call",
    "--tool-name",
    "train",
    "--tool-arg",
    "framework=sklearn",
    `config=${JSON.stringify(config)}`,
    "outputDir=model",
  );
  expect(result.isError).toBeFalsy();
  expect(result.structuredContent.executionReport).toMatchObject({
    status: "success",
    artifacts: { model: "model/model.pkl", scaler: "model/scaler.pkl" },
  });
});
