import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { data, ROOT, Server } from "./client.js";

/**
 * The seed's `train` requests for PyTorch and its `evaluate` request, as they stand but for smaller
 * data and fewer epochs; and every field and artifact name of its two reports of a PyTorch training
 * and of its report of an evaluation, each value held against plain PyTorch and scikit-learn, or
 * against the files.
 */

type Json = Record<string, any>;

const PLAIN = join(ROOT, "test/plain/pytorch_seed.py");
const SCRIPTS = join(ROOT, "test/plain/pytorch");

/** The seed's usage protocol: a table, whose target its script alone knows. */
const TABLE = {
  framework: "pytorch",
  config: {
    modelScript: "train_model.py",
    dataPath: "data/train.csv",
    epochs: 6,
    batchSize: 32,
    learningRate: 0.001,
    validationSplit: 0.2,
  },
  outputDir: "models/run1",
  gpuEnabled: true,
};

/** The seed's PyTorch training. */
const IMAGES = {
  framework: "pytorch",
  config: {
    modelScript: "model.py",
    modelClass: "ResNet50",
    dataPath: "data/",
    epochs: 8,
    batchSize: 64,
    learningRate: 0.001,
    optimizer: "adam",
    lossFunction: "cross_entropy",
    scheduler: "cosine_annealing",
    checkpoint: true,
    checkpointInterval: 2,
    validationSplit: 0.2,
    earlyStopping: { patience: 10, metric: "val_loss" },
  },
  outputDir: "models/resnet50_run1",
  gpuEnabled: true,
};

/** The seed's training of an image classification. */
const IMAGENET = {
  framework: "pytorch",
  config: {
    modelScript: "train_resnet.py",
    modelClass: "ResNet50",
    dataPath: "data/imagenet/",
    epochs: 3,
    batchSize: 32,
    learningRate: 0.1,
    optimizer: "sgd",
    momentum: 0.9,
    weightDecay: 0.0001,
    scheduler: "step_lr",
    validationSplit: 0.1,
    checkpointInterval: 1,
  },
  outputDir: "models/resnet50_imagenet",
  gpuEnabled: true,
};

/** The seed's evaluation of the PyTorch training. */
const EVALUATE = {
  framework: "pytorch",
  config: {
    modelPath: "models/resnet50_run1/best_model.pt",
    dataPath: "data/test/",
    batchSize: 64,
    metrics: ["accuracy", "precision", "recall", "f1", "confusion_matrix"],
  },
  gpuEnabled: true,
};

const python = (...args: string[]) =>
  execFileSync(inject("python"), [PLAIN, ...args], { stdio: "inherit" });

let first: Server;
let second: Server;
let plain: Json;
let runs: Record<"table" | "images" | "imagenet", { server: Server; request: Json; report: Json }>;
let evaluated: Json;

beforeAll(async () => {
  const [one, two] = [0, 1].map(() => mkdtempSync(join(tmpdir(), "mlx-torch-seed-"))) as [
    string,
    string,
  ];
  mkdirSync(join(one, "data"));
  copyFileSync(data("wine.csv"), join(one, "data/train.csv"));
  python("images", join(one, "data/imagenet"), "0", "400");
  python("images", join(two, "data/train"), "0", "400");
  python("images", join(two, "data/test"), "400", "200");
  for (const name of ["train_model.py", "train_resnet.py"])
    copyFileSync(join(SCRIPTS, name), join(one, name));
  copyFileSync(join(SCRIPTS, "model.py"), join(two, "model.py"));
  first = await Server.start({ cwd: one });
  second = await Server.start({ cwd: two });
  runs = {
    table: { server: first, request: TABLE, report: await first.report("train", TABLE) },
    imagenet: { server: first, request: IMAGENET, report: await first.report("train", IMAGENET) },
    images: { server: second, request: IMAGES, report: await second.report("train", IMAGES) },
  };
  evaluated = await second.report("evaluate", EVALUATE);
  const asked = {
    table: {
      script: join(one, "train_model.py"),
      class: "Net",
      table: join(one, "data/train.csv"),
      directory: join(one, TABLE.outputDir),
      split: 0.2,
    },
    imagenet: {
      script: join(one, "train_resnet.py"),
      class: "ResNet50",
      images: join(one, "data/imagenet"),
      directory: join(one, IMAGENET.outputDir),
      split: 0.1,
    },
    images: {
      script: join(two, "model.py"),
      class: "ResNet50",
      images: join(two, "data/train"),
      test: join(two, "data/test"),
      directory: join(two, IMAGES.outputDir),
      split: 0.2,
    },
  };
  plain = JSON.parse(
    execFileSync(inject("python"), [PLAIN, "check"], {
      input: JSON.stringify(asked),
      encoding: "utf8",
    }),
  );
}, 400_000);
afterAll(async () => {
  await first.dispose();
  await second.dispose();
});

