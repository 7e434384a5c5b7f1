import { connect, type Socket } from "node:net";
import type { HttpServer } from "./http-server.js";

export interface RawEvent {
  id?: string;
  data: string;
}

/** A response, read to its end. */
export interface RawResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
  events: RawEvent[];
}

const ACCEPT = "application/json, text/event-stream";

/** HTTP spoken over bare sockets: whatever bytes a test wants to send. */
export class Raw {
  constructor(private readonly server: HttpServer) {}

  /** A connection of its own. */
  open(): Socket {
    return connect(this.server.port, "127.0.0.1");
  }

  /** Sends bytes and reads until the server ends the connection. */
  async send(...parts: (string | Buffer)[]): Promise<RawResponse> {
    return await answerTo(this.open(), ...parts);
  }

  /** A request with a body and its length; a header that is given replaces the usual one. */
  async post(
    body: string,
    headers: Record<string, string> = {},
    path = "/mcp",
  ): Promise<RawResponse> {
    return await this.send(
      head(`POST ${path}`, {
        host: `127.0.0.1:${this.server.port}`,
        accept: ACCEPT,
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        ...headers,
      }),
      body,
    );
  }

  async get(headers: Record<string, string> = {}, path = "/mcp", method = "GET") {
    return await this.send(
      head(`${method} ${path}`, { host: `127.0.0.1:${this.server.port}`, ...headers }),
    );
  }
}

/** The bytes before a body; the connection ends with the answer. */
export function head(line: string, headers: Record<string, string>): string {
  const fields = Object.entries({ ...headers, connection: "close" });
  return `${line} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

/** Sends bytes on a connection and reads what comes until it ends. */
export async function answerTo(
  socket: Socket,
  ...parts: (string | Buffer)[]
): Promise<RawResponse> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  for (const part of parts) socket.write(part);
  await new Promise<void>((resolve) => {
    // What was answered before a reset counts.
    socket.once("error", () => undefined).once("close", () => resolve());
  });
  return parse(Buffer.concat(chunks).toString());
}

/** Begins a session and returns the header that names it. */
export async function begin(
  raw: Raw,
  headers: Record<string, string> = {},
): Promise<Record<string, string>> {
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "raw", version: "1" },
  };
  const call = { jsonrpc: "2.0", id: 1, method: "initialize", params };
  const { headers: answered, status, body } = await raw.post(JSON.stringify(call), headers);
  const id = answered["mcp-session-id"];
  if (id === undefined) throw new Error(`no session: ${status} ${body}`);
  return { "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
}

function parse(text: string): RawResponse {
  const end = text.indexOf("\r\n\r\n");
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(
    fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
    }),
  );
  const rest = text.slice(end + 4);
  const body = headers["transfer-encoding"] === "chunked" ? unchunk(rest) : rest;
  const events = body
    .split("\n\n")
    .filter((event) => /^(id|data|event):/.test(event))
    .map((event): RawEvent => {
      const id = /^id: (.*)$/m.exec(event)?.[1];
      return { ...(id !== undefined && { id }), data: /^data: (.*)$/m.exec(event)?.[1] ?? "" };
    });
  return { status: Number(line.split(" ")[1]), headers, body, events };
}

function unchunk(text: string): string {
  let bytes = Buffer.from(text);
  const parts: Buffer[] = [];
  for (;;) {
    const end = bytes.indexOf("\r\n");
    const size = Number.parseInt(bytes.toString("utf8", 0, end), 16);
    if (end < 0 || !size) return Buffer.concat(parts).toString();
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    bytes = bytes.subarray(end + 2 + size + 2);
  }
}
