import { join } from "node:path";
import type { McpError } from "@modelcontextprotocol/sdk/types.js";
import { describe, expect, test } from "vitest";
import { endedJob } from "../support.js";
import { data, type Server, startsServers } from "./client.js";

/** Prompts assemble calls from what the person has decided. */

const start = startsServers();

async function texts(server: Server, name: string, args: Record<string, string>) {
  const { messages } = await server.client.getPrompt({ name, arguments: args });
  return messages.map(({ role, content }) => {
    expect(role).toBe("user");
    if (content.type === "text") return content.text;
    if (content.type === "resource" && "text" in content.resource) return content.resource.text;
    return expect.unreachable(content.type);
  });
}

/** The literal calls in a prompt's text. */
function calls(text: string): [tool: string, args: any][] {
  return [...text.matchAll(/([a-z-]+)\n```json\n([\s\S]*?)\n```/g)].map(([, tool, args]) => [
    tool!,
    JSON.parse(args!),
  ]);
}

test("the list has titles, descriptions and what is needed", async () => {
  const server = await start();
  const { prompts } = await server.client.listPrompts();
  const needed = prompts.map(({ name, arguments: args }) => [
    name,
    args!.filter(({ required }) => required).map((one) => one.name),
  ]);
  expect(Object.fromEntries(needed)).toEqual({
    "train-and-evaluate": ["dataPath", "targetColumn", "algorithm"],
    "evaluate-model": ["modelPath", "dataPath"],
    "diagnose-job": ["jobId"],
    "compare-jobs": ["jobIds"],
  });
  for (const prompt of prompts) {
    expect(prompt.title && prompt.description).toBeTruthy();
    for (const argument of prompt.arguments!) {
      expect(argument.description).toBeTruthy();
      expect(argument).not.toHaveProperty("source");
    }
  }
});

describe("train-and-evaluate", () => {
  test("its calls work as they stand", async () => {
    const server = await start();
    const [text] = await texts(server, "train-and-evaluate", {
      dataPath: data("wine.csv"),
      targetColumn: "target",
      algorithm: "DecisionTreeClassifier",
      testData: data("wine.csv"),
      framework: "sklearn",
      metrics: "accuracy, balanced_accuracy",
      outputDir: "models/run",
    });
    const [describe, train, evaluate] = calls(text!);
    expect([describe![0], train![0], evaluate![0]]).toEqual(["describe", "train", "evaluate"]);
    expect(train![1]).toEqual({
      framework: "sklearn",
      config: {
        algorithm: "DecisionTreeClassifier",
        dataPath: data("wine.csv"),
        targetColumn: "target",
      },
      outputDir: "models/run",
    });
    expect((await server.call(...describe!)).structuredContent).toHaveProperty("description");
    const trained = await server.report(...train!);
    evaluate![1].config.modelPath = trained.artifacts!.model;
    const { metrics } = await server.report(...evaluate!);
    expect(metrics).toMatchObject({ accuracy: 1 });
    expect(JSON.stringify(metrics)).toMatch(/balanced/i);
  });

  test("without test data it chooses none", async () => {
    const server = await start();
    const [text] = await texts(server, "train-and-evaluate", {
      dataPath: "train.csv",
      targetColumn: "y",
      algorithm: "SVC",
      testData: " ",
    });
    const train = calls(text!);
    expect(train.map(([tool]) => tool)).toEqual(["describe", "train"]);
    expect(train[1]![1]).toEqual({
      config: { algorithm: "SVC", dataPath: "train.csv", targetColumn: "y" },
    });
    expect(text).toMatch(/Ask me which rows to use/);
  });

  test("a call that would be refused is not assembled", async () => {
    const server = await start();
    const args = { dataPath: "a.csv", targetColumn: "y", algorithm: "SVC", framework: "sklern" };
    const error = await server.client
      .getPrompt({ name: "train-and-evaluate", arguments: args })
      .catch((failure: McpError) => failure);
    expect(error).toMatchObject({ code: -32602, data: { key: "framework", sent: "sklern" } });
  });
});

test("evaluate-model: its call works as it stands", async () => {
  const server = await start();
  const trained = await server.report("train", {
    config: { algorithm: "XGBClassifier", dataPath: data("wine.csv"), targetColumn: "target" },
    outputDir: "out",
  });
  const [text] = await texts(server, "evaluate-model", {
    modelPath: trained.artifacts!.model!,
    dataPath: data("wine.csv"),
  });
  const [[tool, args]] = calls(text!) as [[string, any]];
  expect(tool).toBe("evaluate");
  expect(args.config).not.toHaveProperty("metrics");
  expect((await server.report(tool, args)).metrics).toHaveProperty("accuracy");
});

