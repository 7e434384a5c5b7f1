import { setImmediate as nextTurn } from "node:timers/promises";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import type { RequestId } from "@modelcontextprotocol/sdk/types.js";
import { expect, test } from "vitest";
import { Cancellations } from "../../src/mcp/cancellation.js";

async function watched() {
  const [client, transport] = InMemoryTransport.createLinkedPair();
  await Promise.all([client.start(), transport.start()]);
  const cancellations = new Cancellations();
  cancellations.watch(transport);
  const cancel = (requestId: RequestId) =>
    client.send({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId },
    });
  return { cancellations, cancel };
}

test("a wish to cancel is kept for the work that goes on, and as long as it goes on", async () => {
  const { cancellations, cancel } = await watched();
  const taken = await cancellations.during(1, async () => {
    await cancel(1);
    await cancel(2);
    await nextTurn();
    return [cancellations.take(1), cancellations.take(2)];
  });
  expect(taken).toEqual([true, false]);
  await cancellations.during(3, () => cancel(3));
  expect(cancellations.take(3)).toBe(false);
});

test("a wish that comes right after its request is kept", async () => {
  const { cancellations, cancel } = await watched();
  void cancel("a");
  const taken = cancellations.during("a", async () => {
    await nextTurn();
    await nextTurn();
    return cancellations.take("a");
  });
  expect(await taken).toBe(true);
});
