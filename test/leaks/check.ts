import { afterAll } from "vitest";
import { descendantsOf, type Process } from "../e2e/processes.js";

/**
 * After each test file, none of its processes may be left: the file's own process is a subreaper
 * (`pool.ts`), so that what it started is below it, whoever the parent was.
 */

/** What a server or job that has been told to end may take for it on a busy machine. */
const GRACE_MILLISECONDS = 10_000;

afterAll(async () => {
  const until = Date.now() + GRACE_MILLISECONDS;
  let left = descendantsOf(process.pid);
  while (left.length > 0 && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = descendantsOf(process.pid);
  }
  if (left.length === 0) return;
  const told = left.map(line).join("\n");
  // Those that die may have children that only then are seen.
  for (let all = left; all.length > 0; all = descendantsOf(process.pid)) {
    for (const { pid } of all) kill(pid);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`processes left after this test file (killed now):\n${told}`);
}, 30_000);

function line({ pid, parent, startedAt, command }: Process): string {
  return `  ${pid} (of ${parent}), since ${startedAt.toISOString()}: ${command.slice(0, 300)}`;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