describe("diagnose-job", () => {
  test("a job that failed: error, stderr, the mended call", async () => {
    const server = await start();
    const error = await server.error("train", {
      framework: "sklearn",
      config: { algorithm: "SVC", dataPath: data("wine.csv"), targetColumn: "targte" },
    });
    const [job] = ((await server.call("job-list", {})).structuredContent as any).jobs;
    const { messages } = await server.client.getPrompt({
      name: "diagnose-job",
      arguments: { jobId: job.id },
    });
    const [text, report] = await texts(server, "diagnose-job", { jobId: job.id });
    expect(JSON.parse(report!)).toEqual({ error });
    expect((messages[1]!.content as any).resource.uri).toBe(`ml-executor://jobs/${job.id}/report`);
    if (error.nextCall)
      expect(calls(text!)[0]).toEqual([error.nextCall.tool, error.nextCall.arguments]);
    expect(calls(text!).at(-1)).toEqual([
      "train",
      expect.objectContaining({ config: expect.objectContaining({ targetColumn: "targte" }) }),
    ]);
  });

  test("a job that runs, and one that is not there", async () => {
    const server = await start();
    const { structuredContent } = await server.call("train", {
      framework: "sklearn",
      config: {
        algorithm: "RandomForestClassifier",
        dataPath: data("digits.csv"),
        targetColumn: "target",
        hyperparameters: { n_estimators: 10_000_000, max_depth: 2 },
      },
      waitSeconds: 0,
    });
    const { id } = (structuredContent as any).job;
    const [text, state] = await texts(server, "diagnose-job", { jobId: id });
    expect(JSON.parse(state!).job.id).toBe(id);
    expect(calls(text!)[0]).toEqual(["job-status", { jobId: id, waitSeconds: 50 }]);
    await server.call("job-cancel", { jobId: id });
    const error = await server.client
      .getPrompt({ name: "diagnose-job", arguments: { jobId: "none" } })
      .catch((failure: McpError) => failure);
    expect(error).toMatchObject({ code: -32602, data: { type: "job-not-found", latest: [id] } });
  });
});

test("compare-jobs: each figure as its report gives it", async () => {
  const server = await start();
  const metrics = {
    accuracy: 0.91234,
    crossValidation: { meanAccuracy: 0.5, accuracy: [0.4, 0.6] },
  };
  const config = { algorithm: "SV|C", dataPath: "a.csv" };
  const request = { action: "train", framework: "sklearn", config };
  endedJob(server.home, "one", { request, report: { metrics } });
  endedJob(server.home, "two", { request, report: { metrics: { accuracy: null } } });
  const [text] = await texts(server, "compare-jobs", { jobIds: "one, two,one" });
  const rows = text!.split("\n").filter((line) => line.startsWith("|"));
  expect(rows.slice(0, 2)).toEqual(["| job | one | two |", "| --- | --- | --- |"]);
  expect(rows).toContain("| algorithm | SV\\|C | SV\\|C |");
  expect(rows).toContain("| accuracy | 0.9123 | n/a |");
  expect(rows).toContain("| crossValidation.meanAccuracy | 0.5 | – |");
  for (const jobIds of ["one", "one,one", Array.from({ length: 21 }, (_, i) => i).join()]) {
    const error = await server.client
      .getPrompt({ name: "compare-jobs", arguments: { jobIds } })
      .catch((failure: McpError) => failure);
    expect(error).toMatchObject({ code: -32602 });
  }
});

test("what is missing or unknown is named", async () => {
  const server = await start();
  const refused = async (name: string, args?: Record<string, string>) =>
    await server.client
      .getPrompt({ name, ...(args && { arguments: args }) })
      .catch((failure: McpError) => failure);
  expect(await refused("none")).toMatchObject({
    code: -32602,
    data: { allowed: expect.any(Array) },
  });
  expect(await refused("constructor")).toMatchObject({ code: -32602 });
  expect(await refused("diagnose-job")).toMatchObject({
    code: -32602,
    data: { argument: "jobId" },
  });
  expect(await refused("diagnose-job", { jobId: "" })).toMatchObject({ code: -32602 });
  expect(await refused("diagnose-job", { jobId: "x", jobid: "y" })).toMatchObject({
    code: -32602,
    data: { argument: "jobid", allowed: ["jobId"] },
  });
  expect(await refused("diagnose-job", { jobId: join(server.cwd, "../..") })).toMatchObject({
    code: -32602,
  });
});
