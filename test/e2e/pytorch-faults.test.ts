import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { data, Server } from "./client.js";
import { isAlive } from "./processes.js";

/** Scripts of networks that misbehave in every way that a user's code can. */

type Json = Record<string, any>;

const HEAD =
  "import ctypes, os, subprocess, sys, threading, time\nimport torch\nfrom torch import nn\n";

/** A script whose model does `work` in `forward` and then what a good one does. */
const forward = (work: string) => `${HEAD}
class Model(nn.Module):
    def __init__(self, in_features, num_classes):
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)

    def forward(self, inputs):
        outputs = self.layer(inputs)
${work.replaceAll(/^/gm, "        ")}
        return outputs
`;
const module = (name: string, rest = "") => forward("").replace("Model(", `${name}(`).concat(rest);

let server: Server;
let count = 0;

/** The call of a training on irises with such a script. */
function callOf(script: string, config: Json = {}, more: Json = {}): Json {
  const file = `bad${++count}.py`;
  writeFileSync(join(server.cwd, file), script);
  return {
    framework: "pytorch",
    config: {
      modelScript: file,
      dataPath: data("iris.csv"),
      targetColumn: "species",
      lossFunction: "cross_entropy",
      epochs: 2,
      ...config,
    },
    gpuEnabled: false,
    ...more,
  };
}

interface Fault {
  name: string;
  script: string;
  config?: Json;
  more?: Json;
  error: Json;
  says: RegExp;
}

const NUMBERS = {
  targetColumn: "petal_width",
  featureColumns: ["petal_length", "sepal_width"],
  lossFunction: "mse",
};

const FAULTS: Fault[] = [
  {
    name: "a syntax error",
    script: `${HEAD}class Model(nn.Module)\n    pass\n`,
    error: { type: "model-loading-error", exitCode: 1 },
    says: /bad\d+\.py.*SyntaxError.*line 4/,
  },
  {
    name: "a missing import",
    script: `import torch\nimport a_module_that_is_not_there\n`,
    error: { type: "model-loading-error" },
    says: /a_module_that_is_not_there.*line 2/,
  },
  {
    name: "another class than said",
    script: module("Small", forward("").slice(HEAD.length).replace("Model(", "Large(")),
    config: { modelClass: "Lagre" },
    error: { type: "model-loading-error", metadata: { found: ["Small", "Large"], sent: "Lagre" } },
    says: /'Lagre'.*Small, Large/,
  },
  {
    name: "two classes, and none said",
    script: module("Small", forward("").slice(HEAD.length).replace("Model(", "Large(")),
    error: { type: "model-loading-error", metadata: { found: ["Small", "Large"] } },
    says: /Small, Large/,
  },
  {
    name: "arguments that are missing",
    script: forward("")
      .replace("num_classes)", "num_classes, width, depth)")
      .replace("num_classes, width, depth)\n\n", "num_classes)\n\n"),
    config: { modelArgs: { width: 3 } },
    error: { type: "invalid-configuration", exitCode: 2, metadata: { key: "config.modelArgs" } },
    says: /needs the argument 'depth'/,
  },
  {
    name: "outputs of another shape, classes",
    script: forward("return outputs[:, :, None].repeat(1, 1, 5)"),
    error: { type: "invalid-configuration" },
    says: /\(32, 3, 5\).*\(32,\)/s,
  },
  {
    name: "outputs of another shape, numbers",
    script: forward("return outputs.repeat(1, 4)"),
    config: { ...NUMBERS, modelArgs: { num_classes: 1 } },
    error: { type: "invalid-configuration", metadata: { outputs: [32, 4], targets: [32] } },
    says: /\(32, 4\).*\(32,\)/,
  },
  {
    name: "inputs of another shape than a layer takes",
    script: forward("").replace("nn.Linear(in_features,", "nn.Linear(7,"),
    error: { type: "training-failure", metadata: { inputShape: [32, 4], weightShape: [7, 3] } },
    says: /32x4 and 7x3/,
  },
  {
    name: "a tuple for outputs",
    script: forward("return outputs, outputs"),
    error: { type: "invalid-configuration" },
    says: /tuple/,
  },
  {
    name: "no parameters",
    script: `${HEAD}class Model(nn.Module):\n    def forward(self, inputs):\n        return inputs\n`,
    error: { type: "model-loading-error", metadata: { parameters: 0 } },
    says: /no parameters/,
  },
  {
    name: "an endless loop at import",
    script: `${HEAD}while True: pass\n`,
    more: { timeout: 5 },
    error: { type: "timeout-exceeded", exitCode: 124 },
    says: /5 seconds/,
  },
  {
    name: "an endless loop in forward",
    script: forward("while True: pass"),
    more: { timeout: 8 },
    error: { type: "timeout-exceeded", exitCode: 124 },
    says: /8 seconds/,
  },
  {
    name: "recursion without an end",
    script: forward("return self.forward(inputs)"),
    error: { type: "training-failure", exitCode: 1, metadata: { exception: "RecursionError" } },
    says: /RecursionError.*bad\d+\.py/s,
  },
  {
    name: "recursion while it is made",
    script: forward("").replace("super()", "Model(in_features, num_classes); super()"),
    error: { type: "model-loading-error" },
    says: /RecursionError/,
  },
  {
    name: "os._exit",
    script: forward("os.write(2, b'last words\\n'); os._exit(3)"),
    error: { type: "runner-crashed", exitCode: 3, stderr: expect.stringMatching(/last words/) },
    says: /3/,
  },
  {
    name: "sys.exit in forward",
    script: forward("sys.exit(4)"),
    error: { type: "training-failure", exitCode: 1 },
    says: /sys\.exit\(4\)/,
  },
  {
    name: "a segmentation fault",
    script: forward("ctypes.string_at(0)"),
    error: { type: "runner-crashed", exitCode: 139 },
    says: /SIGSEGV|segmentation/i,
  },
  {
    name: "reading stdin at import",
    script: `${HEAD}input()\n`,
    error: { type: "model-loading-error" },
    says: /EOFError.*line 4/,
  },
  {
    name: "reading stdin in forward",
    script: forward("input()"),
    error: { type: "training-failure", metadata: { exception: "EOFError" } },
    says: /EOFError/,
  },
  {
    name: "an exception of its own",
    script: forward("raise KeyError('no luck today')"),
    error: {
      type: "training-failure",
      metadata: { frame: { code: "raise KeyError('no luck today')" } },
    },
    says: /no luck today.*bad\d+\.py/,
  },
  {
    name: "8 TiB in forward",
    script: forward("torch.empty(1 << 43, dtype=torch.uint8)"),
    error: { type: "out-of-memory", exitCode: 137, metadata: { allocationBytes: 2 ** 43 } },
    says: /8(\.0+)? ?TB|8192/,
  },
  {
    name: "8 TiB of parameters",
    script: forward("").replace(
      "num_classes)\n\n",
      "num_classes)\n        self.large = nn.Linear(1 << 21, 1 << 20)\n\n",
    ),
    error: { type: "out-of-memory", exitCode: 137, metadata: { allocationBytes: 2 ** 43 } },
    says: /bad\d+\.py/,
  },
  {
    name: "its own .cuda() where there is none",
    script: forward("inputs.cuda()"),
    error: { type: "cuda-error", exitCode: 1, solution: expect.stringMatching(/\.cuda\(\)/) },
    says: /CUDA|NVIDIA/,
  },
  {
    name: "a loss without a gradient",
    script: forward("return outputs.detach()"),
    error: { type: "training-failure" },
    says: /grad/,
  },
  {
    name: "fewer outputs than classes",
    script: forward("return outputs[:, :2]"),
    error: { type: "invalid-configuration" },
    says: /2.*3|3.*2/,
  },
];

