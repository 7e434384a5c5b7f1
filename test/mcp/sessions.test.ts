import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import {
  LoggingMessageNotificationSchema,
  type McpError,
  ResourceListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { expect, onTestFinished, test } from "vitest";
import { JobService } from "../../src/jobs/service.js";
import { createLogger, TroubleFeed } from "../../src/log.js";
import { serve } from "../../src/mcp/server.js";
import { endedJob, quiet, temporaryDirectory, testConfig, until } from "../support.js";

/** Several sessions on one server, each of its own principal, as HTTP has them. */
function world() {
  const config = testConfig(temporaryDirectory());
  const trouble = new TroubleFeed();
  const jobs = new JobService(config, quiet);
  onTestFinished(() => jobs.close());
  const connect = async (principal: string | null) => {
    const client = new Client({ name: "test", version: "1" });
    const [ours, theirs] = InMemoryTransport.createLinkedPair();
    const log = createLogger("silent", trouble);
    const server = await serve(ours, { config, log, trouble, jobs }, principal);
    await client.connect(theirs);
    onTestFinished(() => client.close());
    return { client, server };
  };
  return { config, trouble, connect };
}

const uri = (id: string, rest = "") => `ml-executor://jobs/${id}${rest}`;

test("a principal's jobs are there for itself alone", async () => {
  const { config, connect } = world();
  endedJob(config.home, "ofann", { principal: "ann", report: { artifacts: { model: "m.pkl" } } });
  endedJob(config.home, "ofben", { principal: "ben", report: { artifacts: { model: "m.pkl" } } });
  endedJob(config.home, "nobodys");
  const { client: ann } = await connect("ann");
  const { client: all } = await connect(null);

  const jobsOf = async (client: Client) =>
    (await client.listResources()).resources
      .map(({ name }) => name)
      .filter((name) => !name.startsWith("schema-"))
      .sort();
  expect(await jobsOf(ann)).toEqual(["ofann"]);
  expect(await jobsOf(all)).toEqual(["nobodys", "ofann", "ofben"]);

  await ann.readResource({ uri: uri("ofann", "/report") });
  for (const id of ["ofben", "nobodys", "none"]) {
    for (const rest of ["", "/report", "/metrics", "/logs/stdout", "/artifacts/model"]) {
      for (const ask of [
        () => ann.readResource({ uri: uri(id, rest) }),
        () => ann.subscribeResource({ uri: uri(id, rest) }),
      ]) {
        const error = await ask().catch((failure: McpError) => failure);
        expect(error).toMatchObject({ code: -32002, data: { uri: uri(id, rest) } });
        // Nothing tells a job of somebody else's from one that never was.
        const { message } = error as McpError;
        expect(message.replace(id, "ID")).toMatch(/Resource not found: There is no job 'ID'$/);
      }
    }
    const error = await ann
      .getPrompt({ name: "diagnose-job", arguments: { jobId: id } })
      .catch((failure: McpError) => failure);
    expect(error).toMatchObject({ code: -32602, data: { latest: ["ofann"] } });
  }

  const complete = async (name: string, value: string, id = "") =>
    (
      await ann.complete({
        ref: { type: "ref/resource", uri: "ml-executor://jobs/{id}/artifacts/{name}" },
        argument: { name, value },
        context: { arguments: { id } },
      })
    ).completion.values;
  expect(await complete("id", "")).toEqual(["ofann"]);
  expect(await complete("name", "", "ofann")).toEqual(["model"]);
  expect(await complete("name", "", "ofben")).toEqual([]);
  const models = await ann.complete({
    ref: { type: "ref/prompt", name: "evaluate-model" },
    argument: { name: "modelPath", value: "/m" },
  });
  expect(models.completion.values).toEqual(["/m.pkl"]);
});

test("a job of somebody else's changes nobody's list", async () => {
  const { config, connect } = world();
  const told = { ann: 0, ben: 0 };
  for (const name of ["ann", "ben"] as const) {
    const { client } = await connect(name);
    client.setNotificationHandler(ResourceListChangedNotificationSchema, () => {
      told[name] += 1;
    });
    await client.listResources();
  }
  endedJob(config.home, "ofben", { principal: "ben" });
  // Both are told in one sweep.
  await until("ben is told", () => told.ben > 0);
  expect(told).toEqual({ ann: 0, ben: 1 });
});

test("trouble is told without what it met, where there are several principals", async () => {
  const { trouble, connect } = world();
  const told = { ann: [] as unknown[], anybody: [] as unknown[] };
  for (const name of ["ann", "anybody"] as const) {
    const { client } = await connect(name === "ann" ? name : null);
    client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      told[name].push(params.data);
    });
  }
  const log = createLogger("silent", trouble);
  log.warn({ err: new Error("/home/ben/secret.csv"), job: "ofben" }, "something failed");
  log.info("nothing of interest");
  await until("both are told", () => told.ann.length > 0 && told.anybody.length > 0);
  expect(told).toEqual({
    ann: [{ message: "something failed" }],
    anybody: [{ message: "something failed", cause: "/home/ben/secret.csv" }],
  });
});

test("only what is as grave as the level that was asked for", async () => {
  const { trouble, connect } = world();
  const { client } = await connect(null);
  const { client: other } = await connect(null);
  const told: unknown[] = [];
  const others: unknown[] = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    told.push(params.data);
  });
  other.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    others.push(params.data);
  });
  const log = createLogger("silent", trouble);
  for (const level of ["emergency", "alert", "critical"] as const) {
    await client.setLoggingLevel(level);
    log.error(level);
  }
  await client.setLoggingLevel("error");
  log.warn("no error");
  log.error("an error");
  await client.setLoggingLevel("debug");
  log.warn("now");
  await until("the last is told", () => told.length > 1);
  expect(told).toEqual([{ message: "an error" }, { message: "now" }]);
  expect(others).toHaveLength(6);
});

test("a flood of messages is dammed, errors excepted", async () => {
  const { trouble, connect } = world();
  const { client } = await connect(null);
  const levels: string[] = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    levels.push(params.level);
  });
  const log = createLogger("silent", trouble);
  for (let i = 0; i < 1000; i += 1) log.warn("again");
  log.error("the last");
  await until("the error is told", () => levels.includes("error"));
  expect(levels).toHaveLength(51);
});

test("a session that has ended leaves nothing behind", async () => {
  const { config, connect, trouble } = world();
  endedJob(config.home, "one");
  const { client, server } = await connect(null);
  await client.listResources();
  await client.subscribeResource({ uri: uri("one") });
  await client.close();
  await until("it has ended", () => server.transport === undefined);
  // Neither throws nor keeps the process: nobody listens any more.
  createLogger("silent", trouble).error("after the end");
  endedJob(config.home, "two");
});
