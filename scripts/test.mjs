// `npm test`: all the set-up that a fresh clone needs, then the tests of both languages.
// `npm run test:soak`: the random and the killing tests at their full counts.
// Arguments go to vitest as filters: `npm test -- test/e2e`; `npm test -- --python` runs pytest alone.
import path from "node:path";
import {
  ensureBuild,
  ensurePackages,
  ensurePython,
  exitCode,
  main,
  root,
  say,
  since,
} from "./bootstrap.mjs";

const flags = new Set(process.argv.slice(2).filter((argument) => argument.startsWith("--")));
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const soak = flags.has("--soak");

await main(async () => {
  const started = Date.now();
  await ensurePackages();
  // Apart: it brings a `node`, which would take the place of the one that runs npm's scripts.
  if (!soak) await ensurePackages(path.join(root, "test", "conformance", "suite"));
  await ensureBuild();
  const python = await ensurePython();
  say(`Set up in ${since(started)}`);

  const env = {
    ...process.env,
    ML_EXECUTOR_TEST_PYTHON: python,
    ...(soak && { ML_EXECUTOR_SOAK: "1" }),
    PYTHONDONTWRITEBYTECODE: "1",
  };
  // What the person who runs the tests has active must not change what they see.
  for (const name of [
    "ML_EXECUTOR_PYTHON",
    "ML_EXECUTOR_HOME",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
  ]) {
    delete env[name];
  }
  let worst = 0;
  if (!flags.has("--python")) {
    const vitest = path.join(root, "node_modules", "vitest", "vitest.mjs");
    worst = await exitCode(process.execPath, [vitest, "run", ...filters], { env });
  }
  if (!flags.has("--typescript") && filters.length === 0) {
    const pytest = ["-m", "pytest", "-q", "-m", soak ? "soak" : "not soak"];
    const code = await exitCode(python, pytest, { env, cwd: path.join(root, "runners") });
    worst = Math.max(worst, code);
  }
  say(`Tests ${worst === 0 ? "passed" : "FAILED"} in ${since(started)}`);
  return worst;
});
