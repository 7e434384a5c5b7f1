import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { data, eventsOf, jobOf, Server, until } from "./client.js";

/** Fine-tuning as an agent asks for it: what train saved, weights of unknown origin, and what is refused. */

type Json = Record<string, any>;

const SCRIPT = `
from torch import nn

class Net(nn.Module):
    def __init__(self, in_features, num_classes, hidden=16):
        super().__init__()
        self.encoder = nn.ModuleDict({
            "embed": nn.Sequential(nn.Linear(in_features, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            "layer": nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(3)]),
        })
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, rows):
        rows = self.encoder["embed"](rows)
        for layer in self.encoder["layer"]:
            rows = layer(rows).relu()
        return self.classifier(rows)
`;

let server: Server;
const path = (name: string) => join(server.cwd, name);

/** A table of the rows of another whose target is one of these. */
function only(source: string, column: string, labels: string[], name: string): void {
  const [head = "", ...rows] = readFileSync(source, "utf8").trim().split("\n");
  const place = head.split(",").indexOf(column);
  const kept = rows.filter((row) => labels.includes(row.split(",")[place] ?? ""));
  writeFileSync(path(name), [head, ...kept].join("\n"));
}

const TRAIN = {
  framework: "pytorch",
  config: {
    modelScript: "net.py",
    dataPath: "two.csv",
    targetColumn: "species",
    featureScaling: "standard",
    epochs: 15,
    batchSize: 16,
    learningRate: 0.01,
  },
  outputDir: "models/base",
  gpuEnabled: false,
};
const fineTune = (config: Json = {}, more: Json = {}): Json => ({
  framework: "pytorch",
  config: {
    pretrainedModel: "models/base",
    dataPath: data("iris.csv"),
    epochs: 10,
    batchSize: 16,
    learningRate: 0.01,
    ...config,
  },
  gpuEnabled: false,
  ...more,
});

const NUMBERS = ["sepal_length", "sepal_width", "petal_width"];

beforeAll(async () => {
  server = await Server.start({ env: { CUDA_VISIBLE_DEVICES: "" } });
  writeFileSync(path("net.py"), SCRIPT);
  only(data("iris.csv"), "species", ["setosa", "versicolor"], "two.csv");
  const report = await server.report("train", TRAIN);
  expect(report.status).toBe("success");
  writeFileSync(path("bare.pt"), readFileSync(path("models/base/best_model.pt")));
}, 120_000);
afterAll(async () => {
  await server.dispose();
});

