import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { data, Server } from "./client.js";
import { isAlive } from "./processes.js";

/** Estimators that misbehave in every way that a user's code can. */

const script = (body: string) => `
import ctypes, os, sys, time
from sklearn.base import BaseEstimator, ClassifierMixin

class Bad(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = sorted(set(y))
${body.replaceAll(/^/gm, "        ")}
        return self

    def predict(self, X):
        return [self.classes_[0]] * len(X)
`;

describe.each(["fork", "spawn"])("jobs started by %s", (method) => {
  let server: Server;
  beforeAll(async () => {
    server = await Server.start({ env: { ML_EXECUTOR_START_METHOD: method } });
  });
  afterAll(async () => {
    await server.dispose();
  });

  let count = 0;
  const callOf = (body: string, more: Record<string, unknown> = {}) => {
    const file = `bad${++count}.py`;
    writeFileSync(join(server.cwd, file), script(body));
    return {
      framework: "sklearn",
      config: { modelScript: file, dataPath: data("iris.csv"), targetColumn: "species" },
      ...more,
    };
  };

  test("one that raises: its own line is named", async () => {
    const error = await server.error("train", callOf("raise RuntimeError('no luck today')"));
    expect(error).toMatchObject({ type: "training-failure", exitCode: 1 });
    expect(error.message).toMatch(/no luck today/);
    expect(JSON.stringify(error)).toMatch(/bad\d+\.py/);
  });

  test("one that prints megabytes, to both streams and past Python", async () => {
    const report = await server.report(
      "train",
      callOf(
        "for _ in range(200):\n    print('x' * 50_000)\n    os.write(1, b'{\"jsonrpc\": \"2.0\"}\\n')\n    os.write(2, b'y' * 50_000)",
      ),
    );
    expect(report.status).toBe("success");
    expect(server.impurities).toEqual([]);
  });

  test("one that calls os._exit", async () => {
    const error = await server.error("train", callOf("os.write(2, b'last words\\n'); os._exit(3)"));
    expect(error).toMatchObject({ type: "runner-crashed", exitCode: 3 });
    expect(error.stderr).toMatch(/last words/);
  });

  test("one that segfaults", async () => {
    const error = await server.error("train", callOf("ctypes.string_at(0)"));
    expect(error).toMatchObject({ type: "runner-crashed", exitCode: 139 });
    expect(error.message).toMatch(/SIGSEGV|segmentation/i);
  });

  test("one whose child outlives it in a session of its own", async () => {
    const mark = join(server.cwd, `pid${count}`);
    const body = `if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        open(${JSON.stringify(mark)}, 'w').write(str(os.getpid()))\n        os.execve(sys.executable, ['x', '-c', 'import time; time.sleep(600)'], {})\n    os._exit(0)\nwhile not os.path.exists(${JSON.stringify(mark)}): time.sleep(0.01)\ntime.sleep(0.2)`;
    const report = await server.report("train", callOf(body));
    expect(report.status).toBe("success");
    const { readFileSync } = await import("node:fs");
    expect(isAlive(Number(readFileSync(mark, "utf8")))).toBe(false);
  });

  test("one that never ends meets its timeout", async () => {
    const error = await server.error("train", callOf("while True: pass", { timeout: 2 }));
    expect(error).toMatchObject({ type: "timeout-exceeded", exitCode: 124 });
  });

  test("one that ignores every signal is cancelled all the same", async () => {
    const call = callOf(
      "import signal\nfor s in (1, 2, 10, 12, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(1)",
    );
    const { structuredContent } = await server.call("train", { ...call, waitSeconds: 2 });
    const { job } = structuredContent as any;
    const start = Date.now();
    expect((await server.call("job-cancel", { jobId: job.id })).structuredContent).toMatchObject({
      job: { state: "cancelled" },
    });
    expect(Date.now() - start).toBeLessThan(10_000);
  });

  test("one that eats memory until Python has none", async () => {
    const error = await server.error("train", callOf("x = bytearray(1 << 60)"));
    expect(error).toMatchObject({ type: "out-of-memory", exitCode: 137 });
  });

  test("after all that, a good call works and nothing is left running", async () => {
    await server.expectUnhurt();
  });
});
