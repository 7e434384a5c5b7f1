import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import type { RequestId } from "@modelcontextprotocol/sdk/types.js";
import type { Place } from "../jobs/service.js";
import type { Services } from "./context.js";

/** One client's session, as far as what serves it beside tool calls needs to know it. */
export interface Session {
  readonly server: Server;
  readonly services: Services;
  /** Whose jobs are seen; null: everybody's. */
  readonly principal: string | null;
  /** Asked while a request of the client is answered, on whose stream it may be asked for its roots. */
  readonly place: (during: RequestId) => Promise<Place>;
  /** Aborts when the session ends. */
  readonly closed: AbortSignal;
}
