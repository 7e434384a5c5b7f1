import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  LoggingMessageNotificationSchema,
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { afterEach, expect, test } from "vitest";
import { FOREVER, forest } from "./calls.js";
import { until } from "./client.js";
import { HttpServer } from "./http-server.js";

/** What a server tells unasked reaches clients over HTTP, each its own. */

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
});

test.each(["streamable", "sse"] as const)(
  "updates, changed lists and log messages over %s",
  async (transport) => {
    const server = await HttpServer.start({ args: ["--token", "first", "--token", "second"] });
    servers.push(server);
    const told = { first: [] as string[], second: [] as string[] };
    const connect = async (token: "first" | "second") => {
      const connected = await server.connect({ token, transport });
      const { client } = connected;
      const tell = (what: string) => void told[token].push(what);
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) =>
        tell(params.uri),
      );
      client.setNotificationHandler(ResourceListChangedNotificationSchema, () => tell("list"));
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) =>
        tell((params.data as { event: string }).event),
      );
      await client.setLoggingLevel("info");
      await client.listResources();
      return connected;
    };
    const first = await connect("first");
    await connect("second");

    const { content } = await first.call(
      "train",
      forest(3, { outputDir: "model", waitSeconds: 50 }),
    );
    const link = content.find((block) => block.type === "resource_link" && block.title === "model");
    const { contents } = await first.client.readResource({ uri: (link as any).uri });
    expect(Buffer.from((contents[0] as any).blob, "base64")).toEqual(
      readFileSync(join(server.cwd, "model/model.pkl")),
    );

    const { structuredContent } = await first.call("train", forest(FOREVER, { waitSeconds: 0 }));
    const uri = `ml-executor://jobs/${(structuredContent as any).job.id}`;
    await first.client.subscribeResource({ uri });
    await until("it is told", () =>
      [uri, "list", "succeeded", "started"].every((what) => told.first.includes(what)),
    );
    await first.call("job-cancel", { jobId: uri.split("/").at(-1) });
    await until("the end is told", () => told.first.includes("cancelled"));
    expect(told.second).toEqual([]);
  },
);
