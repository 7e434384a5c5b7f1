import { defineConfig } from "vitest/config";
import { subreapers } from "../pool.js";

/** As the project's own, with the one file that `leaks.test.ts` wants to see red. */
export default defineConfig({
  test: {
    include: ["planted.ts"],
    pool: subreapers,
    setupFiles: ["../check.ts"],
    root: import.meta.dirname,
  },
});
