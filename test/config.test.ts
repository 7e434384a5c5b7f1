import { availableParallelism } from "node:os";
import { describe, expect, test } from "vitest";
import { readConfig, UsageError } from "../src/config.js";

const read = (argv: string[], environment: Record<string, string> = {}, cwd = "/projects/dir") =>
  readConfig(argv, { HOME: "/home/u", ...environment }, cwd);

describe("commands", () => {
  test.each([
    [[], { name: "serve", http: null }],
    [["serve", "--root", "a"], { name: "serve", http: null }],
    [["--root", "a"], { name: "serve", http: null }],
    [["run", "-"], { name: "run", request: "-" }],
    [["jobs"], { name: "jobs", jobs: { verb: "list", limit: 20, json: false } }],
    [
      ["jobs", "list", "-n", "3", "--json"],
      { name: "jobs", jobs: { verb: "list", limit: 3, json: true } },
    ],
    [["jobs", "show", "abc"], { name: "jobs", jobs: { verb: "show", id: "abc", json: false } }],
    [
      ["jobs", "logs", "abc", "--stderr", "--tail", "2"],
      {
        name: "jobs",
        jobs: { verb: "logs", id: "abc", json: false, which: "stderr", tailBytes: 2048 },
      },
    ],
    [["doctor", "--json"], { name: "doctor", json: true }],
    [["demo"], { name: "demo" }],
    [["--help"], { name: "help", of: null }],
    [["run", "--help"], { name: "help", of: "run" }],
    [["jobs", "--version"], { name: "version" }],
  ])("%j", (argv, command) => {
    expect(read(argv).command).toEqual(command);
  });

  test("setup names frameworks with commas between", () => {
    const { command } = read(["setup", "--frameworks", "sklearn, xgboost"]);
    expect(command).toMatchObject({ name: "setup", frameworks: ["sklearn", "xgboost"] });
  });

  test("serve --http takes where to listen, and whom to let in", () => {
    expect(read(["--http"], { ML_EXECUTOR_TOKEN: "" }).command).toEqual({
      name: "serve",
      http: {
        host: "127.0.0.1",
        port: 8765,
        tokens: [],
        allowedHosts: [],
        allowedOrigins: [],
        sessionSeconds: 1800,
      },
    });
    const argv = ["serve", "--http", "--host", "::", "--port", "0", "--session-timeout", "5"];
    const allowed = ["--allowed-host", "Proxy:1", "--allowed-origin", "https://App.example/"];
    const variables = { ML_EXECUTOR_TOKEN: "a, b," };
    const { command } = read([...argv, ...allowed], variables);
    const http = {
      host: "::",
      port: 0,
      tokens: ["a", "b"],
      allowedHosts: ["proxy:1"],
      allowedOrigins: ["https://app.example"],
      sessionSeconds: 5,
    };
    expect(command).toEqual({ name: "serve", http });
    // The command line's tokens are all that count.
    expect(read([...argv, "--token", "c"], variables).command).toMatchObject({
      http: { tokens: ["c"] },
    });
  });

  test("an address that others reach demands a token", () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.2", "example.com", "[::]"])
      expect(() => read(["--http", "--host", host]), host).toThrow(/demands a token/);
    for (const host of ["localhost", "127.0.0.2", "::1", "[::1]"])
      expect(read(["--http", "--host", host]).command, host).toMatchObject({ name: "serve" });
  });

  test.each([
    [["--port", "1"], /--port belongs to serve --http/],
    [["--token", "a"], /--token belongs to serve --http/],
    [["run", "-", "--http"], /--http/],
    [["--http", "--port", "65536"], /--port is '65536'/],
    [["--http", "--port", "-1"], /port/],
    [["--http", "--port", ""], /--port is ''/],
    [["--http", "--host", ""], /--host is empty/],
    [["--http", "--token", ""], /visible ASCII/],
    [["--http", "--token", "a b"], /visible ASCII/],
    [["--http", "--session-timeout", "0"], /--session-timeout is '0'/],
    [["--http", "--allowed-host", "http://x"], /--allowed-host is/],
    [["--http", "--allowed-host", ""], /--allowed-host is/],
    [["--http", "--allowed-origin", "x.example"], /--allowed-origin is/],
    [["--http", "--allowed-origin", "https://x/path"], /--allowed-origin is/],
    [["rnu"], /unknown command 'rnu'/],
    [["run"], /name a request file/],
    [["run", "a", "b"], /'b' is one argument too many/],
    [["--frobnicate"], /--frobnicate/],
    [["doctor", "--root", "a"], /--root/],
    [["--wait", "51"], /--wait is '51'/],
    [["--slots", "0"], /--slots is '0'/],
    [["--memory-limit", "much"], /--memory-limit is 'much'; it takes a size such as 4GB/],
    [["--memory-limit", "1MB"], /at least 64MB/],
    [["run", "-", "--memory-limit", "101%"], /at most 100%/],
    [["--slots", "1.5"], /--slots is '1.5'/],
    [["--log-level", "loud"], /--log-level is 'loud'/],
    [["jobs", "stop", "x"], /'stop' is none of/],
    [["jobs", "show"], /name a job/],
    [["jobs", "show", "x", "--tail", "3"], /--tail does not belong/],
    [["setup", "--frameworks", ","], /names no framework/],
  ])("%j is refused", (argv, words) => {
    expect(() => read(argv)).toThrow(UsageError);
    expect(() => read(argv)).toThrow(words);
  });
});

describe("settings", () => {
  test("directories follow XDG, and the variables of ours before it", () => {
    const { config } = read([], { XDG_DATA_HOME: "/data", ML_EXECUTOR_CACHE: "~/cache" });
    expect(config.cache).toBe("/home/u/cache");
    if (process.platform === "linux") expect(config.home).toBe("/data/ml-executor");
    expect(read([], { ML_EXECUTOR_HOME: "state" }).config.home).toBe("/projects/dir/state");
  });

  test("slots and threads share the cores", () => {
    const cores = availableParallelism();
    expect(read([]).config.slots).toBe(Math.max(1, Math.min(4, Math.floor(cores / 4))));
    expect(read(["--slots", "1"]).config.threads).toBe(cores);
    expect(read(["--slots", "1000"]).config.threads).toBe(1);
  });

  test.each([
    ["4GB", { bytes: 4 * 1024 ** 3 }],
    ["512 MiB", { bytes: 512 * 1024 ** 2 }],
    ["1.5g", { bytes: 1.5 * 1024 ** 3 }],
    ["80%", { share: 0.8 }],
  ])("--memory-limit %s", (text, limit) => {
    expect(read(["--memory-limit", text]).config.memoryLimit).toEqual(limit);
    expect(read([]).config.memoryLimit).toBeNull();
  });

  test("the start method is checked", () => {
    expect(read([], { ML_EXECUTOR_START_METHOD: "spawn" }).config.startMethod).toBe("spawn");
    expect(() => read([], { ML_EXECUTOR_START_METHOD: "forkserver" })).toThrow(/fork or spawn/);
  });

  test("roots become absolute", () => {
    const { config } = read(["--root", "a", "--root", "~/b"]);
    expect(config.roots).toEqual(["/projects/dir/a", "/home/u/b"]);
  });
});
