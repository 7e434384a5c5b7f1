import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import { expect, test, vi } from "vitest";
import { EventLog, type Limits } from "../../src/mcp/transports/http/event-log.js";

/** What a session keeps for a client that comes back, and what it lets go first. */

const BEGINNING = {} as JSONRPCMessage;
const notice = (n: number, size = 1): JSONRPCMessage => ({
  jsonrpc: "2.0",
  method: "notifications/progress",
  params: { progressToken: n, progress: n, message: "x".repeat(size) },
});
const answer = (id: number): JSONRPCMessage => ({ jsonrpc: "2.0", id, result: {} });

const WIDE: Limits = { entries: 100, bytes: 1e6, milliseconds: 1e6 };
const logOf = (limits: Partial<Limits> = {}) =>
  new EventLog({ ...WIDE, ...limits }, (message) => "result" in message);

async function after(log: EventLog, id: string): Promise<JSONRPCMessage[]> {
  const sent: JSONRPCMessage[] = [];
  await log.replayEventsAfter(id, { send: async (_, message) => void sent.push(message) });
  return sent;
}

test("what came later on the same stream is sent again, in order", async () => {
  const log = logOf();
  const first = await log.storeEvent("a", BEGINNING);
  await log.storeEvent("b", BEGINNING);
  const second = await log.storeEvent("a", notice(1));
  await log.storeEvent("b", notice(2));
  const last = await log.storeEvent("a", answer(1));
  expect(await after(log, first)).toEqual([notice(1), answer(1)]);
  expect(await after(log, second)).toEqual([answer(1)]);
  expect([log.endOf(first), log.endOf(second), log.endOf(last)]).toEqual([last, last, last]);
});

test("beyond the limits notices go before answers, and a cursor that went with them still holds", async () => {
  for (const limits of [{ entries: 10 }, { bytes: 1500 }]) {
    const log = logOf(limits);
    await log.storeEvent("a", BEGINNING);
    const cursor = await log.storeEvent("a", notice(0, 100));
    const ended = await log.storeEvent("b", answer(7));
    for (let n = 1; n <= 50; n++) await log.storeEvent("a", notice(n, 100));
    await log.storeEvent("a", answer(1));
    const missed = await after(log, cursor);
    expect(missed.length).toBeLessThan(15);
    expect(missed.at(-1)).toEqual(answer(1));
    expect(missed.at(-2)).toEqual(notice(50, 100));
    expect(log.has(ended)).toBe(true);
  }
});

test("an answer that is gone is not waited for; a stream that goes on may be", async () => {
  const log = logOf({ entries: 3 });
  const gone = await log.storeEvent("a", answer(1));
  const open = await log.storeEvent("b", BEGINNING);
  for (let n = 2; n <= 5; n++) await log.storeEvent(`c${n}`, answer(n));
  expect([log.has(gone), log.has(open)]).toEqual([false, true]);
  expect(await after(log, open)).toEqual([]);
});

test("what is too old goes", async () => {
  vi.useFakeTimers();
  try {
    const log = logOf({ milliseconds: 1000 });
    const first = await log.storeEvent("a", BEGINNING);
    await log.storeEvent("a", notice(1));
    vi.advanceTimersByTime(1500);
    await log.storeEvent("a", notice(2));
    expect(await after(log, first)).toEqual([notice(2)]);
  } finally {
    vi.useRealTimers();
  }
});

test("ids of another session, of no session, and of the future are unknown", async () => {
  const [log, other] = [logOf(), logOf()];
  const id = await log.storeEvent("a", BEGINNING);
  await other.storeEvent("a", BEGINNING);
  for (const one of [
    await other.storeEvent("a", notice(1)),
    "",
    "x",
    id.replace(".1.", ".9."),
    id.replace(/a$/, "z"),
  ])
    expect(log.has(one), one).toBe(false);
  expect(log.has(id)).toBe(true);
});
