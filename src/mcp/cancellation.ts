import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { RequestId } from "@modelcontextprotocol/sdk/types.js";

/**
 * Tells a client's wish to cancel from its mere ceasing to wait.
 *
 * The SDK aborts a request's signal for both, without saying which: on `notifications/cancelled` (also
 * sent by its own client when a request timed out) and when the transport closes. So the notifications
 * are read as they pass.
 */
export class Cancellations {
  private readonly wanted = new Set<RequestId>();
  private readonly atWork = new Set<RequestId>();

  /** Listens in on a transport that a server has been connected to. */
  watch(transport: Transport): void {
    const deliver = transport.onmessage;
    transport.onmessage = (message, extra) => {
      if ("method" in message && message.method === "notifications/cancelled") {
        const { requestId, reason } = message.params ?? {};
        if (
          (typeof requestId === "string" || typeof requestId === "number") &&
          !isTimeout(reason)
        ) {
          this.wanted.add(requestId);
          // Of a request that came right before, the work has begun by then; of others, none will.
          setImmediate(() => this.atWork.has(requestId) || this.wanted.delete(requestId));
        }
      }
      deliver?.(message, extra);
    };
  }

  /** Does the work of a request; it can be cancelled as long as this takes. */
  async during<T>(requestId: RequestId, work: () => Promise<T>): Promise<T> {
    this.atWork.add(requestId);
    try {
      return await work();
    } finally {
      this.atWork.delete(requestId);
      this.wanted.delete(requestId);
    }
  }

  /** Whether the client asked for the request's work to end; asked once, after its signal aborted. */
  take(requestId: RequestId): boolean {
    return this.wanted.delete(requestId);
  }
}

function isTimeout(reason: unknown): boolean {
  return typeof reason === "string" && /time[d\s-]*out/i.test(reason);
}
