import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { data, Server, until } from "./client.js";
import { processesOf } from "./processes.js";

const FOREST = {
  framework: "sklearn",
  config: {
    algorithm: "RandomForestClassifier",
    targetColumn: "species",
    hyperparameters: { n_estimators: 50 },
    crossValidation: { folds: 5, stratified: true },
  },
};

describe.each(["fork", "spawn"])("the main job, started by %s", (method) => {
  let server: Server;
  beforeAll(async () => {
    server = await Server.start({ env: { ML_EXECUTOR_START_METHOD: method } });
  });
  afterAll(async () => {
    await server.dispose();
  });

  test("train → evaluate → predict → cancel of a longer training → a good call again", async () => {
    const trained = await server.report("train", {
      ...FOREST,
      config: { ...FOREST.config, dataPath: data("iris.train.csv") },
      outputDir: "models/iris",
    });
    expect(trained).toMatchObject({
      action: "train",
      framework: "sklearn",
      status: "success",
      exitCode: 0,
      gpuUsed: false,
      outputDir: "models/iris",
      metadata: {
        algorithm: "RandomForestClassifier",
        samplesProcessed: 112,
        features: 4,
        crossValidationFolds: 5,
      },
      artifacts: { model: "models/iris/model.pkl" },
    });
    expect(trained.metrics!.crossValidation).toMatchObject({ accuracy: expect.any(Array) });
    for (const path of Object.values(trained.artifacts!))
      expect(existsSync(resolve(server.cwd, path)), path).toBe(true);

    const evaluated = await server.report("evaluate", {
      config: { modelPath: trained.artifacts!.model, dataPath: data("iris.test.csv") },
      outputDir: "evaluation",
    });
    expect(evaluated).toMatchObject({ framework: "sklearn", metadata: { samplesEvaluated: 38 } });

    const predicted = await server.report("predict", {
      config: {
        modelPath: "models/iris",
        inputData: data("iris.test.csv"),
        outputFormat: "probabilities",
      },
      outputDir: "predictions",
    });
    expect(predicted.predictions).toMatchObject({
      format: "probabilities",
      shape: [38, 3],
      outputFile: "predictions/predictions.csv",
    });
    // What predict writes and what evaluate measured are the same predictions.
    const rows = readFileSync(join(server.cwd, "predictions/predictions.csv"), "utf8")
      .trim()
      .split("\n")
      .slice(1);
    const truth = readFileSync(data("iris.test.csv"), "utf8")
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(",").at(-1));
    const right = rows.filter((row, index) => row.split(",").includes(truth[index]!)).length;
    expect(right / rows.length).toBeCloseTo(evaluated.metrics!.accuracy as number, 12);

    const started = await server.call("train", {
      framework: "sklearn",
      config: {
        algorithm: "RandomForestClassifier",
        dataPath: data("digits.csv"),
        targetColumn: "target",
        hyperparameters: { n_estimators: 10_000_000, max_depth: 2 },
      },
      waitSeconds: 1,
    });
    const { job } = started.structuredContent as { job: { id: string; state: string } };
    await until(
      "it runs",
      async () =>
        (await server.call("job-status", { jobId: job.id })).structuredContent?.job !== undefined &&
        ((await server.call("job-status", { jobId: job.id })).structuredContent as any).job
          .state === "running",
    );
    const cancelled = await server.call("job-cancel", { jobId: job.id });
    expect(cancelled.structuredContent).toMatchObject({ job: { id: job.id, state: "cancelled" } });
    const after = await server.call("job-status", { jobId: job.id });
    expect(after.structuredContent).toMatchObject({ error: { type: "cancelled", exitCode: 130 } });

    const again = await server.report("predict", {
      config: { modelPath: "models/iris", inputData: data("iris.test.csv") },
    });
    expect(again.predictions).toMatchObject({ format: "classes", shape: [38] });
  });

  test("nothing stays behind once the server has ended", async () => {
    await server.close();
    await until("all its processes are gone", () => processesOf(server.home).length === 0);
  });
});
