import { expect, test } from "vitest";
import { type ExecutorError, manifestSha256, PROTOCOL_VERSION } from "../../src/contract/index.js";
import { checkHello } from "../../src/runners/zygote.js";

test("a process of another version is refused, and told apart by what differs", () => {
  const ours = { protocol: PROTOCOL_VERSION, manifest: manifestSha256() };
  expect(() => checkHello(ours, "the zygote")).not.toThrow();
  for (const other of [{ protocol: 99 }, { manifest: "0123456789abcdef" }]) {
    try {
      checkHello({ ...ours, ...other }, "the zygote");
      expect.unreachable();
    } catch (error) {
      const { shape } = error as ExecutorError;
      expect(shape.type).toBe("internal-error");
      expect(shape.message).toContain(String(Object.values(other)[0]).slice(0, 12));
      expect(shape.solution).toContain("restart the server");
    }
  }
});
