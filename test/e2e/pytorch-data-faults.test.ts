import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { data, Server, until } from "./client.js";

/** Data, weights and settings that a network cannot be trained on; divergence; an epoch cut short. */

type Json = Record<string, any>;

const MODEL = `import torch, time, os
from torch import nn

class Model(nn.Module):
    def __init__(self, in_features, num_classes=1, norm=False, pause=0.0):
        super().__init__()
        self.norm = nn.BatchNorm1d(in_features) if norm else nn.Identity()
        self.layer = nn.Linear(in_features, num_classes)
        self.pause = pause

    def forward(self, inputs):
        if self.training and self.pause and not os.path.exists("quick"):
            time.sleep(self.pause)
        return self.layer(nn.functional.dropout(self.norm(inputs), 0.2, self.training))

class Images(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        size = input_shape[0] * input_shape[1] * input_shape[2]
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(size, num_classes))

    def forward(self, inputs):
        return self.layer(inputs)
`;

/** Folders of images of two classes, and a model's weights, whole and otherwise. */
const FILES = `
import pathlib, os
import numpy as np, torch
from PIL import Image
def folder(name, sizes=((6, 6),) * 20):
    for number, size in enumerate(sizes):
        path = pathlib.Path(name, "ab"[number % 2], f"{number:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(values).save(path)
    return pathlib.Path(name)
broken = folder("broken", ((6, 6),) * 600)
# Not one of those that are looked at before a training.
image = broken / "b" / "301.png"
image.write_bytes(image.read_bytes()[:60])
folder("mixed", [(6, 6), (6, 6), (8, 6)] * 4)
folder("hollow").joinpath("c").mkdir()
folder("one").joinpath("b").rename("elsewhere")
pathlib.Path("nothing").mkdir()
class Malicious:
    def __reduce__(self):
        return os.system, (f"touch '{os.getcwd()}/has-run'",)
state = {"layer.weight": torch.zeros(3, 4), "layer.bias": torch.zeros(3)}
torch.save(state, "good.pt")
torch.save({**state, "layer.weight": torch.zeros(3, 9)}, "wide.pt")
torch.save({**state, "more": Malicious()}, "malicious.pt")
torch.save({**state, "more": Malicious()}, "old.pt", _use_new_zipfile_serialization=False)
whole = pathlib.Path("good.pt").read_bytes()
pathlib.Path("truncated.pt").write_bytes(whole[: len(whole) // 2])
pathlib.Path("corrupt.pt").write_bytes(whole[:200] + bytes(64) + whole[264:])
pathlib.Path("empty.pt").write_bytes(b"")
`;

let server: Server;
beforeAll(async () => {
  server = await Server.start({
    env: { ML_EXECUTOR_CHECKPOINT_SECONDS: "0", CUDA_VISIBLE_DEVICES: "" },
  });
  writeFileSync(join(server.cwd, "net.py"), MODEL);
  execFileSync(inject("python"), ["-c", FILES], { cwd: server.cwd });
  const row = (i: number) => `${i % 2 ? 1 : -1},${(i % 2 ? 3 : -3) + (i % 5) / 10}`;
  writeFileSync(
    join(server.cwd, "line.csv"),
    `x,y\n${Array.from({ length: 100 }, (_, i) => row(i)).join("\n")}\n`,
  );
  const iris = readFileSync(data("iris.csv"), "utf8").trim().split("\n");
  const [head = "", ...rows] = iris;
  const gap = rows.map((line, i) => (i === 6 ? line.replace(/^[^,]*/, "") : line));
  writeFileSync(join(server.cwd, "gap.csv"), [head, ...gap].join("\n"));
  const text = rows.map((line, i) => `${["red", "blue"][i % 2]},${line}`);
  writeFileSync(join(server.cwd, "text.csv"), [`colour,${head}`, ...text].join("\n"));
  writeFileSync(join(server.cwd, "odd.csv"), [head, ...rows.slice(0, 33)].join("\n"));
});
afterAll(async () => {
  await server.dispose();
});

const call = (config: Json, more: Json = {}): Json => ({
  framework: "pytorch",
  config: {
    modelScript: "net.py",
    modelClass: "Model",
    dataPath: data("iris.csv"),
    targetColumn: "species",
    lossFunction: "cross_entropy",
    epochs: 2,
    ...config,
  },
  gpuEnabled: false,
  ...more,
});
const images = (folder: string, config: Json = {}): Json =>
  call({ dataPath: folder, modelClass: "Images", targetColumn: undefined, ...config });

