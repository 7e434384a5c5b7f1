import { fileURLToPath } from "node:url";
import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  type RequestId,
  RootsListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import type { Logger } from "../log.js";

/** The client's roots as directories: asked for once, and again when the client says they changed. */
export class ClientRoots {
  private known: Promise<string[]> | null = null;

  constructor(
    private readonly server: Server,
    private readonly log: Logger,
  ) {
    server.setNotificationHandler(RootsListChangedNotificationSchema, () => {
      this.known = null;
    });
  }

  /**
   * Absolute paths; empty where the client has no roots or does not speak of them.
   *
   * @param call the one on whose stream the client is asked: over HTTP it may have no other open
   */
  async list(call: RequestId): Promise<string[]> {
    if (!this.server.getClientCapabilities()?.roots) return [];
    this.known ??= this.ask(call);
    return this.known;
  }

  private async ask(call: RequestId): Promise<string[]> {
    try {
      const { roots } = await this.server.listRoots(undefined, {
        timeout: 5000,
        relatedRequestId: call,
      });
      return roots.flatMap(({ uri }) => (uri.startsWith("file://") ? [fileURLToPath(uri)] : []));
    } catch (error) {
      this.log.warn(
        { err: error },
        "the client did not tell its roots; its paths are not narrowed",
      );
      this.known = null;
      return [];
    }
  }
}
