import {
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ReadResourceRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { onRequest } from "../requests.js";
import type { Session } from "../session.js";
import { Throttle } from "../throttle.js";
import { listResources, TEMPLATES } from "./list.js";
import { readResource } from "./read.js";
import { Subscriptions } from "./subscriptions.js";

const LIST_CHANGED_MILLISECONDS = 2000;

/** Serves jobs, reports, metrics, logs, artifacts and schemas as resources. */
export function serveResources(session: Session): void {
  const { server, services } = session;
  const { log } = services;
  const subscriptions = new Subscriptions(session);
  const listChanges = new ListChanges(session);

  onRequest(server, log, ListResourcesRequestSchema, async ({ params }) => {
    // Watched first: what changes while it is listed is told.
    await listChanges.watch();
    return await listResources(params?.cursor, session);
  });
  onRequest(server, log, ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: TEMPLATES,
  }));
  onRequest(server, log, ReadResourceRequestSchema, ({ params }) =>
    readResource(params.uri, session),
  );
  onRequest(server, log, SubscribeRequestSchema, async ({ params }) => {
    await subscriptions.add(params.uri);
    return {};
  });
  onRequest(server, log, UnsubscribeRequestSchema, ({ params }) => {
    subscriptions.remove(params.uri);
    return {};
  });
}

/** Tells a session that the list is another, once it has seen one: until then nobody cares. */
class ListChanges {
  readonly #throttle: Throttle<"list">;
  #watching: Promise<void> | null = null;

  constructor(private readonly session: Session) {
    this.#throttle = new Throttle(LIST_CHANGED_MILLISECONDS, () => {
      session.server.sendResourceListChanged().catch(() => undefined);
    });
    session.closed.addEventListener("abort", () => this.#throttle.close());
  }

  async watch(): Promise<void> {
    this.#watching ??= this.#watch();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { services, principal, closed } = this.session;
    const stop = await services.jobs.watchList(principal, () => this.#throttle.tell("list"));
    if (closed.aborted) stop();
    else closed.addEventListener("abort", stop);
  }
}