/** Equal to 1e-5, whatever the nesting: batches are summed in another order. */
function close(actual: unknown, expected: unknown, where = ""): void {
  if (typeof expected === "number")
    expect(Math.abs((actual as number) - expected), where).toBeLessThanOrEqual(1e-5);
  else if (typeof expected === "object" && expected !== null)
    for (const [key, value] of Object.entries(expected))
      close((actual as Json)?.[key], value, `${where}.${key}`);
  else expect(actual, where).toEqual(expected);
}

const png = (path: string) => readFileSync(path).subarray(1, 4).toString();
const csv = (path: string) =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(","));

describe.each(["table", "images", "imagenet"] as const)("the training: %s", (name) => {
  const of = () => ({ ...runs[name], expected: plain[name] as Json });
  const path = (key: string) => join(runs[name].server.cwd, runs[name].report.artifacts[key]);

  test("what it is", () => {
    const { report, request } = of();
    expect(report).toMatchObject({
      action: "train",
      framework: "pytorch",
      exitCode: 0,
      status: "success",
      outputDir: request.outputDir,
    });
    expect(Math.abs(Date.now() - Date.parse(report.timestamp))).toBeLessThan(600_000);
    expect(report.duration).toMatch(/^(\d+h )?(\d+m )?[\d.]+(s|ms)$/);
    // Where there is no GPU, it is said that the CPU was used instead.
    if (report.gpuUsed) {
      expect(report.gpuModel).toEqual(expect.any(String));
      expect(report.metadata.peakGPUMemory).toMatch(/^[\d.]+[KMG]B$/);
    } else expect(report.warnings.join()).toContain("computed on the CPU");
  });

  test("metadata", () => {
    const { report, request, expected } = of();
    const { metadata } = report;
    const series: number[] = report.metrics.validation.loss;
    expect(metadata).toMatchObject({
      epochs: request.config.epochs,
      finalEpoch: request.config.epochs,
      bestEpoch: series.indexOf(Math.min(...series)) + 1,
      earlyStopped: false,
      batchSize: request.config.batchSize,
      samplesProcessed: expected.rows,
      validationSamples: expected.held,
      modelParameters: expected.parameters,
      modelSizeBytes: statSync(path("bestModel")).size,
    });
    expect(metadata.modelSize).toBe(`${(metadata.modelSizeBytes / 1024).toFixed(1)}KB`);
    expect(metadata.trainingTime).toMatch(/^(\d+m )?[\d.]+m?s$/);
    expect(metadata.trainingSeconds).toBeLessThan(report.durationSeconds);
  });

  test("metrics", () => {
    const { report, request, expected } = of();
    const { train, validation } = report.metrics as Record<string, Json>;
    // The saved weights give the figures of their epoch.
    const best = report.metadata.bestEpoch - 1;
    close(
      { loss: validation!.loss[best], accuracy: validation!.accuracy[best] },
      expected.best,
      "best",
    );
    close({ loss: validation!.finalLoss, accuracy: validation!.finalAccuracy }, expected.last);
    const [head, ...rows] = csv(path("metricsCSV"));
    expect(rows).toHaveLength(request.config.epochs);
    for (const [part, short] of [
      ["train", "train"],
      ["validation", "val"],
    ] as const)
      for (const metric of ["loss", "accuracy"]) {
        const figures = report.metrics[part];
        const capital = metric[0]!.toUpperCase() + metric.slice(1);
        const column = head!.indexOf(`${short}_${metric}`);
        expect(figures[metric]).toHaveLength(request.config.epochs);
        close(
          rows.map((row) => Number(row[column])),
          figures[metric],
        );
        expect(figures[`final${capital}`]).toBe(figures[metric].at(-1));
        expect(report.metrics[`${short}_${metric}`]).toBe(figures[metric].at(-1));
        const extreme = metric === "loss" ? Math.min : Math.max;
        expect(figures[`best${capital}`]).toBe(extreme(...figures[metric]));
      }
    // It has learned.
    expect(train!.finalLoss).toBeLessThan(train!.loss[0]);
  });

  test("artifacts", () => {
    const { report, request } = of();
    const names = {
      bestModel: "best_model.pt",
      lastModel: "last_model.pt",
      optimizer: "optimizer.pt",
      trainingLog: "training.log",
      metricsCSV: "metrics.csv",
      lossPlot: "loss.png",
      accuracyPlot: "accuracy.png",
      metricsPlot: "metrics.png",
    };
    for (const [key, file] of Object.entries(names))
      expect(report.artifacts[key]).toBe(`${request.outputDir}/${file}`);
    for (const key of ["lossPlot", "accuracyPlot", "metricsPlot"])
      expect(png(path(key))).toBe("PNG");
    const log = readFileSync(path("trainingLog"), "utf8");
    expect(log.match(/^.*epoch.*loss.*$/gm)?.length ?? 0).toBeGreaterThanOrEqual(
      request.config.epochs,
    );
  });

  test("the optimizer is the one that was asked for, at the end of its schedule", () => {
    const { request, expected } = of();
    const { optimizer, momentum, weightDecay, learningRate, scheduler } = request.config;
    if (optimizer === "sgd")
      expect(expected.optimizer).toMatchObject({ momentum, weight_decay: weightDecay });
    // A third of 3 epochs is 1: a tenth at each of the steps; a cosine ends at 0.
    const end = { step_lr: learningRate / 1000, cosine_annealing: 0 }[scheduler as string];
    close(expected.optimizer.lr, end ?? learningRate);
  });
});

