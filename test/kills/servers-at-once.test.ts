import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventsOf, Server } from "../e2e/client.js";
import { isAlive } from "../e2e/processes.js";
import { times, until } from "../support.js";
import { expectOneLife, forest, kill, start } from "./killing.js";

/** Four servers share one state directory; two of them are killed in the midst of it. */

const SERVERS = 4;
const SLOTS = 2;
const EACH = times(4, 25);

const listed = async (server: Server): Promise<any[]> =>
  ((await server.call("job-list", { limit: 50 })).structuredContent as any).jobs;

/** How many ran at most at once, by what their supervisors noted. */
function mostAtOnce(spans: readonly [number, number][]): number {
  const steps = spans.flatMap(([from, to]) => [
    [from, 1],
    [to, -1],
  ]) as [number, number][];
  steps.sort(([a, one], [b, other]) => a - b || one - other);
  let now = 0;
  return Math.max(...steps.map(([, step]) => (now += step)));
}

test(`${SERVERS} servers at once, ${EACH} jobs each`, { timeout: 60 * 60_000 }, async () => {
  const cwd = mkdtempSync(join(tmpdir(), "mlx-servers-"));
  const home = join(cwd, "state");
  const args = ["--slots", String(SLOTS)];
  const servers = await Promise.all(
    Array.from({ length: SERVERS }, () => Server.start({ home, cwd, args })),
  );
  const [one, two, three, four] = servers as [Server, Server, Server, Server];
  try {
    // The same request from all at the same moment is one job.
    const request = forest(20, { requestId: "once" });
    const same = await Promise.all(servers.map((server) => start(server, request)));
    expect(new Set(same).size).toBe(1);
    const submitted = servers.map(async (server) => {
      const ids: string[] = [];
      for (let i = 0; i < EACH; i++) ids.push(await start(server, forest(20 + 10 * (i % 5))));
      return ids;
    });
    const ids = [same[0]!, ...(await Promise.all(submitted)).flat()];
    expect(new Set(ids).size).toBe(SERVERS * EACH + 1);
    for (const server of servers)
      expect((await listed(server)).map(({ id }) => id)).toEqual(
        (await listed(one)).map(({ id }) => id),
      );
    for (const server of [two, four]) kill(server.pid);
    await until("two are gone", () => ![two, four].some(({ pid }) => isAlive(pid)));
    // Those of the dead ones too, whichever of the living is asked.
    for (const [i, id] of ids.entries()) {
      const report = await (i % 2 ? one : three).report("job-status", {
        jobId: id,
        waitSeconds: 50,
      });
      expect(report.status).toBe("success");
      expectOneLife(one, id);
    }
    const spans = ids.map((id): [number, number] => {
      const events = eventsOf(one, id);
      return [events.find(({ type }) => type === "started").time, events.at(-1).time];
    });
    expect(mostAtOnce(spans)).toBe(SLOTS);
    // Somebody who asks again, of whichever server, gets that job's answer.
    expect((await three.report("train", request)).metrics).toEqual(
      (await one.report("job-status", { jobId: same[0]! })).metrics,
    );
  } finally {
    for (const server of [two, four, three]) await server.close();
    await one.dispose();
  }
});
