import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";

/**
 * Tells a client's wish to cancel from its mere ceasing to wait.
 *
 * The SDK aborts a request's signal for both, without saying which: on `notifications/cancelled` (also
 * sent by its own client when a request timed out) and when the transport closes. So the notifications
 * are read as they pass.
 */
export class Cancellations {
  private readonly wanted = new Set<string | number>();

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
        }
      }
      deliver?.(message, extra);
    };
  }

  /** Whether the client asked for the request's work to end; asked once, after its signal aborted. */
  take(requestId: string | number): boolean {
    return this.wanted.delete(requestId);
  }
}

function isTimeout(reason: unknown): boolean {
  return typeof reason === "string" && /time[d\s-]*out/i.test(reason);
}
