import { execa } from "execa";
import { expect, test } from "vitest";
import { ROOT } from "../e2e/client.js";
import { processesOf } from "../e2e/processes.js";

/** The check that follows every test file turns red where a process is left. */

const vitest = (env: Record<string, string>) =>
  execa(
    process.execPath,
    ["node_modules/vitest/vitest.mjs", "run", "--config", "test/leaks/planted/vitest.config.ts"],
    { cwd: ROOT, env: { ...env, NO_COLOR: "1" }, reject: false, all: true, stdin: "ignore" },
  );

test("a file that leaves nothing passes", async () => {
  const { exitCode, all } = await vitest({});
  expect(all).toContain("1 passed");
  expect(exitCode).toBe(0);
});

test("a child forked twice, in its own session and without environment turns its file red", async () => {
  // A number that nobody else sleeps.
  const seconds = String(1_000_000 + process.pid);
  const { exitCode, all } = await vitest({ PLANTED_SECONDS: seconds });
  expect(exitCode).toBe(1);
  expect(all).toContain("processes left after this test file");
  expect(all).toMatch(new RegExp(`\\d+ \\(of \\d+\\), since \\d{4}-.*: sleep ${seconds}`));
  expect(processesOf(`sleep ${seconds}`)).toEqual([]);
});
