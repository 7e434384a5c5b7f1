import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { McpError } from "@modelcontextprotocol/sdk/types.js";
import { describe, expect, test } from "vitest";
import { MANIFEST } from "../../src/contract/index.js";
import { endedJob } from "../support.js";
import { data, type Server, startsServers } from "./client.js";

/** What a client offers while a person fills in a template or a prompt. */

const start = startsServers();

const template = (rest: string) => ({
  type: "ref/resource" as const,
  uri: `ml-executor://${rest}`,
});
const prompt = (name: string) => ({ type: "ref/prompt" as const, name });

async function complete(
  server: Server,
  ref: ReturnType<typeof template> | ReturnType<typeof prompt>,
  name: string,
  value = "",
  others: Record<string, string> = {},
) {
  const { completion } = await server.client.complete({
    ref,
    argument: { name, value },
    context: { arguments: others },
  });
  return completion;
}

const tree = (outputDir?: string) => ({
  framework: "sklearn",
  config: {
    algorithm: "DecisionTreeClassifier",
    dataPath: data("wine.csv"),
    targetColumn: "target",
  },
  ...(outputDir && { outputDir }),
});

describe("templates", () => {
  test("job ids, the latest first; at most 100, with the true total", async () => {
    const server = await start();
    for (let i = 0; i < 130; i += 1) {
      endedJob(server.home, `${i % 2 ? "odd" : "even"}${String(i).padStart(3, "0")}`);
      // Files made within one tick of the clock have no order.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const all = await complete(server, template("jobs/{id}"), "id");
    expect(all.values).toHaveLength(100);
    expect(all).toMatchObject({ total: 130, hasMore: true });
    expect(all.values.slice(0, 3)).toEqual(["odd129", "even128", "odd127"]);
    const odd = await complete(server, template("jobs/{id}/report"), "id", "odd12");
    expect(odd).toMatchObject({ values: ["odd129", "odd127", "odd125", "odd123", "odd121"] });
    expect(odd).toMatchObject({ total: 5, hasMore: false });
    expect((await complete(server, template("jobs/{id}"), "id", "none")).values).toEqual([]);
  });

  test("artifacts of the job that was filled in, streams, actions", async () => {
    const server = await start();
    const report = await server.report("train", tree());
    const [{ id }] = ((await server.call("job-list", {})).structuredContent as any).jobs;
    const ref = template("jobs/{id}/artifacts/{name}");
    const names = Object.keys(report.artifacts!);
    expect((await complete(server, ref, "name", "", { id })).values).toEqual(names);
    expect((await complete(server, ref, "name", "mod", { id })).values).toEqual(
      names.filter((name) => name.startsWith("mod")),
    );
    for (const others of [{}, { id: "none" }, { id: "../.." }] as Record<string, string>[]) {
      expect((await complete(server, ref, "name", "", others)).values).toEqual([]);
    }
    const log = template("jobs/{id}/logs/{stream}");
    expect((await complete(server, log, "stream")).values).toEqual(["stdout", "stderr"]);
    const schema = template("schema/{action}");
    expect((await complete(server, schema, "action")).values).toEqual(
      Object.keys({ ...MANIFEST.actions, ...MANIFEST.tools }),
    );
    expect((await complete(server, schema, "action", "ev")).values).toEqual(["evaluate"]);
  });

  test("what is not there: a template or a prompt is an error, an argument has no values", async () => {
    const server = await start();
    for (const ref of [template("jobs"), template("jobs/byhand"), prompt("none")]) {
      const error = await complete(server, ref, "id").catch((failure: McpError) => failure);
      expect(error).toMatchObject({ code: -32602 });
    }
    const values = async (...asked: Parameters<typeof complete>) =>
      (await complete(...asked)).values;
    expect(await values(server, template("jobs/{id}"), "name")).toEqual([]);
    expect(await values(server, template("jobs/{id}"), "constructor")).toEqual([]);
    expect(await values(server, prompt("train-and-evaluate"), "none")).toEqual([]);
    expect(await values(server, prompt("train-and-evaluate"), "targetColumn", "t")).toEqual([]);
    expect(await values(server, template("jobs/{id}"), "id", "x".repeat(100_000))).toEqual([]);
  });
});

describe("prompts", () => {
  test("algorithms and metrics that the environment has", async () => {
    const server = await start();
    const train = prompt("train-and-evaluate");
    const forests = await complete(server, train, "algorithm", "RandomForest");
    expect(forests.values).toEqual(["RandomForestClassifier", "RandomForestRegressor"]);
    expect((await complete(server, train, "algorithm", "XGB")).values).toContain("XGBClassifier");
    expect((await complete(server, train, "algorithm", "xgbclass")).values).toEqual([
      "XGBClassifier",
    ]);
    const own = await complete(server, train, "algorithm", "", { framework: "lightgbm" });
    expect(own.values).toContain("LGBMClassifier");
    expect(own.values).not.toContain("RandomForestClassifier");
    const metrics = await complete(server, train, "metrics", "acc");
    expect(metrics.values).toContain("accuracy");
    const more = await complete(server, train, "metrics", "accuracy,f1");
    expect(more.values).toContain("accuracy,f1");
    expect(more.values).toContain("accuracy,f1_weighted");
    const rest = await complete(server, train, "metrics", "accuracy,acc");
    expect(rest.values).not.toContain("accuracy,accuracy");
    const frameworks = await complete(server, train, "framework");
    expect(frameworks.values).toEqual(["auto", ...MANIFEST.frameworks.map(({ name }) => name)]);
    // Every name that is offered is one that a call takes.
    const algorithm = forests.values[0]!;
    const config = { ...tree().config, algorithm };
    expect((await server.report("train", { config })).metadata.algorithm).toBe(algorithm);
  });

  test("where no environment has anything, nothing is offered, and the server goes on", async () => {
    const server = await start({ env: { ML_EXECUTOR_PYTHON: "/nowhere/python" } });
    const values = await complete(server, prompt("train-and-evaluate"), "algorithm");
    expect(values).toMatchObject({ values: [], total: 0, hasMore: false });
    await server.client.ping();
  });

  test("paths below the base directory, never beyond it", async () => {
    const server = await start();
    mkdirSync(join(server.cwd, "data/inner"), { recursive: true });
    mkdirSync(join(server.cwd, "../outside-of-it"), { recursive: true });
    for (const name of ["train.csv", "test.csv", ".hidden", "inner/x.csv"]) {
      writeFileSync(join(server.cwd, "data", name), "a\n1\n");
    }
    symlinkSync("/etc", join(server.cwd, "data/link"));
    const train = prompt("train-and-evaluate");
    const paths = async (typed: string) =>
      (await complete(server, train, "dataPath", typed)).values;
    expect(await paths("")).toEqual(["data/"]);
    expect(await paths("da")).toEqual(["data/"]);
    expect(await paths("data/")).toEqual([
      "data/inner/",
      "data/link",
      "data/test.csv",
      "data/train.csv",
    ]);
    expect(await paths("data/t")).toEqual(["data/test.csv", "data/train.csv"]);
    expect(await paths("./data/tr")).toEqual(["./data/train.csv"]);
    expect(await paths("data/.")).toEqual(["data/.hidden"]);
    expect(await paths(join(server.cwd, "data/tr"))).toEqual([join(server.cwd, "data/train.csv")]);
    for (const beyond of ["../", "/etc/", "/", "data/link/", "data/../../", "x\0", "none/"]) {
      expect(await paths(beyond), beyond).toEqual([]);
    }
  });

  test("paths below the roots", async () => {
    const server = await start({ args: ["--root", "allowed"] });
    mkdirSync(join(server.cwd, "allowed"));
    writeFileSync(join(server.cwd, "allowed/in.csv"), "");
    writeFileSync(join(server.cwd, "out.csv"), "");
    const evaluate = prompt("evaluate-model");
    const paths = async (typed: string) =>
      (await complete(server, evaluate, "dataPath", typed)).values;
    expect(await paths("")).toEqual(["in.csv"]);
    expect(await paths("../")).toEqual([]);
    expect(await paths(join(server.cwd, "o"))).toEqual([]);
  });

  test("models of the latest jobs, then paths; job ids in a list", async () => {
    const server = await start();
    const first = await server.report("train", tree("models/first"));
    const second = await server.report("train", tree("models/second"));
    const evaluate = prompt("evaluate-model");
    const all = await complete(server, evaluate, "modelPath");
    expect(all.values.slice(0, 2)).toEqual([second.artifacts!.model, first.artifacts!.model]);
    expect(all.values).toContain("models/");
    const typed = await complete(server, evaluate, "modelPath", "models/fi");
    expect(typed.values).toEqual([first.artifacts!.model, "models/first/"]);

    const ids = ((await server.call("job-list", {})).structuredContent as any).jobs.map(
      ({ id }: { id: string }) => id,
    );
    expect((await complete(server, prompt("diagnose-job"), "jobId")).values).toEqual(ids);
    const compare = prompt("compare-jobs");
    expect((await complete(server, compare, "jobIds", `${ids[0]},`)).values).toEqual([
      `${ids[0]},${ids[1]}`,
    ]);
  });
});
