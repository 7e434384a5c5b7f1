import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { ROOT, Server } from "./client.js";

/**
 * Every field and artifact name of the seed's example reports for `train` (scikit-learn),
 * `evaluate` and `predict`, each value held against a plain script or the files.
 */

type Json = Record<string, any>;
const EXAMPLES = join(ROOT, "examples");
const read = (name: string): Json => JSON.parse(readFileSync(join(EXAMPLES, name), "utf8"));

let server: Server;
let plain: Json;
let trained: Json;
let evaluated: Json;
let predicted: Json;

beforeAll(async () => {
  const cwd = mkdtempSync(join(tmpdir(), "mlx-seed-"));
  cpSync(join(EXAMPLES, "data"), join(cwd, "data"), { recursive: true });
  server = await Server.start({ cwd });
  trained = await server.report("train", read("train-forest.json"));
  evaluated = await server.report("evaluate", read("evaluate-forest.json"));
  predicted = await server.report("predict", read("predict-forest.json"));
  const paths = ["data/train.csv", "data/test.csv", "models/rf_run1"].map((path) =>
    join(cwd, path),
  );
  plain = JSON.parse(
    execFileSync(inject("python"), [join(ROOT, "test/plain/forest.py"), ...paths], {
      encoding: "utf8",
    }),
  );
}, 120_000);
afterAll(async () => {
  await server.dispose();
});