describe("what train saved", () => {
  test("for a third class: frozen layers, a new output layer, reported, and used by modelPath alone", async () => {
    const report: Json = await server.report(
      "fine-tune",
      fineTune(
        {
          freezeLayers: ["embed", "encoder.layer.0-1"],
          layerLearningRates: { classifier: 0.02 },
          epochs: 40,
          validationSplit: 0.2,
          scheduler: "cosine_annealing",
        },
        { outputDir: "models/iris", framework: "auto" },
      ),
    );
    expect(report).toMatchObject({
      action: "fine-tune",
      framework: "pytorch",
      exitCode: 0,
      status: "success",
      outputDir: "models/iris",
      metadata: {
        algorithm: "Net",
        task: "classification",
        classes: 3,
        epochs: 40,
        samplesProcessed: 120,
        validationSamples: 30,
        frameworkResolved: "the pretrained model is PyTorch's",
        pretrained: {
          path: "models/base",
          algorithm: "Net",
          classes: 2,
          outputsBefore: 2,
          newTensors: ["classifier.weight", "classifier.bias"],
          // 2 of the embedding, 5 of BatchNorm, 2 for each of 3 layers.
          tensorsTaken: 13,
        },
        frozen: [
          {
            pattern: "embed",
            modules: ["encoder.embed"],
            tensors: 7,
            parameters: 4 * 16 + 16 + 32,
          },
          {
            pattern: "encoder.layer.0-1",
            modules: ["encoder.layer.0", "encoder.layer.1"],
            tensors: 4,
            parameters: 2 * (16 * 16 + 16),
          },
        ],
        layerLearningRates: [{ pattern: "classifier", learningRate: 0.02, tensors: 2 }],
        trainableParameters: 16 * 16 + 16 + 16 * 3 + 3,
        modelParameters: 4 * 16 + 16 + 32 + 3 * (16 * 16 + 16) + 16 * 3 + 3,
      },
      metrics: { val_accuracy: expect.any(Number) },
      artifacts: { bestModel: "models/iris/best_model.pt", lossPlot: "models/iris/loss.png" },
    });
    expect(report.metadata.defaults).toMatchObject({
      targetColumn: "species",
      featureScaling: "standard",
      lossFunction: "CrossEntropyLoss",
    });
    expect(report.warnings.join("\n")).toContain("its output layer is new");
    expect(report.metrics.val_accuracy).toBeGreaterThan(0.8);
    const evaluated: Json = await server.report("evaluate", {
      config: { modelPath: "models/iris", dataPath: data("iris.csv") },
    });
    expect(evaluated.metadata.classes).toEqual(["setosa", "versicolor", "virginica"]);
    expect(evaluated.metrics.accuracy).toBeGreaterThan(0.8);
    const predicted = await server.report("predict", {
      config: { modelPath: "models/iris/best_model.pt", inputData: data("iris.csv") },
      outputDir: "predictions",
    });
    expect(predicted.metadata).toMatchObject({ algorithm: "Net" });
  });

  test("the same classes: every tensor is taken over, and it goes on where it was", async () => {
    const { metadata, metrics, warnings }: Json = await server.report(
      "fine-tune",
      fineTune({ dataPath: "two.csv", epochs: 1, learningRate: 1e-4 }),
    );
    expect(metadata.pretrained).not.toHaveProperty("newTensors");
    expect(metadata.pretrained.tensorsTaken).toBe(15);
    expect(metrics.train_accuracy).toBeGreaterThan(0.95);
    expect((warnings ?? []).join()).not.toContain("output layer");
  });

  test("one that was stopped goes on by the call that its error proposes", async () => {
    const config = { epochs: 100_000, freezeLayers: ["embed"], validationSplit: 0.2 };
    const { structuredContent } = await server.call("fine-tune", {
      ...fineTune(config, { outputDir: "models/long" }),
      waitSeconds: 0,
    });
    const { id } = jobOf({ structuredContent });
    await until("it has learned for a while", () =>
      eventsOf(server, id).some(({ type, done }) => type === "progress" && done >= 3),
    );
    await server.call("job-cancel", { jobId: id });
    const ended: Json = (await server.finish("job-status", { jobId: id, waitSeconds: 50 }))
      .structuredContent!;
    expect(ended.error).toMatchObject({ type: "cancelled", nextCall: { tool: "resume" } });
    const { done } = ended.error.metadata.lastCheckpoint;
    const more = ended.error.nextCall.arguments;
    const report: Json = await server.report("resume", {
      ...more,
      config: { ...more.config, epochs: done + 5 },
    });
    expect(report.metadata).toMatchObject({
      finalEpoch: done + 5,
      resumedFrom: { jobId: id, unit: "epoch" },
      frozen: [{ pattern: "embed", tensors: 7 }],
    });
    expect(report.action).toBe("resume");
  });

  test("what a fine-tuning saved can be fine-tuned again", async () => {
    const { metadata }: Json = await server.report(
      "fine-tune",
      fineTune({ pretrainedModel: "models/iris/last_model.pt", dataPath: "two.csv", epochs: 1 }),
    );
    expect(metadata).toMatchObject({ classes: 2, pretrained: { classes: 3, outputsBefore: 3 } });
  });

  test("other labels of the same number are told", async () => {
    only(data("iris.csv"), "species", ["setosa", "virginica"], "others.csv");
    const { warnings }: Json = await server.report(
      "fine-tune",
      fineTune({ dataPath: "others.csv" }),
    );
    expect(warnings.join()).toMatch(/setosa, virginica.*setosa, versicolor.*learns them anew/);
  });
});

