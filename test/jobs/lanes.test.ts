import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FRAMEWORKS } from "../../src/contract/index.js";
import { frameworkHint, ofAlgorithm } from "../../src/jobs/hint.js";
import { laneOf } from "../../src/jobs/lanes.js";
import { makeFifo, temporaryDirectory, testConfig } from "../support.js";

describe("the lane of a call", () => {
  test("is light for small inputs", async () => {
    const directory = temporaryDirectory();
    const config = testConfig(directory);
    writeFileSync(join(directory, "small.csv"), "a\n1\n");
    writeFileSync(join(directory, "large.csv"), Buffer.alloc(1024 * 1024 + 1, "1"));
    makeFifo(join(directory, "endless.csv"));
    const lane = async (action: string, keys: Record<string, unknown>) =>
      (await laneOf(config, { action, config: keys }, null, directory)).name;
    expect(await lane("predict", { inputData: "small.csv" })).toBe("light");
    expect(await lane("evaluate", { dataPath: join(directory, "small.csv") })).toBe("light");
    expect(await lane("predict", { inputData: "absent.csv" })).toBe("light");
    expect(await lane("predict", { inputData: "large.csv" })).toBe("cpu");
    expect(await lane("predict", { inputData: "endless.csv" })).toBe("cpu");
    expect(await lane("predict", { inputData: "small.csv", allowPickle: true })).toBe("cpu");
    expect(await lane("train", { dataPath: "small.csv" })).toBe("cpu");
  });

  test("has the slots that were configured", async () => {
    const directory = temporaryDirectory();
    const config = testConfig(directory, {}, ["--slots", "3"]);
    const call = { action: "train", config: {} };
    expect(await laneOf(config, call, null, directory)).toEqual({
      name: "cpu",
      slots: 3,
      exclusive: false,
    });
  });
});

describe("the framework that a call is probably about", () => {
  test("is the one it names", async () => {
    for (const { name } of FRAMEWORKS) expect(await frameworkHint(name, {}, "/", "/")).toBe(name);
  });

  test("is told by how the algorithm's name begins", () => {
    for (const { name, algorithmPrefixes } of FRAMEWORKS) {
      for (const prefix of algorithmPrefixes) {
        expect(ofAlgorithm(`${prefix}Classifier`)).toBe(name);
        expect(ofAlgorithm(`${name}.${prefix}Regressor`)).toBe(name);
      }
    }
    expect(ofAlgorithm("RandomForestClassifier")).toBe("sklearn");
  });

  test("stands beside the model, or in its directory", async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, "run"));
    writeFileSync(join(directory, "run/m.bin.meta.json"), '{"framework": "xgboost"}');
    const hint = (modelPath: string) => frameworkHint("auto", { modelPath }, directory, "/home");
    expect(await hint("run/m.bin")).toBe("xgboost");
    expect(await hint("run")).toBe("xgboost");
    expect(await hint("elsewhere")).toBeNull();
    expect(await frameworkHint(undefined, {}, directory, "/home")).toBeNull();
  });
});