const at = (path: string) => join(server.cwd, path);
const bytes = (path: string) => statSync(at(path)).size;
const png = (path: string) => readFileSync(at(path)).subarray(1, 4).toString();
const csv = (path: string) =>
  readFileSync(at(path), "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(","));

/** Equal to 1e-9, whatever the nesting. */
function close(actual: unknown, expected: unknown, where = ""): void {
  if (typeof expected === "number")
    expect(Math.abs((actual as number) - expected), where).toBeLessThanOrEqual(1e-9);
  else if (typeof expected === "object" && expected !== null)
    for (const [key, value] of Object.entries(expected))
      close((actual as Json)?.[key], value, `${where}.${key}`);
  else expect(actual, where).toEqual(expected);
}

/** A size as the reports word it, in powers of 1024. */
function sizeInWords(size: number): RegExp {
  const unit = size < 1024 ? "B" : size < 1024 ** 2 ? "KB" : "MB";
  const value = size / { B: 1, KB: 1024, MB: 1024 ** 2 }[unit]!;
  return new RegExp(
    `^${value
      .toFixed(unit === "B" ? 0 : 1)
      .replace(".", "\\.")
      .replace("\\.0", "(\\.0)?")}${unit}$`,
  );
}

describe("what all reports have", () => {
  test.each(["train", "evaluate", "predict"])("%s", (action) => {
    const report = { train: trained, evaluate: evaluated, predict: predicted }[action]!;
    expect(report).toMatchObject({
      action,
      framework: "sklearn",
      exitCode: 0,
      status: "success",
      gpuUsed: false,
    });
    expect(new Date(report.timestamp).getTime()).toBeGreaterThan(Date.now() - 600_000);
    expect(report.timestamp).toMatch(/Z$/);
    expect(report.duration).toMatch(/^(\d+h )?(\d+m )?[\d.]+(s|ms)$/);
    expect(report.durationSeconds).toBeGreaterThan(0);
    for (const path of Object.values(report.artifacts as Record<string, string>))
      expect(bytes(path), path).toBeGreaterThan(0);
  });
});

describe("train", () => {
  test("metadata", () => {
    expect(trained.metadata).toMatchObject({
      algorithm: "RandomForestClassifier",
      samplesProcessed: 426,
      features: 3,
      crossValidationFolds: 5,
    });
    expect(trained.metadata.modelSizeBytes).toBe(bytes("models/rf_run1/model.pkl"));
    expect(trained.metadata.modelSize).toMatch(sizeInWords(trained.metadata.modelSizeBytes));
    expect(trained.metadata.python).toMatchObject({
      executable: expect.any(String),
      version: expect.any(String),
      kind: expect.any(String),
      packages: { "scikit-learn": expect.any(String) },
    });
  });
  test("metrics", () => {
    close(trained.metrics.crossValidation, plain.crossValidation);
    close(trained.metrics.finalModel, plain.finalModel);
  });
  test("artifacts", () => {
    expect(trained.artifacts).toMatchObject({
      model: "models/rf_run1/model.pkl",
      scaler: "models/rf_run1/scaler.pkl",
      featureImportances: "models/rf_run1/feature_importances.csv",
      metricsPlot: "models/rf_run1/cv_metrics.png",
    });
    close(plain.savedProbabilities, plain.probabilities);
    close(plain.savedScalerMean, plain.scalerMean);
    const [head, ...rows] = csv(trained.artifacts.featureImportances);
    expect(head).toEqual(["feature", "importance"]);
    close(
      Object.fromEntries(rows.map(([name, value]) => [name, Number(value)])),
      plain.importances,
    );
    expect(png(trained.artifacts.metricsPlot)).toBe("PNG");
  });
});

describe("evaluate", () => {
  test("metadata", () => {
    const { samplesEvaluated, inferenceTime, avgInferenceTimePerSample } = evaluated.metadata;
    expect(samplesEvaluated).toBe(143);
    for (const time of [inferenceTime, avgInferenceTimePerSample])
      expect(time).toMatch(/^[\d.]+(m|µ|n)?s$/);
  });
  test("metrics", () => {
    const { classificationReport, ...rest } = plain.evaluation;
    close(evaluated.metrics, rest);
    for (const label of plain.classes) {
      const { precision, recall, "f1-score": f1 } = classificationReport[label];
      close(evaluated.metrics.classificationReport[`class_${label}`], { precision, recall, f1 });
    }
  });
  test("artifacts", () => {
    const { predictionsCSV, confusionMatrixPlot, rocCurve } = evaluated.artifacts;
    expect(predictionsCSV).toBe("evaluation/predictions.csv");
    expect([confusionMatrixPlot, rocCurve]).toEqual([
      "evaluation/confusion_matrix.png",
      "evaluation/roc_curve.png",
    ]);
    expect([png(confusionMatrixPlot), png(rocCurve)]).toEqual(["PNG", "PNG"]);
    const [head, ...rows] = csv(predictionsCSV);
    const column = head!.findIndex((name) => name.startsWith("predicted"));
    expect(rows.map((row) => row[column])).toEqual(plain.predicted);
  });
});

describe("predict", () => {
  test("predictions", () => {
    const { format, shape, outputFile, samplePredictions } = predicted.predictions;
    expect([format, shape, outputFile]).toEqual([
      "probabilities",
      [143, 2],
      "predictions/predictions.csv",
    ]);
    for (const [i, sample] of (samplePredictions as Json[]).entries()) {
      expect(sample).toMatchObject({ sample_id: i, predicted_class: plain.predicted[i] });
      close(sample.probabilities, plain.probabilities[i]);
      close(sample.confidence, Math.max(...plain.probabilities[i]));
    }
  });
  test("metadata", () => {
    expect(predicted.metadata.samplesProcessed).toBe(143);
    for (const key of ["inferenceTime", "avgInferenceTimePerSample"])
      expect(predicted.metadata[key]).toMatch(/^[\d.]+(m|µ|n)?s$/);
  });
  test("artifacts", () => {
    expect(predicted.artifacts).toMatchObject({
      predictionsCSV: "predictions/predictions.csv",
      predictionsJSON: "predictions/predictions.json",
    });
    const all = JSON.parse(readFileSync(at(predicted.artifacts.predictionsJSON), "utf8"));
    const list = Array.isArray(all) ? all : all.predictions;
    expect(list).toHaveLength(143);
    close(
      list.map(({ probabilities }: Json) => probabilities),
      plain.probabilities,
    );
    const [head, ...rows] = csv(predicted.artifacts.predictionsCSV);
    const column = head!.findIndex((name) => name.startsWith("predicted"));
    expect(rows.map((row) => row[column])).toEqual(plain.predicted);
  });
});
