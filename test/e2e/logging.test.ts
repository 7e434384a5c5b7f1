import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type LoggingMessageNotification,
  LoggingMessageNotificationSchema,
  type McpError,
} from "@modelcontextprotocol/sdk/types.js";
import { afterEach, expect, test } from "vitest";
import { jobRequest } from "../support.js";
import { data, type Options, Server, until } from "./client.js";

/** Log messages: how a session's jobs fare, at the level that its client asks for. */

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0).reverse()) await server.dispose();
});

type Message = LoggingMessageNotification["params"] & { data: any };

/** A server, and every log message that its client gets. */
async function start(options: Options = {}): Promise<{ server: Server; told: Message[] }> {
  const server = await Server.start(options);
  servers.push(server);
  const told: Message[] = [];
  server.client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    told.push(params as Message);
  });
  return { server, told };
}

const tree = (more: Record<string, unknown> = {}) => ({
  framework: "sklearn",
  config: {
    algorithm: "DecisionTreeClassifier",
    dataPath: data("wine.csv"),
    targetColumn: "target",
    ...more,
  },
});
const events = (told: Message[]) => told.map(({ level, data: { event } }) => `${level} ${event}`);

test("at first warnings and errors alone", async () => {
  const { server, told } = await start();
  await server.report("train", tree());
  await server.error("train", tree({ dataPath: "nowhere.csv" }));
  await until("the failure is told", () => told.length > 0);
  expect(told).toEqual([
    {
      level: "error",
      logger: "jobs",
      data: {
        jobId: expect.any(String),
        action: "train",
        event: "failed",
        type: "data-loading-error",
        message: expect.stringContaining("nowhere.csv"),
        exitCode: 1,
      },
    },
  ]);
});

test("the whole course of a job at the level debug, its outline at info", async () => {
  const { server, told } = await start();
  await server.client.setLoggingLevel("debug");
  await server.report("train", tree());
  await until("the end is told", () => events(told).includes("info succeeded"));
  expect(events(told)).toEqual(
    expect.arrayContaining(["info submitted", "info started", "debug phase", "info succeeded"]),
  );
  expect(new Set(told.map(({ data: { jobId } }) => jobId)).size).toBe(1);

  await server.client.setLoggingLevel("info");
  told.length = 0;
  await server.report("train", tree());
  await until("the end is told", () => events(told).includes("info succeeded"));
  expect(events(told)).not.toContain("debug phase");
});

test("light jobs too, and a job that is cancelled", async () => {
  const { server, told } = await start();
  const { artifacts } = await server.report("train", tree());
  await server.client.setLoggingLevel("notice");
  await server.error("predict", {
    config: { modelPath: artifacts!.model, inputData: "nowhere.csv" },
  });
  await until("the failed prediction is told", () => events(told).includes("error failed"));
  expect(told[0]!.data.action).toBe("predict");
  const forest = {
    algorithm: "RandomForestClassifier",
    hyperparameters: { n_estimators: 10_000_000, max_depth: 2 },
  };
  const { structuredContent } = await server.call("train", { ...tree(forest), waitSeconds: 0 });
  await server.call("job-cancel", { jobId: (structuredContent as any).job.id });
  await until("the cancelling is told", () => events(told).includes("notice cancelled"));
});

test("warnings of a job as they come", async () => {
  const { server, told } = await start();
  const table = join(server.cwd, "semicolons.csv");
  const rows = Array.from({ length: 30 }, (_, i) => `${i};${i % 2}`);
  writeFileSync(table, ["x;target", ...rows, ""].join("\n"));
  const { warnings } = await server.report("train", tree({ dataPath: table }));
  expect(warnings?.length).toBeGreaterThan(0);
  await until("the warnings are told", () => told.length >= warnings!.length);
  expect(events(told)).toEqual(warnings!.map(() => "warning warning"));
  expect(told.map((one) => one.data.message).sort()).toEqual([...warnings!].sort());
});

test("trouble of the server itself, also where stderr is to be silent", async () => {
  const directory = mkdtempSync(join(tmpdir(), "mlx-e2e-"));
  const home = join(directory, ".state");
  // A job that lost its supervisor, and no Python that could see to it.
  mkdirSync(join(home, "jobs/lost"), { recursive: true });
  const python = { executable: "/nowhere/python", kind: "system" as const, why: "", warnings: [] };
  const request = jobRequest("lost", { createdAt: "2026-01-01T00:00:00.000Z", python });
  writeFileSync(join(home, "jobs/lost/request.json"), JSON.stringify(request));
  const { server, told } = await start({
    cwd: directory,
    home,
    env: { ML_EXECUTOR_LOG_LEVEL: "silent", PATH: "/nowhere" },
  });
  await server.call("job-status", { jobId: "lost", waitSeconds: 3 });
  await until("the trouble is told", () => told.length > 0);
  expect(told[0]).toMatchObject({ level: "warning", logger: "server" });
  expect(told[0]!.data.message).toBeTruthy();
  expect(server.stderr.join("")).toBe("");
});

test("a level that there is not is refused", async () => {
  const { server } = await start();
  for (const level of ["verbose", "", "DEBUG", 3, null]) {
    const error = await server.client
      .setLoggingLevel(level as "debug")
      .catch((failure: McpError) => failure);
    expect(error, String(level)).toMatchObject({ code: -32602 });
  }
});
