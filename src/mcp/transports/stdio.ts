import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { Services } from "../context.js";
import { serve } from "../server.js";
import { untilSignal } from "./signals.js";

/**
 * Serves one client over stdin and stdout until stdin ends; jobs go on after that.
 *
 * Resolves when everything that belongs to the server has ended.
 */
export async function serveStdio(services: Services): Promise<void> {
  const transport = new StdioServerTransport();
  // The SDK's transport ignores the end of stdin, and a broken stdout would be an unhandled error.
  const ended = new Promise<void>((resolve) => {
    process.stdin.once("end", resolve).once("close", resolve);
    process.stdout.once("error", () => resolve());
    void untilSignal().then(resolve);
  });
  const server = await serve(transport, services, null);
  // Warm up only once the client has its answer: the start is what it waits for.
  server.oninitialized = () => services.jobs.warm();
  await ended;
  await server.close();
  await services.jobs.close();
}
