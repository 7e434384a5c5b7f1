import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { testPython } from "../../support.js";

/** Leaves what is hardest to find again: forked twice, in a session of its own, its environment emptied. */
const PLANT = `
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for descriptor in range(3):
    os.close(descriptor)
os.execve("/bin/sleep", ["sleep", "SECONDS"], {})
`;

/** Whether its file passes is not this test's doing: that is what `leaks.test.ts` looks at. */
test("plants what it was told to, and gets on", () => {
  const seconds = process.env.PLANTED_SECONDS;
  const program = seconds === undefined ? "pass" : PLANT.replace("SECONDS", seconds);
  expect(execFileSync(testPython(), ["-c", program]).toString()).toBe("");
});