interface Fault {
  name: string;
  args: Json;
  error: Json;
  says: RegExp;
}
const invalid = (key: string) => ({
  type: "invalid-configuration",
  exitCode: 2,
  metadata: { key },
});

const FAULTS: Fault[] = [
  {
    name: "epochs missing",
    args: call({ epochs: undefined }),
    error: invalid("config.epochs"),
    says: /epochs/,
  },
  {
    name: "targetColumn missing",
    args: call({ targetColumn: undefined }),
    error: invalid("config.targetColumn"),
    says: /targetColumn/,
  },
  {
    name: "a target that is not there",
    args: call({ targetColumn: "specie" }),
    error: { type: "invalid-configuration" },
    says: /specie.*species/s,
  },
  {
    name: "a column of text",
    args: call({ dataPath: "text.csv" }),
    error: { type: "invalid-configuration" },
    says: /'colour'/,
  },
  {
    name: "a missing value",
    args: call({ dataPath: "gap.csv" }),
    error: { type: "data-loading-error" },
    says: /sepal_length/,
  },
  {
    name: "a single row left over for BatchNorm",
    args: call({ dataPath: "odd.csv", batchSize: 8, modelArgs: { norm: true } }),
    error: { type: "training-failure", metadata: { inputShape: [1, 4] } },
    says: /more than 1 value per channel/,
  },
  ...[0, 2].map((numWorkers) => ({
    name: `an image that is cut off, read by ${numWorkers} workers`,
    args: images("broken", { numWorkers }),
    error: {
      type: "data-loading-error",
      exitCode: 1,
      metadata: { file: expect.stringMatching(/301\.png$/) },
    },
    says: /301\.png.*cut off/,
  })),
  {
    name: "images of several sizes",
    args: images("mixed"),
    error: invalid("config.imageSize"),
    says: /6 x 6 \(8\).*8 x 6 \(4\)/,
  },
  {
    name: "images of one class",
    args: images("one"),
    error: { type: "data-loading-error" },
    says: /class/,
  },
  {
    name: "a folder of nothing",
    args: images("nothing"),
    error: { type: "data-loading-error" },
    says: /empty/,
  },
];

test.each(FAULTS)("$name", async ({ args, error: expected, says }) => {
  const error = await server.error("train", args);
  expect(error).toMatchObject(expected);
  expect(error.message).toMatch(says);
  expect(error.solution.length).toBeGreaterThan(10);
});

test("a class without images is told, and left out", async () => {
  const report = await server.report("train", images("hollow"));
  expect(report.metadata.classes).toBe(2);
  expect(report.warnings?.join("\n")).toMatch(/no images in 'c'/);
});

test("a batch larger than the data is all of them", async () => {
  const report = await server.report("train", call({ batchSize: 100_000 }));
  expect(report.metadata).toMatchObject({ samplesProcessed: 150 });
});

test("a GPU is asked for, and there is none: told, and trained on the CPU", async () => {
  const report = await server.report("train", call({}, { gpuEnabled: true }));
  expect(report).toMatchObject({ gpuUsed: false, metadata: { device: "cpu" } });
  expect(report.warnings?.join("\n")).toMatch(/gpuEnabled: computed on the CPU/);
});

test("a loss that becomes infinite: where, and the call that learns", async () => {
  const line = call({
    dataPath: "line.csv",
    targetColumn: "y",
    lossFunction: "mse",
    optimizer: "sgd",
    learningRate: 5,
    batchSize: 10,
    epochs: 5,
  });
  const error = await server.error("train", line);
  expect(error).toMatchObject({
    type: "training-diverged",
    exitCode: 1,
    metadata: { learningRate: 5, epoch: expect.any(Number), step: expect.any(Number) },
  });
  expect(error.metadata!.epoch).toBeGreaterThan(1);
  expect(error.metadata!.lastValidLoss).toBeGreaterThan(1e6);
  expect(error.nextCall).toMatchObject({ tool: "train" });
  const { tool, arguments: args } = error.nextCall as any;
  const report = await server.report(tool, args);
  expect(report.metrics!.train_loss).toBeLessThan(10);
});

const WEIGHTS: [string, RegExp][] = [
  ["wide.pt", /layer\.weight.*\(3, 9\).*\(3, 4\)/],
  ["truncated.pt", /cut off|damaged/],
  ["corrupt.pt", /damaged|cut off/],
  ["empty.pt", /empty/],
  ["malicious.pt", /asks for 'posix\.system'.*none of it was run/],
  ["old.pt", /asks for 'posix\.system'.*none of it was run/],
];

