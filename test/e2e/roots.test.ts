import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, inject, test } from "vitest";
import { data, makesFolders, startsServers } from "./client.js";

/** What is out of bounds, whoever names it and however; and files that are none. */

// Folders are removed when the servers in them have ended: the hook that came first runs last.
const folder = makesFolders();
const start = startsServers();

const tree = (dataPath: string, more: Record<string, unknown> = {}) => ({
  framework: "sklearn",
  config: { algorithm: "DecisionTreeClassifier", dataPath, targetColumn: "species" },
  ...more,
});
const outside = (error: { type: string; message: string }) => {
  expect(error).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
  expect(error.message).toMatch(/outside the directories/);
};

describe("a client's roots", () => {
  test("narrow --root; percent-encoding is read, another scheme or host is nothing", async () => {
    const root = folder();
    const project = join(root, "a project ü%");
    mkdirSync(project);
    for (const place of [root, project]) copyFileSync(data("iris.csv"), join(place, "iris.csv"));
    const server = await start({
      args: ["--root", root],
      roots: [
        pathToFileURL(project).href,
        "https://example.org/x",
        "file://elsewhere/x",
        "file:///C:/Users/x",
        "file:///a%2Fb",
        "file:///not/there",
      ],
    });
    expect((await server.report("train", tree("iris.csv"))).status).toBe("success");
    const error = await server.error("train", tree(join(root, "iris.csv")));
    outside(error);
    expect(error.metadata?.allowed).toEqual([project]);
  });

  test("outside --root leave nothing within bounds, and never everything", async () => {
    const root = folder();
    copyFileSync(data("iris.csv"), join(root, "iris.csv"));
    for (const roots of [[pathToFileURL(folder()).href], ["untitled:Untitled-1"]]) {
      const server = await start({ args: ["--root", root], roots });
      for (const path of ["iris.csv", join(root, "iris.csv"), data("iris.csv")]) {
        const error = await server.error("train", tree(path));
        outside(error);
        expect(error.solution).toMatch(/nothing in common/);
      }
    }
  });
});

test("an interpreter outside the roots is not started", async () => {
  const root = folder();
  const trace = join(root, "started");
  const tool = join(folder(), "tool");
  writeFileSync(tool, `#!/bin/sh\ntouch ${trace}\n`, { mode: 0o755 });
  copyFileSync(data("iris.csv"), join(root, "iris.csv"));
  const server = await start({ args: ["--root", root] });
  outside(await server.error("train", tree("iris.csv", { pythonEnv: tool })));
  outside(await server.error("environment", { pythonEnv: tool }));
  outside(await server.error("describe", { path: "iris.csv", pythonEnv: tool }));
  expect(existsSync(trace)).toBe(false);
  // One that lies there may lead to an interpreter that is installed elsewhere.
  execFileSync(inject("python"), ["-m", "venv", "--without-pip", join(root, "own")]);
  const error = await server.error("train", tree("iris.csv", { pythonEnv: "own" }));
  expect(error.type).toBe("framework-not-found");
});

describe("links that are swapped while they are used", () => {
  /** Swaps `path` between two targets, without end, in a thread of its own. */
  function swapping(path: string, targets: [string, string]): Worker {
    const source = `
      const { symlinkSync, renameSync, rmSync } = require("node:fs");
      const { path, targets } = require("node:worker_threads").workerData;
      for (let turn = 0; ; turn += 1) {
        const link = path + ".next";
        symlinkSync(targets[turn % 2], link);
        renameSync(link, path);
      }`;
    return new Worker(source, { eval: true, workerData: { path, targets } });
  }

  test("lead no reading and no writing outside", async () => {
    const root = folder();
    const secret = folder();
    const SECRET = "column_of_the_secret";
    mkdirSync(join(root, "inside"));
    copyFileSync(data("iris.csv"), join(root, "inside/table.csv"));
    writeFileSync(join(secret, "table.csv"), `${SECRET},species\n1,a\n2,b\n`);
    const server = await start({ args: ["--root", root] });
    symlinkSync(join(root, "inside"), join(root, "link"));
    const worker = swapping(join(root, "link"), [join(root, "inside"), secret]);
    try {
      for (let turn = 0; turn < 60; turn += 1) {
        const told = JSON.stringify(await server.call("describe", { path: "link/table.csv" }));
        expect(told).not.toContain(SECRET);
      }
      for (let turn = 0; turn < 6; turn += 1) {
        const call = tree("inside/table.csv", { outputDir: `link/${turn}`, overwrite: true });
        const told = JSON.stringify(await server.finish("train", call));
        expect(told).not.toContain("internal-error");
      }
    } finally {
      await worker.terminate();
    }
    expect(readdirSync(secret)).toEqual(["table.csv"]);
  });
});