describe("weights of unknown origin", () => {
  test("with modelScript, and a new output layer", async () => {
    const { metadata }: Json = await server.report(
      "fine-tune",
      fineTune({ pretrainedModel: "bare.pt", modelScript: "net.py", targetColumn: "species" }),
    );
    expect(metadata.pretrained).toEqual({
      path: "bare.pt",
      tensorsTaken: 13,
      newTensors: ["classifier.weight", "classifier.bias"],
      outputsBefore: 2,
    });
  });
});

interface Fault {
  name: string;
  config: Json;
  more?: Json;
  error: Json;
  says: RegExp;
}

const FAULTS: Fault[] = [
  {
    name: "no pretrained model",
    config: { pretrainedModel: undefined },
    error: { type: "invalid-configuration", metadata: { key: "config.pretrainedModel" } },
    says: /config.pretrainedModel/,
  },
  {
    name: "one that is not there",
    config: { pretrainedModel: "models/bsae" },
    error: { type: "model-loading-error", metadata: { key: "config.pretrainedModel" } },
    says: /no model at .*bsae/,
  },
  {
    name: "a model of a framework that does not fine-tune",
    config: { pretrainedModel: "models/forest" },
    more: { framework: "auto" },
    error: {
      type: "invalid-configuration",
      metadata: { key: "config.pretrainedModel", allowed: ["pytorch"] },
    },
    says: /a model of scikit-learn.*it takes models of PyTorch/,
  },
  {
    name: "a framework that does not fine-tune",
    config: {},
    more: { framework: "sklearn" },
    error: { type: "invalid-configuration", metadata: { allowed: ["pytorch"] } },
    says: /scikit-learn cannot fine-tune/,
  },
  {
    name: "a pattern that matches nothing",
    config: { freezeLayers: ["classifer"] },
    error: {
      type: "invalid-configuration",
      metadata: { key: "config.freezeLayers", sent: "classifer", nearest: "classifier" },
      nextCall: { arguments: { config: { freezeLayers: ["classifier"] } } },
    },
    says: /'classifer' matches nothing in Net/,
  },
  {
    name: "everything frozen",
    config: { freezeLayers: ["encoder", "classifier"] },
    error: { type: "invalid-configuration", metadata: { key: "config.freezeLayers" } },
    says: /freezes all 979 parameters of Net/,
  },
  {
    name: "a rate for what is frozen",
    config: { freezeLayers: ["encoder"], layerLearningRates: { "encoder.layer": 0.1 } },
    error: { type: "invalid-configuration", metadata: { key: "config.layerLearningRates" } },
    says: /all its 6 tensors are frozen/,
  },
  {
    name: "inputs of another width",
    config: { featureColumns: ["sepal_length", "sepal_width"] },
    error: { type: "invalid-configuration", metadata: { shape: [2], expected: [4] } },
    says: /takes 4 features, and the data have 2/,
  },
  {
    name: "data without a column that it was trained on",
    config: { dataPath: "three.csv" },
    error: {
      type: "invalid-configuration",
      metadata: { key: "featureColumns", sent: "petal_width" },
      solution: expect.stringContaining("Send config.featureColumns for these data"),
    },
    says: /'petal_width' is not a column of .*three.csv.*that of the pretrained model/,
  },
  {
    name: "fewer columns, and no scaling",
    config: {
      dataPath: "three.csv",
      featureColumns: ["sepal_length", "sepal_width", "petal_length"],
      featureScaling: "none",
    },
    error: {
      type: "invalid-configuration",
      metadata: { shape: [3], expected: 4, layer: "encoder.embed.0" },
    },
    says: /shape \(3,\) do not go through the pretrained Net \(encoder.embed.0 takes 4\)/,
  },
  {
    name: "data of another kind",
    config: { dataPath: "pictures" },
    error: { type: "invalid-configuration", metadata: { found: "images", expected: "table" } },
    says: /pictures' is read as images, and .* was trained on a table/,
  },
  {
    name: "a loss of the pretrained model that the target is not for",
    config: { targetColumn: "petal_length", featureColumns: NUMBERS, featureScaling: "none" },
    error: { type: "invalid-configuration", metadata: { key: "config.lossFunction" } },
    says: /loss is for classes.*that of the pretrained model/,
  },
  {
    name: "weights without the script of their model",
    config: { pretrainedModel: "bare.pt", targetColumn: "species" },
    error: { type: "invalid-configuration", metadata: { key: "config.modelScript" } },
    says: /bare.pt' holds weights, and not the model/,
  },
  {
    name: "weights of another model",
    config: {
      pretrainedModel: "bare.pt",
      modelScript: "net.py",
      modelArgs: { hidden: 8 },
      targetColumn: "species",
    },
    error: { type: "model-loading-error", metadata: { shapes: {} } },
    says: /encoder.embed.0.weight is \(16, 4\) in the file and \(8, 4\) in the model/,
  },
  {
    name: "a file that is no model",
    config: { pretrainedModel: "net.py" },
    error: { type: "model-loading-error" },
    says: /no model of a known format: it is text/,
  },
  {
    name: "a script beside a model that has its own",
    config: { modelScript: "net.py" },
    error: {
      type: "invalid-configuration",
      metadata: { key: "config.modelScript" },
      nextCall: { tool: "fine-tune" },
    },
    says: /saved with a script of its own/,
  },
  {
    name: "a key of other algorithms",
    config: { hyperparameters: { max_depth: 3 } },
    error: { type: "invalid-configuration" },
    says: /hyperparameters/,
  },
  {
    name: "one rate for layers of several",
    config: {
      layerLearningRates: { classifier: 0.1 },
      scheduler: "one_cycle",
      schedulerArgs: { max_lr: 0.1 },
    },
    error: { type: "invalid-configuration", metadata: { key: "config.schedulerArgs.max_lr" } },
    says: /would replace the 2 learning rates/,
  },
];

