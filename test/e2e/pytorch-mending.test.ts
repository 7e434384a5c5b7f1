import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { data, Server } from "./client.js";

/** What agents get wrong at first, and are given back as a call that works; going on with a run. */

type Json = Record<string, any>;

const NET = `from torch import nn

class Net(nn.Module):
    def __init__(self, in_features, num_classes=1):
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)

    def forward(self, inputs):
        return self.layer(inputs)
`;

const GREY = `from torch import nn

class Grey(nn.Sequential):
    def __init__(self, num_classes):
        pool = nn.AdaptiveAvgPool2d(1)
        super().__init__(nn.Conv2d(1, 4, 3), pool, nn.Flatten(), nn.Linear(4, num_classes))
`;

const SCANS = `
import pathlib
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
digits = load_digits()
for number in range(60):
    folder = pathlib.Path("scans", str(digits.target[number]))
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((digits.images[number] * 15).astype(np.uint8)).save(folder / f"{number}.png")
`;

let server: Server;
beforeAll(async () => {
  server = await Server.start({ env: { CUDA_VISIBLE_DEVICES: "" } });
  writeFileSync(join(server.cwd, "net.py"), NET);
  writeFileSync(join(server.cwd, "grey.py"), GREY);
  execFileSync(inject("python"), ["-c", SCANS], { cwd: server.cwd });
});
afterAll(async () => {
  await server.dispose();
});

const iris = (config: Json = {}, more: Json = {}): Json => ({
  framework: "pytorch",
  config: {
    modelScript: "net.py",
    dataPath: data("iris.csv"),
    targetColumn: "species",
    epochs: 3,
    ...config,
  },
  ...more,
});

const mended = async (args: Json, says: RegExp): Promise<Json> => {
  const error = await server.error("train", args);
  expect(`${error.message} ${error.solution}`).toMatch(says);
  const next = error.nextCall as any;
  return await server.report(next.tool, next.arguments);
};

test("a script that imports the library says which framework it is", async () => {
  const { framework: _, ...args } = iris();
  const report = await server.report("train", args);
  expect(report.framework).toBe("pytorch");
  expect(report.metadata!.frameworkResolved).toBe("the modelScript imports torch");
});

const TYPOS: [string, Json][] = [
  ["optimizer", { optimizer: "adm" }],
  ["lossFunction", { lossFunction: "cross_entropi" }],
  ["an optimizer's argument", { optimizerArgs: { weigth_decay: 0.1 } }],
  [
    "earlyStopping.metric",
    { validationSplit: 0.2, earlyStopping: { patience: 2, metric: "val_acuracy" } },
  ],
];

test.each(TYPOS)("%s, misspelt: nextCall trains", async (_, config) => {
  await mended(iris(config), /Did you mean/);
});

test("a model for grey images: nextCall reads them so", async () => {
  const report = await mended(
    { framework: "pytorch", config: { modelScript: "grey.py", dataPath: "scans", epochs: 1 } },
    /colorMode: grayscale/,
  );
  expect(report.metadata!.inputShape).toEqual([1, 8, 8]);
});

test("numbers are not learned as hundreds of classes", async () => {
  const config = { dataPath: data("diabetes.csv"), targetColumn: "target" };
  const error = await server.error("train", iris({ ...config, lossFunction: "cross_entropy" }));
  expect(error).toMatchObject({
    type: "invalid-configuration",
    metadata: { key: "config.lossFunction" },
  });
  expect(error.message).toMatch(/distinct numbers/);
});

test("a run that stopped early goes on to the epochs asked for", async () => {
  const stopping = { patience: 1, minDelta: 1e9, metric: "val_loss" };
  const config = { epochs: 9, validationSplit: 0.2, earlyStopping: stopping, scheduler: "step_lr" };
  const first = await server.report("train", iris(config, { outputDir: "early" }));
  expect(first.metadata).toMatchObject({ earlyStopped: true, finalEpoch: 2 });
  const more = await server.report("resume", { config: { runDir: "early", epochs: 3 } });
  expect(more.metadata).toMatchObject({ earlyStopped: false, finalEpoch: 3, bestEpoch: 1 });
  expect(more.warnings!.join(" ")).toMatch(/patience counts anew/);
  const [head, ...rows] = readFileSync(join(server.cwd, "early/metrics.csv"), "utf8")
    .trim()
    .split("\n");
  expect(head).toMatch(/,learning_rate$/);
  expect(rows).toHaveLength(3);
});

test("epochs is the new total: who sends those to add gets the sum", async () => {
  await server.report("train", iris({}, { outputDir: "sum" }));
  const error = await server.error("resume", { config: { runDir: "sum", epochs: 2 } });
  expect(error.solution).toMatch(/new total: for 2 more send 5/);
  const { tool, arguments: args } = error.nextCall as any;
  expect((await server.report(tool, args)).metadata).toMatchObject({ finalEpoch: 5 });
  const other = await server.error("resume", {
    config: { checkpointPath: "sum/best_model.pt", epochs: 9 },
  });
  expect(other.message).toMatch(/best_model\.pt.*no checkpoint lies beside it/);
});
