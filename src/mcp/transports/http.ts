import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { HttpOptions } from "../../http-options.js";
import type { Logger } from "../../log.js";
import { UsageError } from "../../usage-error.js";
import type { Services } from "../context.js";
import { serve } from "../server.js";
import { HttpApp } from "./http/app.js";
import { bracketed } from "./http/gate.js";
import type { OpenSession } from "./http/sessions.js";
import { untilSignal } from "./signals.js";

/** How long clients get to read the ends of their streams. */
const GRACE_MS = 500;

/** A request must have come in whole within these; its answer may take as long as it takes. */
const TIMEOUTS = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  // Longer than clients keep a connection in reserve: a call on one that is just being closed is lost.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1_000,
};

/**
 * Serves MCP over HTTP until a signal asks for the end; jobs go on after that.
 *
 * Resolves when everything that belongs to the server has ended.
 *
 * @throws UsageError where the address cannot be listened on
 */
export async function serveHttp(services: Services, options: HttpOptions): Promise<void> {
  const ended = untilSignal();
  let isWarm = false;
  const openSession: OpenSession = async (transport, principal) => {
    const server = await serve(transport, services, principal);
    server.oninitialized = () => {
      // Once, and only when the first client has its answer.
      if (!isWarm) services.jobs.warm();
      isWarm = true;
    };
    return server;
  };
  const { url, close } = await listen(options, openSession, services.log);
  process.stderr.write(`Serving MCP at ${url}/mcp (older clients: ${url}/sse)\n`);
  await ended;
  await close();
  await services.jobs.close();
}

/**
 * Listens for MCP over HTTP.
 *
 * @param openSession called for each new session
 * @returns the URL, without a path; and what stops listening and ends every session
 * @throws UsageError where the address cannot be listened on
 */
export async function listen(
  options: HttpOptions,
  openSession: OpenSession,
  log: Logger,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(TIMEOUTS);
  await bind(server, options);
  const { port } = server.address() as AddressInfo;
  const app = new HttpApp(options, port, openSession, log);
  server.on("request", app.listener);
  return {
    url: `http://${bracketed(options.host)}:${port}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await app.close();
      server.closeIdleConnections();
      const grace = setTimeout(() => server.closeAllConnections(), GRACE_MS);
      await closed;
      clearTimeout(grace);
    },
  };
}

async function bind(server: HttpServer, { host, port }: HttpOptions): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, host, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      {
        EADDRINUSE: "something else listens there; --port takes another, or 0 for a free one",
        EACCES: "that is not permitted; --port takes another",
        EADDRNOTAVAIL: "no such address on this machine; see --host",
        ENOTFOUND: "no such name; see --host",
      }[code ?? ""] ?? message;
    throw new UsageError(`serve --http cannot listen on ${bracketed(host)}:${port}: ${why}`);
  }
}
