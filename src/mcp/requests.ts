import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import {
  ErrorCode,
  type ServerNotification,
  type ServerRequest,
  type ServerResult,
} from "@modelcontextprotocol/sdk/types.js";
import type { z } from "zod";
import { ExecutorError } from "../contract/index.js";
import type { Logger } from "../log.js";

/** The protocol's code for a resource that is not there; the SDK has no name for it. */
export const RESOURCE_NOT_FOUND = -32002;

/** A request's failure with its JSON-RPC code. The SDK's own class writes the code into the message too. */
export class RequestError extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly data?: Record<string, unknown>,
  ) {
    super(message);
  }

  static invalidParams(message: string, data?: Record<string, unknown>): RequestError {
    return new RequestError(ErrorCode.InvalidParams, message, data);
  }
}

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;
type Shape = { method: z.ZodLiteral<string> };

/**
 * Answers the requests of one method. The SDK calls parameters of the wrong shape an internal error;
 * here they are what they are: invalid.
 */
export function onRequest<S extends z.ZodObject<Shape>>(
  server: Server,
  log: Logger,
  schema: S,
  handler: (request: z.output<S>, extra: Extra) => ServerResult | Promise<ServerResult>,
): void {
  const any = schema.pick({ method: true }).loose();
  server.setRequestHandler(any, async (raw, extra) => {
    const { success, data, error } = schema.safeParse(raw);
    if (!success) {
      const [problem] = error.issues;
      const where = problem?.path.join(".");
      throw RequestError.invalidParams(`${where || "params"}: ${problem?.message ?? "invalid"}`);
    }
    try {
      return await handler(data, extra);
    } catch (failure) {
      throw asRequestError(failure, raw.method, log);
    }
  });
}

function asRequestError(failure: unknown, method: string, log: Logger): RequestError {
  if (failure instanceof RequestError) return failure;
  if (failure instanceof ExecutorError) {
    const { type, message, solution, metadata } = failure.shape;
    if (type !== "internal-error") {
      return RequestError.invalidParams(message, { type, solution, ...metadata });
    }
  }
  log.error({ err: failure, method }, "a request failed");
  return new RequestError(ErrorCode.InternalError, "A defect of the server; its log says more");
}