describe("what is no regular file", () => {
  const table = "x,species\n1,a\n2,b\n3,a\n4,b\n";

  test("as data, model, script and output: a clear error, at once", async () => {
    const server = await start({});
    const at = (name: string) => join(server.cwd, name);
    execFileSync("mkfifo", [at("fifo")]);
    mkdirSync(at("folder"));
    writeFileSync(at("empty"), "");
    writeFileSync(at("table.csv"), table);
    const socket = `import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])`;
    execFileSync(inject("python"), ["-c", socket, at("socket")]);
    for (const path of ["fifo", "folder", "empty", "socket", "/dev/zero", "/proc/self/mem"]) {
      const error = await server.error("train", tree(path));
      expect(error, path).toMatchObject({ type: "data-loading-error", exitCode: 1 });
      expect(error.message).toContain(path);
      const model = await server.error("predict", {
        config: { modelPath: path, inputData: "table.csv" },
      });
      expect(model, path).toMatchObject({ type: "model-loading-error", exitCode: 1 });
      const script = await server.error("train", {
        framework: "sklearn",
        config: { modelScript: path, dataPath: "table.csv", targetColumn: "species" },
      });
      expect(script.type, path).toMatch(/model-loading-error|invalid-configuration/);
    }
    for (const outputDir of ["fifo", "empty", "empty/below", "/dev/null", "/proc/nowhere"]) {
      const error = await server.error("train", tree("table.csv", { outputDir }));
      expect(error, outputDir).toMatchObject({ type: "invalid-configuration", exitCode: 2 });
      expect(error.message).toMatch(/outputDir '\//);
    }
  });
});

describe("a model that was tampered with", () => {
  test("its description, its file or its script altered: refused, and nothing of it runs", async () => {
    const server = await start({});
    const trace = join(server.cwd, "ran");
    writeFileSync(
      join(server.cwd, "own.py"),
      "from sklearn.tree import DecisionTreeClassifier\nclass Own(DecisionTreeClassifier):\n    pass\n",
    );
    await server.report("train", {
      framework: "sklearn",
      outputDir: "good",
      config: {
        modelScript: "own.py",
        modelClass: "Own",
        dataPath: data("iris.csv"),
        targetColumn: "species",
      },
    });
    const good = join(server.cwd, "good");
    const predict = () =>
      server.error("predict", { config: { modelPath: "bad", inputData: data("iris.csv") } });
    const bad = join(server.cwd, "bad");
    const alter = (name: string, change: (text: Buffer) => Buffer | string) => {
      rmSync(bad, { recursive: true, force: true });
      execFileSync("cp", ["-r", good, bad]);
      writeFileSync(join(bad, name), change(readFileSync(join(bad, name))));
    };
    const evil = `import pathlib\npathlib.Path(${JSON.stringify(trace)}).touch()\n`;

    alter("model.pkl.meta.json", (text) => text.toString().replace('"Own"', '"own"'));
    expect(await predict()).toMatchObject({ type: "model-loading-error" });
    alter("model.pkl", (bytes) => Buffer.concat([bytes, Buffer.from("x")]));
    expect((await predict()).message).toMatch(/changed since it was described/);
    alter("model_script/own.py", (text) => evil + text.toString());
    expect((await predict()).message).toMatch(/changed since the model was saved/);
    rmSync(join(bad, "model_script/own.py"));
    expect((await predict()).message).toMatch(/is not there/);

    // A pickle that runs code when it is loaded, under the good model's description.
    const pickle = `import os, pickle, sys
class Evil:
    def __reduce__(self):
        return (os.mkdir, (sys.argv[1],))
sys.stdout.buffer.write(pickle.dumps(Evil()))`;
    const bytes = execFileSync(inject("python"), ["-c", pickle, trace]);
    alter("model.pkl", () => bytes);
    expect((await predict()).type).toBe("model-loading-error");
    rmSync(join(bad, "model.pkl.meta.json"));
    const refused = await predict();
    expect(refused.metadata?.key).toBe("config.allowPickle");
    expect(existsSync(trace)).toBe(false);

    // The key of another state directory vouches for nothing here.
    renameSync(join(server.home, "key"), join(server.home, "key.away"));
    writeFileSync(join(server.home, "key"), Buffer.alloc(32, 7));
    rmSync(bad, { recursive: true });
    execFileSync("cp", ["-r", good, bad]);
    expect((await predict()).message).toMatch(/not signed by this machine/);
  });
});
