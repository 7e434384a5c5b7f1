import { hostname, networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FOREVER, forest } from "./calls.js";
import { until } from "./client.js";
import { HttpServer } from "./http-server.js";
import { isAlive } from "./processes.js";
import { answerTo, begin, head, Raw, type RawResponse } from "./raw-http.js";

/** Requests that no client of ours sends: each is refused with the right status, and the server lives. */

const TOKEN = { authorization: "Bearer right" };
const OTHER = { authorization: "Bearer other" };
const ACCEPT = { accept: "application/json, text/event-stream" };
const JSON_TYPE = { "content-type": "application/json" };
const MIB = 1024 * 1024;

let server: HttpServer;
let raw: Raw;
/** The Host header that is right. */
let host: string;
let session: Record<string, string>;
beforeAll(async () => {
  server = await HttpServer.start({ args: ["--token", "right", "--token", "other"] });
  raw = new Raw(server);
  host = `127.0.0.1:${server.port}`;
  session = { ...TOKEN, ...(await begin(raw, TOKEN)) };
});
afterAll(async () => {
  try {
    expect(isAlive(server.pid)).toBe(true);
    const client = await server.connect({ token: "right" });
    expect((await client.report("train", forest(5))).status).toBe("success");
  } finally {
    await server.dispose();
  }
});

const rpc = (method: string, id: unknown = 1, params = {}) =>
  JSON.stringify({ jsonrpc: "2.0", id, method, params });
const PING = rpc("ping");
const initialize = rpc("initialize", 1, {
  protocolVersion: "2025-11-25",
  capabilities: {},
  clientInfo: { name: "raw", version: "1" },
});
const pong = (id: unknown) => ({ jsonrpc: "2.0", id, result: {} });
const answers = ({ events }: RawResponse) =>
  events.flatMap(({ data }) => (data === "" ? [] : [JSON.parse(data)]));

test("what follows is refused by these requests' faults, not by something that all of them have", async () => {
  const response = await raw.post(PING, session);
  expect([response.status, answers(response)]).toEqual([200, [pong(1)]]);
  const { url } = server;
  expect(new URL(url).hostname).toBe("127.0.0.1");
});

describe("Host and Origin", () => {
  test.each([
    ["another name", "evil.example", 403],
    ["another name with our port", () => `evil.example:${server.port}`, 403],
    ["a name that begins like ours", () => `127.0.0.1.evil.example:${server.port}`, 403],
    ["another port", "127.0.0.1:1", 403],
    ["no port", "127.0.0.1", 403],
    ["nothing", "", 403],
    ["user information", () => `x@127.0.0.1:${server.port}`, 403],
    ["the loopback by name", () => `localhost:${server.port}`, 200],
    ["the loopback in capitals", () => `LOCALHOST:${server.port}`, 200],
    ["the loopback of IPv6", () => `[::1]:${server.port}`, 200],
  ])("Host: %s", async (_, name, status) => {
    const sent = typeof name === "string" ? name : name();
    expect((await raw.post(PING, { ...session, host: sent })).status).toBe(status);
    // Before a token is looked at, and on every path.
    const get = { host: sent };
    if (status === 403)
      for (const path of ["/mcp", "/sse", "/messages", "/"])
        expect((await raw.get(get, path)).status, path).toBe(403);
  });

  test.each([
    ["https://evil.example", 403],
    ["http://localhost.evil.example", 403],
    ["null", 403],
    ["", 403],
    ["file://", 403],
    ["http://localhost:6274", 200],
    ["http://127.0.0.1", 200],
    ["https://[::1]:1234", 200],
  ])("Origin: %s", async (origin, status) => {
    const response = await raw.post(PING, { ...session, origin });
    expect(response.status).toBe(status);
    expect(response.headers).not.toHaveProperty("access-control-allow-origin");
    const legacy = await raw.post(PING, { ...TOKEN, origin }, "/messages?sessionId=x");
    expect(legacy.status).toBe(status === 403 ? 403 : 404);
  });

  test("no Host at all", async () => {
    const bytes = "GET /mcp HTTP/1.1\r\nconnection: close\r\n\r\n";
    expect((await raw.send(bytes)).status).toBe(400);
    expect((await raw.send("GET /mcp HTTP/1.0\r\n\r\n")).status).toBe(403);
  });

  test.each([
    ["host", "evil.example"],
    ["origin", "http://localhost"],
    ["authorization", "Bearer other"],
    ["content-type", "text/plain"],
    ["mcp-session-id", "another"],
  ])("%s twice", async (name, second) => {
    const headers = { host, ...ACCEPT, ...JSON_TYPE, origin: "http://localhost", ...session };
    const twice = `${name}: ${second}\r\n`;
    const first = head("POST /mcp", { ...headers, "content-length": String(PING.length) });
    const bytes = first.replace(/\r\n\r\n$/, `\r\n${twice}\r\n`);
    expect((await raw.send(bytes, PING)).status).toBe(400);
  });
});

