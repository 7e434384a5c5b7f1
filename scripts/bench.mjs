// `npm run bench`: every speed claim, measured; bench/index.ts does it with the managed Python.
import { ensureBuild, ensurePackages, ensurePython, exitCode, main } from "./bootstrap.mjs";

await main(async () => {
  await ensurePackages();
  await ensureBuild();
  const python = await ensurePython();
  const env = { ...process.env, ML_EXECUTOR_TEST_PYTHON: python };
  return exitCode(
    process.execPath,
    ["scripts/run-typescript.mjs", "bench/index.ts", ...process.argv.slice(2)],
    { env },
  );
});
