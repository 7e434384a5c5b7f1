import { defineConfig } from "vitest/config";
import { subreapers } from "./test/leaks/pool.js";

// `npm run test:soak` runs these alone, at their full counts; `npm test` runs each of them once.
const soak = process.env.ML_EXECUTOR_SOAK === "1";

export default defineConfig({
  test: {
    include: soak ? ["test/{fuzz,kills}/**/*.test.ts"] : ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**"],
    globalSetup: ["test/e2e/global-setup.ts"],
    pool: subreapers,
    setupFiles: ["test/leaks/check.ts"],
    // Most tests drive real processes, which take their time on a small machine.
    testTimeout: 120_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    reporters: ["default"],
  },
});
