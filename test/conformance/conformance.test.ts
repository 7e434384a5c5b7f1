import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../e2e/client.js";
import { HttpServer } from "../e2e/http-server.js";

/**
 * The conformance suite against `serve --http`, and against the program that has the suite's own
 * fixtures; `docs/conformance.md` says which scenario passes where, and is held to it.
 */

const PACKAGES = join(ROOT, "test/conformance/suite/node_modules");
const NODE = join(PACKAGES, "node/bin/node");
const SUITE = join(PACKAGES, "@modelcontextprotocol/conformance/dist/index.js");
const PROGRAM = join(ROOT, "test/conformance/program.ts");

/** Runs the suite under the Node.js that it needs; resolves with what it prints, passed or not. */
async function suite(...args: string[]): Promise<string> {
  const options = { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 };
  try {
    return (await promisify(execFile)(NODE, [SUITE, ...args], options)).stdout;
  } catch (error) {
    const { code, stdout = "" } = error as { code?: unknown; stdout?: string };
    if (code === 1) return stdout; // some scenario failed: its checks tell
    throw error;
  }
}

/** The scenarios that a server passes: a check that holds, and none that fails or only warns. */
async function passedBy(url: string): Promise<string[]> {
  const results = mkdtempSync(join(tmpdir(), "mlx-conformance-"));
  try {
    await suite("server", "--url", url, "--suite", "all", "--output-dir", results);
    return readdirSync(results).flatMap((directory) => {
      const checks = JSON.parse(readFileSync(join(results, directory, "checks.json"), "utf8"));
      const statuses = checks.map(({ status }: { status: string }) => status);
      const passed = statuses.includes("SUCCESS") && !/FAILURE|WARNING/.test(statuses.join());
      return passed ? [directory.replace(/^server-(.*?)-\d{4}-\d\d-\d\dT.*$/, "$1")] : [];
    });
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}

/** The table of `docs/conformance.md`: each scenario, and in which columns it is said to pass. */
const rows = readFileSync(join(ROOT, "docs/conformance.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const cells = line.split("|").map((cell) => cell.trim());
    const name = /^`([\w-]+)`$/.exec(cells[1] ?? "")?.[1];
    return name ? [{ name, product: cells[2] === "passes", program: cells[3] === "passes" }] : [];
  });

let product: HttpServer;
let program: HttpServer;
beforeAll(async () => {
  product = await HttpServer.start();
  program = await HttpServer.start({}, [join(ROOT, "scripts/run-typescript.mjs"), PROGRAM]);
});
afterAll(async () => {
  await program?.dispose();
  await product?.dispose();
});

test("the page names every server scenario of the suite, and each passes somewhere", async () => {
  const listed = await suite("list", "--server");
  const names = [...listed.matchAll(/^ {2}- ([\w-]+)/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(30);
  expect(rows.map(({ name }) => name).sort()).toEqual(names.sort());
  expect(rows.filter(({ product, program }) => !product && !program)).toEqual([]);
});

test("serve --http passes what the page says", async () => {
  const passed = await passedBy(`${product.url}/mcp`);
  const claimed = rows.filter(({ product }) => product).map(({ name }) => name);
  expect(passed).toEqual(expect.arrayContaining(claimed));
});

test("the program with the suite's fixtures passes what the page says", async () => {
  const passed = await passedBy(`${program.url}/mcp`);
  const claimed = rows.filter(({ program }) => program).map(({ name }) => name);
  expect(passed).toEqual(expect.arrayContaining(claimed));
});
