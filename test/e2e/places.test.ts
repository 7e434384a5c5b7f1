import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { data, makesFolders, Server, startsServers } from "./client.js";

/** Where paths are taken from, what is out of bounds, and which Python a job runs in. */

// Folders are removed when the servers in them have ended: the hook that came first runs last.
const folder = makesFolders();
const start = startsServers();

const tree = (dataPath: string, more: Record<string, unknown> = {}) => ({
  framework: "sklearn",
  config: { algorithm: "DecisionTreeClassifier", dataPath, targetColumn: "species" },
  ...more,
});

describe("roots", () => {
  test("paths are taken from --root; what lies outside it is refused, links resolved", async () => {
    const root = folder();
    const outside = folder();
    copyFileSync(data("iris.csv"), join(root, "iris.csv"));
    copyFileSync(data("iris.csv"), join(outside, "iris.csv"));
    symlinkSync(join(outside, "iris.csv"), join(root, "link.csv"));
    const server = await start({ args: ["--root", root] });
    expect((await server.report("train", tree("iris.csv", { outputDir: "model" }))).outputDir).toBe(
      "model",
    );
    for (const call of [
      tree(join(outside, "iris.csv")),
      tree("../iris.csv"),
      tree("link.csv"),
      tree("iris.csv", { outputDir: join(outside, "model") }),
    ]) {
      const error = await server.error("train", call);
      expect(error).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
      expect(error.message).toMatch(/outside/);
    }
    expect((await server.call("describe", { path: join(outside, "iris.csv") })).isError).toBe(true);
  });

  test("a server that was started in / takes absolute paths only", async () => {
    const home = folder();
    const server = await Server.start({ cwd: "/", home });
    try {
      const error = await server.error("train", tree("iris.csv"));
      expect(error).toMatchObject({ type: "invalid-configuration" });
      expect(error.message).toMatch(/relative/);
      expect((await server.report("train", tree(data("iris.csv")))).status).toBe("success");
    } finally {
      await server.close();
    }
  });
});

describe("the Python of a job", () => {
  const bare = (directory: string) => {
    execFileSync(inject("python"), ["-m", "venv", "--without-pip", directory]);
    return directory;
  };

  test("an environment that was named and lacks the framework: the command that installs it there", async () => {
    const server = await start({});
    const pythonEnv = bare(join(server.cwd, "bare"));
    const error = await server.error("train", tree(data("iris.csv"), { pythonEnv }));
    expect(error).toMatchObject({ type: "framework-not-found", exitCode: 127 });
    expect(error.solution).toContain(join(pythonEnv, "bin/python"));
    expect(error.solution).toMatch(/install scikit-learn/);
  });

  test("a .venv that merely lies there and lacks it is passed over, with a warning", async () => {
    const cwd = folder();
    bare(join(cwd, ".venv"));
    // The managed environment comes last; here it is the one of the tests.
    const server = await start({ cwd, env: { ML_EXECUTOR_PYTHON: "" } });
    const result = await server.finish("train", tree(data("iris.csv")));
    const content = result.structuredContent as any;
    const told = JSON.stringify(content);
    expect(told).toMatch(/\.venv/);
    if (content.executionReport)
      expect(content.executionReport.metadata.python.kind).toBe("managed");
    else expect(content.error.type).toBe("framework-not-found");
  });

  test("one that does not exist", async () => {
    const server = await start({});
    const error = await server.error("train", tree(data("iris.csv"), { pythonEnv: "no/such/env" }));
    expect(error).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
    expect(error.message).toMatch(/no\/such\/env/);
  });
});

describe("progress", () => {
  test("a step that takes long is no silence", async () => {
    const server = await start({});
    mkdirSync(join(server.cwd, "scripts"));
    writeFileSync(
      join(server.cwd, "scripts/slow.py"),
      "import time\nfrom sklearn.tree import DecisionTreeClassifier\nclass Slow(DecisionTreeClassifier):\n    def fit(self, X, y):\n        time.sleep(11)\n        return super().fit(X, y)\n",
    );
    const told: string[] = [];
    const config = {
      modelScript: "scripts/slow.py",
      modelClass: "Slow",
      dataPath: data("iris.csv"),
      targetColumn: "species",
    };
    const result = await server.call(
      "train",
      { framework: "sklearn", config, waitSeconds: 50 },
      { onprogress: ({ message }) => void told.push(message ?? "") },
    );
    expect(result.structuredContent).toHaveProperty("executionReport");
    expect(
      told.some((message) => /^training, \d/.test(message)),
      told.join("; "),
    ).toBe(true);
  });
});
