import { fileURLToPath } from "node:url";
import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { RootsListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
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

  /** Absolute paths; empty where the client has no roots or does not speak of them. */
  async list(): Promise<string[]> {
    if (!this.server.getClientCapabilities()?.roots) return [];
    this.known ??= this.ask();
    return this.known;
  }

  private async ask(): Promise<string[]> {
    try {
      const { roots } = await this.server.listRoots(undefined, { timeout: 5000 });
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