describe.each(["fork", "spawn"])("scripts, in jobs started by %s", (method) => {
  beforeAll(async () => {
    server = await Server.start({
      env: { ML_EXECUTOR_START_METHOD: method, CUDA_VISIBLE_DEVICES: "" },
    });
  });
  afterAll(async () => {
    await server.dispose();
  });
  // A process that starts afresh imports PyTorch for seconds.
  const some = ["outputs of another shape, classes", "os._exit", "8 TiB in forward"];
  const faults = method === "fork" ? FAULTS : FAULTS.filter(({ name }) => some.includes(name));

  test.each(faults)("$name", async ({ script, config, more, error: expected, says }) => {
    const error = await server.error("train", callOf(script, config, more));
    expect(error).toMatchObject(expected);
    expect(error.message).toMatch(says);
    expect(error.solution.length).toBeGreaterThan(10);
  });

  test("forged messages on every descriptor, megabytes of them: none reaches the client", async () => {
    const forged = `{"jsonrpc": "2.0", "id": 1, "result": {}}\\n`;
    const script = forward(
      `for fd in (1, 2): os.write(fd, b'${forged}' * 1000)\nprint('x' * 100_000)`,
    );
    const report = await server.report("train", callOf(script));
    expect(report.status).toBe("success");
    expect(server.impurities).toEqual([]);
  });

  test("threads and children that would outlive the job", async () => {
    const mark = join(server.cwd, `pid-${method}`);
    const body = `
if not os.path.exists(${JSON.stringify(mark)}):
    threading.Thread(target=lambda: time.sleep(600)).start()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    open(${JSON.stringify(mark)}, "w").write(str(child.pid))`;
    const report = await server.report("train", callOf(forward(body)));
    expect(report.status).toBe("success");
    expect(isAlive(Number(readFileSync(mark, "utf8")))).toBe(false);
  });

  test("after all that, a good call works and nothing is left running", async () => {
    const report = await server.report("train", callOf(forward("")));
    expect(report.status).toBe("success");
    await server.expectUnhurt();
  });
});
