import { isAbsolute, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  type RequestId,
  RootsListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";
import type { Logger } from "../log.js";

const Listed = z.looseObject({ roots: z.array(z.looseObject({ uri: z.string() })) });

/** The client's roots as directories: asked for once, and again when the client says they changed. */
export class ClientRoots {
  private known: Promise<string[] | null> | null = null;

  constructor(
    private readonly server: Server,
    private readonly log: Logger,
  ) {
    server.setNotificationHandler(RootsListChangedNotificationSchema, () => {
      this.known = null;
    });
  }

  /**
   * Absolute paths. Null where the client has no roots, names none, or does not tell: nothing is narrowed
   * then. Empty where it names roots and none of them is a directory of this machine.
   *
   * @param call the one on whose stream the client is asked: over HTTP it may have no other open
   */
  async list(call: RequestId): Promise<string[] | null> {
    if (!this.server.getClientCapabilities()?.roots) return null;
    this.known ??= this.ask(call);
    return this.known;
  }

  private async ask(call: RequestId): Promise<string[] | null> {
    try {
      // The SDK's own schema refuses the whole list for one root that is no file.
      const request = { method: "roots/list" as const };
      const options = { timeout: 5000, relatedRequestId: call };
      const { roots } = await this.server.request(request, Listed, options);
      if (roots.length === 0) return null;
      const paths = roots.map(({ uri }) => directoryOf(uri));
      const strange = roots.filter((_, place) => paths[place] === null).map(({ uri }) => uri);
      if (strange.length > 0)
        this.log.warn({ strange }, "roots that are no directory of this machine");
      return paths.filter((path) => path !== null);
    } catch (error) {
      this.log.warn(
        { err: error },
        "the client did not tell its roots; its paths are not narrowed",
      );
      this.known = null;
      return null;
    }
  }
}

/**
 * The path that a root's URI means; null for another scheme or host, and for what no path can hold.
 *
 * @param uri such as `file:///home/ann/project%20x`; whether it exists is another matter
 */
export function directoryOf(uri: string): string | null {
  try {
    const path = fileURLToPath(uri);
    return isAbsolute(path) && !path.includes("\0") ? normalize(path) : null;
  } catch {
    return null;
  }
}
