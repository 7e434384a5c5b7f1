import { fileURLToPath } from "node:url";
import { ForksPoolWorker, type PoolOptions, type PoolRunnerInitializer } from "vitest/node";
import { testPython } from "../support.js";

/**
 * Vitest's own pool of processes, one a test file, each a subreaper: no process that a test file
 * starts can get out of `check.ts`'s sight.
 */
class SubreaperWorker extends ForksPoolWorker {
  override readonly name = POOL_NAME;

  constructor(options: PoolOptions) {
    super(options);
    const wrapper = fileURLToPath(new URL("subreaper.py", import.meta.url));
    this.execArgv = [wrapper, process.execPath, ...this.execArgv];
  }

  override async start(): Promise<void> {
    const node = process.execPath;
    // What child_process.fork starts where it is not told; it is called before the first await.
    process.execPath = testPython();
    const started = super.start();
    process.execPath = node;
    await started;
  }
}

const POOL_NAME = "subreapers";

export const subreapers: PoolRunnerInitializer = {
  name: POOL_NAME,
  createPoolWorker: (options) => new SubreaperWorker(options),
};
