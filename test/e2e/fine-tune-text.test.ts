import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, type TestContext, test } from "vitest";
import { ROOT, Server } from "./client.js";

/**
 * The seed's fine-tune request, as it stands but for a smaller model, less data and a higher learning
 * rate, on a real pretrained model and real texts; held against a plain loop over transformers.
 */

type Json = Record<string, any>;

/** As the documentation has it. */
const EXAMPLE: Json = JSON.parse(
  /```json\n([^`]*)```/.exec(readFileSync(join(ROOT, "docs/text-models.md"), "utf8"))?.[1] ?? "",
);
const { action: ACTION, ...FINE_TUNE } = EXAMPLE;

/** The same for the plain loop. */
const PLAIN = {
  model: FINE_TUNE.config.pretrainedModel,
  data: "data/sentiment_analysis",
  epochs: 1,
  batch: 8,
  lr: 5e-4,
  optimizer: "Adam",
  freeze: ["embeddings", "layer.0", "layer.1", "layer.2", "layer.3"],
  threads: 2,
};
const TRAIN_TEXTS = 1000;
const TEST_TEXTS = 300;

let server: Server;
let report: Json;
let missing: string | null = null;

const plainly = (script: string, cases: Json[]): Json[] =>
  JSON.parse(
    execFileSync(inject("python"), [join(ROOT, "runners/tests/plain", script), server.cwd], {
      input: JSON.stringify(cases),
      encoding: "utf8",
      maxBuffer: 64 * 1024 * 1024,
      stdio: ["pipe", "pipe", "ignore"],
      // Threads that spin while they wait take the cores from whatever else is tested.
      env: { ...process.env, OMP_WAIT_POLICY: "PASSIVE" },
    })
      .trim()
      .split("\n")
      .at(-1) ?? "",
  );

/** Skips where model and texts are not to be had: pip reaches no index that has them. */
function needs(context: TestContext): void {
  if (missing !== null) context.skip(missing);
}

beforeAll(async () => {
  server = await Server.start({ env: { CUDA_VISIBLE_DEVICES: "" } });
  const made = spawnSync(
    inject("python"),
    [join(ROOT, "test/plain/real_text.py"), server.cwd, `${TRAIN_TEXTS}`, `${TEST_TEXTS}`],
    { encoding: "utf8" },
  );
  if (made.status === 3) missing = made.stderr;
  else if (made.status !== 0) throw new Error(made.stderr);
  const library = spawnSync(inject("python"), ["-c", "import transformers"]);
  if (library.status !== 0) missing = "transformers is not installed";
  if (missing === null) report = await server.report(ACTION, FINE_TUNE);
}, 600_000);
afterAll(async () => {
  await server.dispose();
});

describe("the seed's fine-tuning, on a real model and real texts", () => {
  test("what it is", (context) => {
    needs(context);
    expect(report).toMatchObject({
      action: "fine-tune",
      framework: "pytorch",
      status: "success",
      outputDir: "models/bert_sentiment",
      metadata: {
        algorithm: "BertForSequenceClassification",
        task: "classification",
        classes: 2,
        samplesProcessed: TRAIN_TEXTS,
        testSamples: TEST_TEXTS,
        pretrained: {
          path: "models/all-MiniLM-L6-v2",
          modelType: "bert",
          newTensors: ["classifier.bias", "classifier.weight"],
        },
      },
      artifacts: {
        bestModel: "models/bert_sentiment/best_model",
        lastModel: "models/bert_sentiment/last_model",
      },
    });
    for (const name of ["config.json", "model.safetensors", "tokenizer.json"])
      expect(existsSync(join(server.cwd, report.artifacts.bestModel, name)), name).toBe(true);
  });

  test("as good as a plain loop, and well above the majority", (context) => {
    needs(context);
    const [plain] = plainly("huggingface_plain.py", [PLAIN]) as [Json];
    const accuracy = report.metrics.finalModel.testAccuracy;
    expect(Math.abs(accuracy - plain.val_accuracy[0])).toBeLessThanOrEqual(0.02);
    expect(accuracy).toBeGreaterThan(plain.majority + 0.1);
    expect(report.metrics.train.loss[0]).toBeCloseTo(plain.train_loss[0], 3);
  }, 600_000);

  test("frozen weights are those of the pretrained model, bit by bit", (context) => {
    needs(context);
    const script = `
import json, sys
import torch
from safetensors.torch import load_file
before, after = load_file(sys.argv[1]), load_file(sys.argv[2])
same = [name for name in before if "bert." + name in after and torch.equal(before[name], after["bert." + name])]
print(json.dumps({"same": same, "all": list(before)}))`;
    const found = JSON.parse(
      execFileSync(
        inject("python"),
        [
          "-c",
          script,
          join(server.cwd, FINE_TUNE.config.pretrainedModel, "model.safetensors"),
          join(server.cwd, report.artifacts.lastModel, "model.safetensors"),
        ],
        { encoding: "utf8" },
      ),
    );
    const frozen = (name: string) => /^(embeddings|encoder\.layer\.[0-3])\./.test(name);
    const kept = found.all.filter((name: string) => frozen(name) && !name.endsWith("position_ids"));
    expect(found.same.filter((name: string) => name !== "embeddings.position_ids").sort()).toEqual(
      kept.sort(),
    );
  });

  test("plain transformers and predict say the same of it", async (context) => {
    needs(context);
    const texts = [
      "A funny, touching film.",
      "It is dull and far too long.",
      "Worth every minute.",
    ];
    const [loaded] = plainly("huggingface_load.py", [
      { model: report.artifacts.bestModel, texts },
    ]) as [Json];
    expect(loaded.id2label).toEqual({ 0: "fresh", 1: "rotten" });
    const table = ["text", ...texts.map((text) => JSON.stringify(text))].join("\n");
    writeFileSync(join(server.cwd, "new.csv"), table);
    const said: Json = await server.report("predict", {
      config: {
        modelPath: FINE_TUNE.outputDir,
        inputData: "new.csv",
        outputFormat: "probabilities",
      },
    });
    const samples: Json[] = said.predictions.samplePredictions;
    expect(samples.map(({ sample }) => sample)).toEqual(texts);
    for (const [row, logits] of loaded.logits.entries()) {
      const whole = logits.reduce((sum: number, value: number) => sum + Math.exp(value), 0);
      expect(samples[row]?.probabilities[0]).toBeCloseTo(Math.exp(logits[0]) / whole, 5);
    }
    const measured: Json = await server.report("evaluate", {
      config: { modelPath: FINE_TUNE.outputDir, dataPath: "data/sentiment_analysis/test" },
    });
    expect(measured.metrics.accuracy).toBeCloseTo(report.metrics.finalModel.testAccuracy, 6);
  }, 120_000);
});
