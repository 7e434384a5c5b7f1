import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { control } from "../../src/jobs/control.js";
import { makeFifo, temporaryDirectory } from "../support.js";

test("a control FIFO tells whether somebody reads it, and carries a cancel", async () => {
  const directory = temporaryDirectory();
  expect(await control(directory)).toBe("absent");
  makeFifo(join(directory, "control"));
  expect(await control(directory, "cancel")).toBe("unread");
  // As the supervisor holds it.
  const held = await open(join(directory, "control"), constants.O_RDWR | constants.O_NONBLOCK);
  expect(await control(directory)).toBe("supervised");
  expect(await control(directory, "cancel")).toBe("supervised");
  const { buffer, bytesRead } = await held.read(Buffer.alloc(64), 0, 64);
  expect(buffer.toString("utf8", 0, bytesRead)).toBe("cancel\n");
  await held.close();
  expect(await control(directory)).toBe("unread");
});
