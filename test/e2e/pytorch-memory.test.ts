import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { data, ROOT, startsServers } from "./client.js";

/** Mixed precision, memory and augmentation of trainings with PyTorch, as an agent calls them. */

type Json = Record<string, any>;

const start = startsServers();

/** A row takes 4 MB in each of two activations of a block, of which there are two. */
const WIDE = `import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0, 1, 1_000_000))

    def forward(self, x):
        return x + (x.mean(1, keepdim=True) * self.weight).tanh().mean(1, keepdim=True)

class Wide(nn.Module):
    def __init__(self, in_features, num_classes):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(in_features, num_classes)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)
`;

const wide = (config: Json = {}, more: Json = {}): Json => ({
  framework: "pytorch",
  config: {
    modelScript: "wide.py",
    modelClass: "Wide",
    dataPath: data("iris.csv"),
    targetColumn: "species",
    epochs: 1,
    batchSize: 32,
    ...config,
  },
  gpuEnabled: false,
  ...more,
});

describe("memory", () => {
  test("a batch beyond the server's memory limit is halved, and the report says what was done", async () => {
    const server = await start({ args: ["--memory-limit", "600MB"] });
    writeFileSync(join(server.cwd, "wide.py"), WIDE);
    const report: Json = await server.report("train", wide());
    const { metadata, warnings } = report;
    expect(metadata.requestedBatchSize).toBe(32);
    expect(metadata.effectiveBatchSize).toBe(32);
    expect([16, 8, 4, 2]).toContain(metadata.batchSize);
    expect(metadata.batchSize * metadata.gradientAccumulation).toBe(32);
    const said = (warnings as string[]).filter((text) => /^Out of memory at epoch 1/.test(text));
    expect(said).toHaveLength(metadata.batchSizeHalvings);
    expect(said[0]).toMatch(/parts of 16, .*effective batch size stays/);

    // Even a single row is beyond it: nothing mends that.
    const script = WIDE.replace("head(x)\n", "head(x) + torch.empty(len(x), 10**12).sum()\n");
    writeFileSync(join(server.cwd, "wider.py"), script);
    const error = await server.error("train", wide({ modelScript: "wider.py" }));
    expect(error).toMatchObject({
      type: "out-of-memory",
      exitCode: 137,
      metadata: { batchSize: 2, triedBatchSizes: [32, 16, 8, 4], modelParameters: 2_000_015 },
      nextCall: { tool: "train", arguments: { config: { batchSize: 1 } } },
    });
    expect(error.solution).toMatch(/currently 2/);
  });

  test("blocks that are computed again, by names that the model has", async () => {
    const server = await start();
    writeFileSync(join(server.cwd, "wide.py"), WIDE);
    const plain: Json = await server.report("train", wide());
    const again: Json = await server.report("train", wide({ gradientCheckpointing: true }));
    expect(again.metadata.gradientCheckpointing).toEqual(["blocks.0", "blocks.1"]);
    expect(again.metrics.train_loss).toBe(plain.metrics.train_loss);
    const error = await server.error("train", wide({ gradientCheckpointing: ["blocks.2"] }));
    expect(error).toMatchObject({
      type: "invalid-configuration",
      metadata: { key: "config.gradientCheckpointing", sent: "blocks.2" },
    });
    expect(error.solution).toMatch(/blocks\.1/);
  });
});

describe("precision and augmentation", () => {
  test("a training of images with all of it, evaluated in the same precision", async () => {
    const server = await start();
    const plain = join(ROOT, "test/plain/pytorch_seed.py");
    const folder = join(server.cwd, "digits");
    execFileSync(inject("python"), [plain, "images", folder, "0", "200"]);
    copyFileSync(join(ROOT, "runners/tests/plain/models/resnet.py"), join(server.cwd, "resnet.py"));
    const config = {
      modelScript: "resnet.py",
      modelClass: "ResNet",
      dataPath: "digits",
      colorMode: "grayscale",
      epochs: 1,
      batchSize: 32,
      validationSplit: 0.2,
      mixedPrecision: "bf16",
      channelsLast: true,
      augment: ["rotate", { type: "crop", padding: 1 }, "mixup"],
    };
    const call = { framework: "pytorch", config, gpuEnabled: false, outputDir: "out" };
    const { metadata } = await server.report("train", call);
    expect(metadata).toMatchObject({
      mixedPrecision: "bf16",
      channelsLast: true,
      augment: ["rotate", "crop", "mixup"],
    });
    const evaluated = await server.report("evaluate", {
      config: { modelPath: "out", dataPath: "digits" },
    });
    expect(evaluated.metadata.mixedPrecision).toBe("bf16");

    const fp16 = { ...call, config: { ...config, mixedPrecision: "fp16" }, overwrite: true };
    const refused = await server.error("train", fp16);
    expect(refused).toMatchObject({
      type: "invalid-configuration",
      metadata: { key: "config.mixedPrecision", sent: "fp16" },
      nextCall: { tool: "train", arguments: { config: { mixedPrecision: "bf16" } } },
    });
    const misspelt = await server.error("train", {
      ...call,
      config: { ...config, augment: [{ type: "rotat" }] },
      overwrite: true,
    });
    expect(misspelt).toMatchObject({
      type: "invalid-configuration",
      metadata: { key: "config.augment[0]", nearest: "rotate" },
    });
  });

  test("tables are not augmented", async () => {
    const server = await start();
    writeFileSync(join(server.cwd, "wide.py"), WIDE);
    const error = await server.error("train", wide({ augment: ["flip"] }));
    expect(error).toMatchObject({
      type: "invalid-configuration",
      metadata: { key: "config.augment", kind: "table" },
    });
    expect(error.message).toMatch(/for images/);
  });
});