describe("the evaluation", () => {
  test("what it is", () => {
    expect(evaluated).toMatchObject({
      action: "evaluate",
      framework: "pytorch",
      exitCode: 0,
      status: "success",
    });
    expect(evaluated.duration).toMatch(/^(\d+h )?(\d+m )?[\d.]+(s|ms)$/);
  });
  test("metadata", () => {
    expect(evaluated.metadata).toMatchObject({ samplesEvaluated: 200, batchSize: 64 });
    expect(plain.images.test.rows).toBe(200);
    for (const key of ["inferenceTime", "avgInferenceTimePerSample"])
      expect(evaluated.metadata[key]).toMatch(/^[\d.]+(m|µ|n)?s$/);
  });
  test("metrics", () => {
    const { rows: _rows, predicted: _predicted, ...expected } = plain.images.test;
    close(evaluated.metrics, expected);
  });
  test("the training measured the same test images", () => {
    const { testAccuracy } = runs.images.report.metrics.finalModel;
    close(testAccuracy, plain.images.test.accuracy);
  });
  test("artifacts", () => {
    const path = (key: string) => resolve(second.cwd, evaluated.artifacts[key]);
    expect([png(path("confusionMatrixPlot")), png(path("rocCurve"))]).toEqual(["PNG", "PNG"]);
    const [head, ...rows] = csv(path("predictionsCSV"));
    const column = head!.indexOf("predicted_class");
    expect(rows.map((row) => row[column])).toEqual(plain.images.test.predicted);
  });
});
