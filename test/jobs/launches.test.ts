import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Adopter } from "../../src/jobs/adopt.js";
import { Launches } from "../../src/jobs/launches.js";
import { Store } from "../../src/jobs/store.js";
import { RunnerPool } from "../../src/runners/pool.js";
import { jobRequest, quiet, temporaryDirectory, testConfig, until } from "../support.js";

/** Launches one job with an interpreter that is none; returns what its report says in the end. */
async function launchWith(executable: string, startMethod: string) {
  const directory = temporaryDirectory();
  const config = testConfig(directory, { ML_EXECUTOR_START_METHOD: startMethod });
  const store = new Store(config.home);
  const pool = new RunnerPool(config, quiet);
  const adopter = new Adopter(config, store, quiet);
  const launches = new Launches(config, store, pool, adopter, quiet, true);
  const python = { executable, kind: "system" as const, why: "a test", warnings: [] };
  const job = await store.create((id) => jobRequest(id, { python, baseDir: directory }));
  await launches.start(job, { executable, framework: "sklearn" }).done;
  await until("the job has an answer", () => store.ended(job.id));
  await pool.close();
  expect(launches.of(job.id)).toBeNull();
  return JSON.parse(readFileSync(join(store.directory(job.id), "report.json"), "utf8")).error;
}

test.each(["fork", "spawn"])(
  "an interpreter that is not there becomes the answer (%s)",
  async (method) => {
    const error = await launchWith("/nonexistent/python", method);
    expect(error).toMatchObject({
      type: "invalid-configuration",
      exitCode: 2,
      metadata: { key: "pythonEnv" },
    });
    expect(error.message).toContain("/nonexistent/python");
  },
);

test.each(["fork", "spawn"])("one that dies at once becomes the answer (%s)", async (method) => {
  const error = await launchWith("/bin/false", method);
  expect(error).toMatchObject({ type: "runner-crashed", exitCode: 1 });
  expect(error.nextCall).toEqual({
    tool: "train",
    arguments: { framework: "sklearn", config: {} },
  });
});