test.each(WEIGHTS)("%s for evaluate and predict", async (name, says) => {
  const model = {
    modelPath: name,
    modelScript: "net.py",
    modelClass: "Model",
    modelArgs: { in_features: 4, num_classes: 3 },
  };
  for (const [tool, config] of [
    ["evaluate", { dataPath: data("iris.csv"), targetColumn: "species" }],
    ["predict", { inputData: data("iris.csv") }],
  ] as const) {
    const error = await server.error(tool, {
      framework: "pytorch",
      config: { ...model, ...config },
    });
    expect(error).toMatchObject({ type: "model-loading-error", exitCode: 1 });
    expect(error.message).toMatch(says);
    expect(existsSync(join(server.cwd, "has-run"))).toBe(false);
  }
});

test("the executor's own model, its file cut off or changed", async () => {
  await server.report("train", call({}, { outputDir: "own" }));
  for (const change of ["cut", "changed"]) {
    const path = join(server.cwd, "own/best_model.pt");
    const whole = readFileSync(path);
    if (change === "cut") truncateSync(path, 300);
    else writeFileSync(path, readFileSync(join(server.cwd, "malicious.pt")));
    const error = await server.error("predict", {
      config: { modelPath: "own", inputData: data("iris.csv") },
    });
    expect(error.type).toBe("model-loading-error");
    expect(error.message).toContain("has changed since it was described");
    expect(existsSync(join(server.cwd, "has-run"))).toBe(false);
    writeFileSync(path, whole);
  }
});

test("labels that the network has never seen are refused, whatever reads them", async () => {
  await server.report("train", call({}, { outputDir: "three" }));
  writeFileSync(
    join(server.cwd, "strange.csv"),
    readFileSync(data("iris.csv"), "utf8").replace(/virginica$/m, "orchid"),
  );
  const error = await server.error("evaluate", {
    config: { modelPath: "three", dataPath: "strange.csv" },
  });
  expect(error).toMatchObject({
    type: "data-loading-error",
    metadata: { column: "species", unknown: ["orchid"] },
  });
});

test("one row left over for BatchNorm: nextCall trains", async () => {
  const error = await server.error(
    "train",
    call({ dataPath: "odd.csv", batchSize: 8, modelArgs: { norm: true } }),
  );
  expect(error.solution).toMatch(/33 rows, 8 a batch.*batchSize: 9/);
  const { tool, arguments: args } = error.nextCall as any;
  expect((await server.report(tool, args)).status).toBe("success");
});

test("cancelled within an epoch, resumed by nextCall: as in one go", async () => {
  const args = (outputDir: string) =>
    call(
      {
        batchSize: 4,
        epochs: 3,
        validationSplit: 0.2,
        modelArgs: { pause: 0.2, norm: true },
        seed: 3,
      },
      { outputDir },
    );
  const started = (await server.call("train", { ...args("cut"), waitSeconds: 0 }))
    .structuredContent as Json;
  const id = started.job.id;
  const events = () =>
    readFileSync(join(server.home, "jobs", id, "events.ndjson"), { encoding: "utf8", flag: "a+" });
  await until("it is within an epoch", () => /"done": ?0\.[1-9]/.test(events()), 60);
  await server.call("job-cancel", { jobId: id });
  const error = await server.error("job-status", { jobId: id });
  expect(error).toMatchObject({ type: "cancelled", exitCode: 130, nextCall: { tool: "resume" } });
  // The whole epochs behind it: none, or few.
  expect((error.metadata as Json).lastProgress.done % 1).toBeGreaterThan(0);
  writeFileSync(join(server.cwd, "quick"), "");
  const { tool, arguments: next } = error.nextCall as any;
  const resumed = await server.report(tool, next);
  const whole = await server.report("train", args("whole"));
  expect(resumed.metrics).toEqual(whole.metrics);
  for (const name of ["best_model.pt", "last_model.pt", "optimizer.pt"]) {
    const file = (folder: string) => readFileSync(join(server.cwd, folder, name));
    expect(file("cut").equals(file("whole")), name).toBe(true);
  }
});

test("after all that, a good call works and nothing is left running", async () => {
  expect((await server.report("train", call({}))).status).toBe("success");
  await server.expectUnhurt();
});
