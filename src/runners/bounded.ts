import { spawn } from "node:child_process";

const MOST_BYTES = 16 * 1024 * 1024;

/** How a command that was run to its end came out. */
export interface Outcome {
  /** What it printed on stdout. */
  readonly stdout: string;
  /** The last 4 KiB of what it printed on stderr. */
  readonly stderr: string;
  /** Why there is nothing to be had of it; null where it ended with exit code 0. */
  readonly problem: string | null;
}

/**
 * Runs a command to its end, or to the end of its time: nothing that it started can make us wait longer,
 * and it is killed with its whole process group.
 *
 * @param options `seconds`: its time; `env`: its environment, this process's where left out
 */
export function runBounded(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv; seconds: number },
): Promise<Outcome> {
  const { seconds, ...where } = options;
  return new Promise((resolve) => {
    const stdout: Buffer[] = [];
    let bytes = 0;
    let stderr = "";
    const settle = (problem: string | null) => {
      clearTimeout(timer);
      // What it left running may hold the pipes open; nobody listens any more.
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve({ stdout: Buffer.concat(stdout).toString(), stderr, problem });
    };
    const child = spawn(command, args, {
      ...where,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const kill = (problem: string) => {
      killGroup(child.pid);
      settle(problem);
    };
    const timer = setTimeout(
      () => kill(`it did not end within ${seconds} seconds`),
      seconds * 1000,
    );
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MOST_BYTES) kill("it printed without end");
      else stdout.push(chunk);
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-4096);
    });
    child.once("error", (error) => settle(error.message));
    child.once("exit", (code, signal) => {
      const ended = code === 0 ? null : signal ? `it died of ${signal}` : `it ended with ${code}`;
      // What is still in the pipes comes before `close`; a grandchild that holds them delays that.
      const late = setTimeout(() => settle(ended), 200);
      child.once("close", () => {
        clearTimeout(late);
        settle(ended);
      });
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