describe("what is refused", () => {
  beforeAll(async () => {
    const rows = readFileSync(data("iris.csv"), "utf8").trim().split("\n");
    const without = rows.map((row) =>
      row
        .split(",")
        .filter((_, place) => place !== 3)
        .join(),
    );
    writeFileSync(path("three.csv"), without.join("\n"));
    mkdirSync(path("pictures"));
    await server.report("train", {
      framework: "sklearn",
      config: {
        dataPath: data("iris.csv"),
        algorithm: "DecisionTreeClassifier",
        targetColumn: "species",
      },
      outputDir: "models/forest",
    });
  });
  test.each(FAULTS)("$name", async ({ config, more, error: expected, says }) => {
    const error = await server.error("fine-tune", fineTune(config, more));
    expect(error).toMatchObject(expected);
    expect(error.message).toMatch(says);
    expect(error.solution.length).toBeGreaterThan(10);
  });

  test("a divergence proposes a tenth of every rate", async () => {
    const rates = { classifier: 1e20 };
    const error = await server.error(
      "fine-tune",
      fineTune({ learningRate: 1e20, layerLearningRates: rates, optimizer: "sgd" }),
    );
    expect(error).toMatchObject({
      type: "training-diverged",
      nextCall: {
        tool: "fine-tune",
        arguments: { config: { learningRate: 1e19, layerLearningRates: { classifier: 1e19 } } },
      },
    });
  });

  test("after all that, nothing is left running", async () => {
    await server.expectUnhurt();
  });
});
