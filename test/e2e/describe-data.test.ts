import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, inject, test } from "vitest";
import { ROOT, Server } from "./client.js";

/** `describe` of data for networks, through MCP: real digits as a folder of images. */

let server: Server | undefined;
afterEach(async () => {
  await server?.dispose();
  server = undefined;
});

test("a folder of images is described with its classes, sizes and broken files", async () => {
  server = await Server.start();
  const script = join(ROOT, "runners/tests/data/samples/digits.py");
  execFileSync(inject("python"), [script, join(server.cwd, "digits")]);
  writeFileSync(join(server.cwd, "digits/digit_3/broken.png"), "");
  const { structuredContent } = await server.call("describe", { path: "digits" });
  const { description } = structuredContent as { description: Record<string, unknown> };
  expect(description).toMatchObject({
    path: "digits",
    kind: "images",
    layout: "classes",
    images: 1798,
    classes: { digit_0: 178, digit_3: 184, digit_9: 180 },
    headersRead: 1000,
    modes: { L: expect.any(Number) },
  });
});

test("an image that a link takes from outside the root is refused by name", async () => {
  const root = mkdtempSync(join(tmpdir(), "mlx-images-"));
  try {
    mkdirSync(join(root, "inside/cat"), { recursive: true });
    writeFileSync(join(root, "other.png"), "");
    symlinkSync(join(root, "other.png"), join(root, "inside/cat/one.png"));
    server = await Server.start({ args: ["--root", join(root, "inside")] });
    const answer = await server.call("describe", { path: join(root, "inside") });
    expect(answer.isError).toBe(true);
    expect(answer.structuredContent).toMatchObject({
      error: { type: "invalid-configuration", message: expect.stringMatching(/one\.png.*outside/) },
    });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