describe("tokens", () => {
  test.each([
    ["none", undefined, false],
    ["a wrong one", "Bearer wrong", true],
    ["the beginning of one", "Bearer righ", true],
    ["more than one", "Bearer right2", true],
    ["two in one", "Bearer right other", false],
    ["none in the header", "Bearer", false],
    ["another scheme", "Basic right", false],
    ["the bare token", "right", false],
  ])("%s", async (_, authorization, invalid) => {
    const headers = authorization === undefined ? {} : { authorization };
    const asked = [
      await raw.post(initialize, headers),
      await raw.post(PING, { ...session, authorization: "", ...headers }),
      await raw.get({ ...headers, accept: "text/event-stream" }, "/sse"),
      await raw.post(PING, headers, "/messages?sessionId=x"),
      await raw.get({ ...headers, "mcp-session-id": session["mcp-session-id"]! }, "/mcp", "DELETE"),
    ];
    for (const { status, headers: answered } of asked) {
      expect(status).toBe(401);
      expect(answered["www-authenticate"]).toMatch(/^Bearer realm="ml-executor"/);
      expect(answered["www-authenticate"]!.includes("invalid_token")).toBe(invalid);
    }
    expect((await raw.post(PING, session)).status).toBe(200);
  });

  test("the scheme's name is read in any case", async () => {
    const headers = { ...session, authorization: "bearer  right" };
    expect((await raw.post(PING, headers)).status).toBe(200);
  });
});

describe("bodies", () => {
  const tooLarge = JSON.stringify({ ...JSON.parse(PING), params: { x: "x".repeat(5 * MIB) } });
  const chunked = { host: "", ...ACCEPT, ...JSON_TYPE, "transfer-encoding": "chunked" };

  test("too large by its own word, before any of it is sent", async () => {
    const headers = { ...session, "content-length": String(1024 * MIB) };
    expect((await raw.post("", headers)).status).toBe(413);
  });
  test("too large, and sent", async () => {
    expect((await raw.post(tooLarge, session)).status).toBe(413);
    expect((await raw.post(tooLarge, session, "/messages?sessionId=x")).status).toBe(404);
  });
  test("too large in chunks, without an end", async () => {
    const first = head("POST /mcp", { ...chunked, ...session, host });
    const chunk = `${MIB.toString(16)}\r\n${"x".repeat(MIB)}\r\n`;
    expect((await raw.send(first, chunk, chunk, chunk, chunk, chunk)).status).toBe(413);
  });
  test("just within the limit", async () => {
    const params = { x: "x".repeat(4 * MIB - 200) };
    expect((await raw.post(rpc("ping", 1, params), session)).status).toBe(200);
  });
  test("shorter than its length says", async () => {
    const headers = { ...session, "content-length": String(PING.length - 5) };
    expect((await raw.post(PING, headers)).status).toBe(400);
  });
  test.each([
    ["two lengths", { "content-length": "5, 50" }],
    ["a length and chunks", { "transfer-encoding": "chunked" }],
    ["a negative length", { "content-length": "-1" }],
  ])("%s", async (_, headers) => {
    expect((await raw.post(PING, { ...session, ...headers })).status).toBe(400);
  });
  test.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["a number", "1"],
    ["null", "null"],
    ["no JSON-RPC", "{}"],
    ["another version", '{"jsonrpc": "1.0", "id": 1, "method": "ping"}'],
    ["an id that is an object", rpc("ping", {})],
    ["an id that is null", rpc("ping", null)],
    ["an empty batch", "[]"],
    ["a batch of nonsense", "[1, 2]"],
    ["101 in a batch", `[${Array.from({ length: 101 }, (_, id) => rpc("ping", id)).join()}]`],
    ["initialize in a batch", `[${initialize}, ${PING}]`],
    ["the same id twice in a batch", `[${PING}, ${PING}]`],
    ["initialize once more", initialize],
    ["a deep hole", `${"[".repeat(100_000)}`],
  ])("%s", async (_, body) => {
    expect((await raw.post(body, session)).status).toBe(400);
    expect((await raw.post(PING, session)).status).toBe(200);
  });
  test("bytes that are no UTF-8", async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"jsonrpc":"2.0","id":1,"method":"'),
      Buffer.of(0xff),
    ]);
    const length = { "content-length": String(bytes.length) };
    const first = head("POST /mcp", { host, ...ACCEPT, ...JSON_TYPE, ...session, ...length });
    expect((await raw.send(first, bytes)).status).toBe(400);
  });
  test("a batch, each of it answered", async () => {
    const response = await raw.post(`[${rpc("ping", "a")}, ${rpc("ping", "b")}]`, session);
    expect(response.status).toBe(200);
    expect(answers(response)).toEqual([pong("a"), pong("b")]);
  });
  test.each([
    ["text", { "content-type": "text/plain" }],
    ["no type", { "content-type": "" }],
    ["a type that only begins like JSON", { "content-type": "application/json-seq" }],
    ["another charset", { "content-type": "application/json; charset=utf-16" }],
    ["compressed", { "content-encoding": "gzip" }],
  ])("%s", async (_, headers) => {
    expect((await raw.post(PING, { ...session, ...headers })).status).toBe(415);
  });
});

describe("half a request", () => {
  test("the rest of whose body never comes", async () => {
    const first = head("POST /mcp", {
      host,
      ...ACCEPT,
      ...JSON_TYPE,
      ...session,
      "content-length": "99",
    });
    const socket = raw.open();
    socket.write(first + PING);
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    expect((await raw.post(PING, session)).status).toBe(200);
  });
  test("the rest of whose head never comes", async () => {
    expect((await raw.send("POST /mcp HTTP/1.1\r\nhost: ")).status).toBe(408);
  });
  test.each([
    ["garbage", "\0\x01\x02garbage\r\n\r\n", 400],
    ["the beginning of TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400],
    ["no HTTP", "MCP please\r\n\r\n", 400],
    ["a head without end", `GET / HTTP/1.1\r\nx: ${"x".repeat(100_000)}`, 431],
  ])("%s", async (_, bytes, status) => {
    expect((await raw.send(bytes)).status).toBe(status);
  });
});

describe("sessions", () => {
  const unknown = { "mcp-session-id": "00000000-0000-0000-0000-000000000000" };
  test("that are not there, not named, or another principal's", async () => {
    const id = session["mcp-session-id"]!;
    const stranger = { ...OTHER, "mcp-session-id": id };
    const legacy = await legacySession(OTHER);
    const cases: [string, RawResponse, number][] = [
      ["unknown", await raw.post(PING, { ...TOKEN, ...unknown }), 404],
      ["unknown, initialize", await raw.post(initialize, { ...TOKEN, ...unknown }), 404],
      ["unknown, GET", await raw.get({ ...TOKEN, ...unknown, accept: "text/event-stream" }), 404],
      ["unknown, DELETE", await raw.get({ ...TOKEN, ...unknown }, "/mcp", "DELETE"), 404],
      ["none", await raw.post(PING, TOKEN), 400],
      ["none, GET", await raw.get({ ...TOKEN, accept: "text/event-stream" }), 400],
      ["none, DELETE", await raw.get(TOKEN, "/mcp", "DELETE"), 400],
      ["a stranger's", await raw.post(PING, stranger), 404],
      ["a stranger's, DELETE", await raw.get(stranger, "/mcp", "DELETE"), 404],
      ["of the other transport", await raw.post(PING, TOKEN, `/messages?sessionId=${id}`), 404],
      ["older: unknown", await raw.post(PING, TOKEN, "/messages?sessionId=x"), 404],
      ["older: none", await raw.post(PING, TOKEN, "/messages"), 400],
      ["older: a stranger's", await raw.post(PING, TOKEN, legacy.path), 404],
      ["older: no JSON-RPC", await raw.post("{}", OTHER, legacy.path), 400],
      ["older: its own", await raw.post(PING, OTHER, legacy.path), 202],
    ];
    for (const [name, { status }, wanted] of cases) expect(status, name).toBe(wanted);
    legacy.end();
    expect((await raw.post(PING, session)).status).toBe(200);
  });

  test("a version of the protocol that is not there", async () => {
    const headers = { ...session, "mcp-protocol-version": "1999-01-01" };
    expect((await raw.post(PING, headers)).status).toBe(400);
  });

  test("a client that takes no event stream", async () => {
    for (const accept of ["application/json", "text/event-stream", "text/html", ""])
      expect((await raw.post(PING, { ...session, accept })).status, accept).toBe(406);
    expect((await raw.get({ ...session, accept: "application/json" })).status).toBe(406);
  });

  test("a request id that is in use, in the same session", async () => {
    const client = await server.connect({ token: "right" });
    const { job } = (await client.call("train", forest(FOREVER, { waitSeconds: 0 })))
      .structuredContent as any;
    const call = rpc("tools/call", "same", {
      name: "job-status",
      arguments: { jobId: job.id, waitSeconds: 5 },
    });
    const first = raw.post(call, session);
    await until("the first is worked on", async () => {
      const { status } = await raw.post(rpc("ping", "same"), session);
      return status === 400;
    });
    expect(answers(await first)[0].result.structuredContent.job.id).toBe(job.id);
    expect((await raw.post(rpc("ping", "same"), session)).status).toBe(200);
    await client.call("job-cancel", { jobId: job.id });
  });
});

describe("methods and paths", () => {
  test.each([
    ["PUT", "/mcp", 405, "POST, GET, DELETE"],
    ["PATCH", "/mcp", 405, "POST, GET, DELETE"],
    ["HEAD", "/mcp", 405, "POST, GET, DELETE"],
    ["OPTIONS", "/mcp", 405, "POST, GET, DELETE"],
    ["TRACE", "/mcp", 405, "POST, GET, DELETE"],
    ["DELETE", "/sse", 405, "GET"],
    ["GET", "/messages", 405, "POST"],
    ["GET", "/", 404, undefined],
    ["GET", "/mcp/", 404, undefined],
    ["GET", "/mcp/../../etc/passwd", 404, undefined],
    ["GET", "/constructor", 404, undefined],
    ["GET", "/.well-known/oauth-protected-resource", 404, undefined],
    ["GET", "//evil.example/mcp", 404, undefined],
    ["GET", "http://evil.example/mcp", 404, undefined],
  ])("%s %s", async (method, path, status, allow) => {
    const response = await raw.get({ ...session, accept: "text/event-stream" }, path, method);
    expect(response.status).toBe(status);
    expect(response.headers.allow).toBe(allow);
  });
});

test("two clients' answers never cross, though both use the same ids at once", async () => {
  const sessions = await Promise.all(
    [TOKEN, OTHER, TOKEN, OTHER].map(async (token) => ({ ...token, ...(await begin(raw, token)) })),
  );
  await Promise.all(
    sessions.flatMap((headers, client) =>
      Array.from({ length: 25 }, async (_, id) => {
        const jobId = `job-${client}-${id}`;
        const params = { name: "job-status", arguments: { jobId } };
        const answered = answers(await raw.post(rpc("tools/call", id, params), headers));
        expect(answered).toHaveLength(1);
        expect(answered[0].id).toBe(id);
        expect(answered[0].result.structuredContent.error.metadata.sent).toBe(jobId);
      }),
    ),
  );
});

describe("pages of other origins", () => {
  test("that were allowed may read the answers; the rest may not even ask", async () => {
    const page = "https://app.example";
    const open = await HttpServer.start({
      args: ["--allowed-origin", page, "--allowed-host", "proxy.example"],
    });
    try {
      const there = new Raw(open);
      const ask = { origin: page, "access-control-request-method": "POST" };
      const preflight = await there.get(ask, "/mcp", "OPTIONS");
      expect(preflight.status).toBe(204);
      expect(preflight.headers["access-control-allow-origin"]).toBe(page);
      const began = await there.post(initialize, { origin: page });
      expect(began.status).toBe(200);
      expect(began.headers["access-control-allow-origin"]).toBe(page);
      expect(began.headers["access-control-expose-headers"]).toContain("Mcp-Session-Id");
      const local = await there.get({ origin: "http://localhost:3000" }, "/mcp", "OPTIONS");
      expect(local.headers).not.toHaveProperty("access-control-allow-origin");
      const evil = await there.get({ origin: "https://evil.example" }, "/mcp", "OPTIONS");
      expect(evil.status).toBe(403);
      // Through a proxy, under whatever port that has.
      for (const name of ["proxy.example", "proxy.example:8443"])
        expect((await there.post(initialize, { host: name })).status, name).toBe(200);
    } finally {
      await open.dispose();
    }
  });
});

describe("every address of the machine", () => {
  test("is served by its own names, to those who have a token", async () => {
    const open = await HttpServer.start({ args: ["--host", "0.0.0.0", "--token", "right"] });
    try {
      const there = new Raw(open);
      const status = async (name: string, headers = {}) =>
        (await there.post(initialize, { host: `${name}:${open.port}`, ...headers })).status;
      const addresses = Object.values(networkInterfaces())
        .flatMap((all) => all ?? [])
        .filter(({ family }) => family === "IPv4")
        .map(({ address }) => address);
      for (const name of [...addresses, hostname(), "localhost"]) {
        expect(await status(name, TOKEN), name).toBe(200);
        expect(await status(name), name).toBe(401);
      }
      expect(await status("evil.example", TOKEN)).toBe(403);
      expect(await status("0.0.0.0", TOKEN)).toBe(403);
    } finally {
      await open.dispose();
    }
  });
});

/** A session of the older transport: where it takes messages, and what ends it. */
async function legacySession(headers: Record<string, string>) {
  const socket = raw.open();
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  void answerTo(socket, head("GET /sse", { host, ...headers }));
  const path = () => /^data: (\/messages\S+)/m.exec(text)?.[1];
  await until("the stream begins", () => path() !== undefined);
  return { path: path()!, end: () => socket.destroy() };
}
