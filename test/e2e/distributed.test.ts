import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { gpuCount } from "../../src/runners/gpus.js";
import { data, eventsOf, jobOf, ROOT, Server, until } from "./client.js";
import { isAlive, processesOf } from "./processes.js";

/**
 * Trainings by several processes, here two on the CPU. That it is several GPUs is the one thing that
 * is not tried where there are none.
 */

type Json = Record<string, any>;

const PLAIN = join(ROOT, "runners/tests/plain/distributed_plain.py");

const NET = `
import os
import torch
from torch import nn

RANK = int(os.environ.get("RANK", 0))

class Net(nn.Module):
    def __init__(self, in_features, num_classes, normed=False, dropout=0.0):
        super().__init__()
        self.first = nn.Linear(in_features, 32)
        self.norm = nn.BatchNorm1d(32) if normed else nn.Identity()
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(32, num_classes)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        # WORK
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))
`;

/** What `forward` does first, in the process of rank 1, at the twentieth call. */
const atRank1 = (work: string) =>
  NET.replace(
    "# WORK",
    `
        if RANK == 1 and self.training:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 20:
                ${work}
`,
  );

const ENV = {
  CUDA_VISIBLE_DEVICES: "",
  ML_EXECUTOR_CHECKPOINT_SECONDS: "0",
  ML_EXECUTOR_PEER_SECONDS: "5",
};

let server: Server;
let count = 0;

function callOf(config: Json = {}, script = NET, more: Json = {}): Json {
  const name = `net${++count}`;
  writeFileSync(join(server.cwd, `${name}.py`), script);
  return {
    framework: "pytorch",
    config: {
      modelScript: `${name}.py`,
      modelClass: "Net",
      dataPath: data("digits.train.csv"),
      validationData: data("digits.test.csv"),
      targetColumn: "target",
      lossFunction: "cross_entropy",
      epochs: 3,
      batchSize: 64,
      distributed: "ddp",
      devices: 2,
      ...config,
    },
    outputDir: `out/${name}`,
    gpuEnabled: false,
    ...more,
  };
}

/** Without what makes it several processes. */
function alone(call: Json): Json {
  const { distributed: _d, devices: _n, ...config } = call.config;
  return { ...call, config, outputDir: `${call.outputDir}-alone` };
}

const python = (...args: string[]) => execFileSync(inject("python"), args, { encoding: "utf8" });

function plain(call: Json, kase: Json): Json {
  const { dataPath, validationData, modelScript, targetColumn, epochs, batchSize } = call.config;
  const given = { target: targetColumn, epochs, batch: batchSize, ...kase };
  const script = join(server.cwd, modelScript);
  return JSON.parse(python(PLAIN, dataPath, validationData, script, JSON.stringify(given)));
}

/** The greatest difference between two trainings' losses and accuracies. */
function distance({ metrics }: Json, history: Json[]): number {
  const own = (epoch: number) => [
    metrics.train.loss[epoch],
    metrics.validation.loss[epoch],
    metrics.validation.accuracy[epoch],
  ];
  return Math.max(
    ...history.flatMap((figures, epoch) =>
      [figures.train_loss, figures.val_loss, figures.val_accuracy].map((value, place) =>
        Math.abs(value - own(epoch)[place]),
      ),
    ),
  );
}

const figuresOf = ({ metrics }: Json): Json[] =>
  metrics.train.loss.map((loss: number, epoch: number) => ({
    train_loss: loss,
    val_loss: metrics.validation.loss[epoch],
    val_accuracy: metrics.validation.accuracy[epoch],
  }));

/** The processes of a job that train, by rank. */
const ranks = () =>
  processesOf(server.home)
    .map((process) => ({ ...process, rank: / rank (\d) 2 \d+$/.exec(process.command)?.[1] }))
    .filter(({ rank }) => rank !== undefined)
    .sort((a, b) => Number(a.rank) - Number(b.rank));

const noneLeft = () => until("its processes are gone", () => ranks().length === 0, 10);

/** Whether two files of torch hold the same tensors, to the last bit. */
const sameWeights = (first: string, second: string): boolean =>
  python(
    "-c",
    "import sys, torch; a, b = (torch.load(f, weights_only=True) for f in sys.argv[1:]);" +
      "print(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a))",
    first,
    second,
  ).trim() === "True";

const inCwd = (path: string) => join(server.cwd, path);

beforeAll(async () => {
  server = await Server.start({ env: ENV });
});
afterAll(async () => {
  await server.dispose();
});

describe("what two processes compute is what one does", () => {
  test("batches that divide unevenly; the report says what was done", async () => {
    const call = callOf({ optimizer: "adam", learningRate: 0.01 });
    const two = await server.report("train", call);
    const one = await server.report("train", alone(call));
    const expected = plain(call, { optimizer: "Adam", args: { lr: 0.01 }, processes: 2 });
    expect(distance(two, expected.one.history)).toBeLessThan(1e-5);
    expect(distance(two, expected.ddp.history)).toBeLessThan(1e-5);
    expect(distance(two, figuresOf(one))).toBeLessThan(1e-5);
    expect(two.metadata).toMatchObject({
      batchSize: 64,
      samplesProcessed: 1347,
      distributed: {
        strategy: "ddp",
        devices: 2,
        backend: "gloo",
        batchSizePerDevice: 32,
        threadsPerProcess: 1,
      },
    });
    expect(one.metadata.distributed).toBeUndefined();
    expect(Object.keys(two.artifacts!)).toEqual(Object.keys(one.artifacts!));
    expect(two.warnings).toBeUndefined();
    await noneLeft();
  });

  test("a process without a row in the last batch, accumulation, clipping", async () => {
    // 1347 rows are 2 · 673 + 1.
    const config = {
      optimizer: "sgd",
      learningRate: 0.01,
      momentum: 0.9,
      gradientAccumulation: 2,
      gradientClipping: 1,
      batchSize: 673,
    };
    const call = callOf({ ...config, epochs: 4 });
    const two = await server.report("train", call);
    const expected = plain(call, {
      optimizer: "SGD",
      args: { lr: 0.01, momentum: 0.9 },
      accumulate: 2,
      clip: 1,
      processes: 1,
    });
    expect(distance(two, expected.one.history)).toBeLessThan(1e-5);
  });

  test("a process whose memory does not suffice for its rows works on fewer at once", async () => {
    // The allocator refuses 8 TiB, as it does what is merely too much.
    const work = "if RANK == 1 and len(x) > 20: torch.empty(1 << 43, dtype=torch.uint8)";
    const call = callOf({}, NET.replace("# WORK", work));
    const two = await server.report("train", call);
    const one = await server.report("train", alone(call));
    expect(distance(two, figuresOf(one))).toBeLessThan(1e-5);
    expect(two.warnings).toEqual([
      expect.stringMatching(/^rank 1: Out of memory at epoch 1, batch 1 .*32 rows.*parts of 16/),
    ]);
  });

  test("a training further, with frozen layers", async () => {
    const first = callOf({ epochs: 1 });
    await server.report("train", first);
    const { modelScript: _s, modelClass: _c, ...config } = callOf({ epochs: 2 }).config;
    const further = {
      ...first,
      config: { ...config, pretrainedModel: first.outputDir, freezeLayers: ["first"] },
      outputDir: `${first.outputDir}-further`,
    };
    const two = await server.report("fine-tune", further);
    const one = await server.report("fine-tune", alone(further));
    expect(distance(two, figuresOf(one))).toBeLessThan(1e-5);
    expect(two.metadata.distributed).toMatchObject({ strategy: "ddp", devices: 2 });
  });

  test("data sets and a step of the script's own", async () => {
    const script = `${NET}
from torch.utils.data import Dataset, IterableDataset
from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)

class Items(Dataset):
    def __len__(self):
        return 601
    def __getitem__(self, at):
        return {"x": torch.tensor(X[at]).float(), "label": int(y[at])}

class Stream(IterableDataset):
    def __iter__(self):
        return ((torch.tensor(X[at]).float(), int(y[at])) for at in range(601))

def build_datasets(config):
    return (Stream() if config["modelArgs"].get("stream") else Items()), Items()

def training_step(model, batch):
    x, label = batch if isinstance(batch, (list, tuple)) else (batch["x"], batch["label"])
    outputs = model.last(torch.relu(model.first(x)))
    return torch.nn.functional.cross_entropy(outputs, label), outputs

def build_model(config, stream=False):
    return Net(64, 10)
`;
    for (const stream of [false, true]) {
      const { dataPath: _p, validationData: _v, targetColumn: _t, ...config } = callOf().config;
      const call = callOf({}, script);
      call.config = { ...config, modelScript: call.config.modelScript, batchSize: 50 };
      delete call.config.modelClass;
      call.config.modelArgs = { stream };
      const two = await server.report("train", call);
      const one = await server.report("train", alone(call));
      expect(distance(two, figuresOf(one))).toBeLessThan(1e-5);
      expect(two.metadata.samplesProcessed).toBe(601);
    }
  });
});

describe("a training that is broken off goes on", () => {
  const EXACT = { modelArgs: { normed: true, dropout: 0.3 }, epochs: 4, checkpointSteps: 5 };
  const slow = NET.replace("# WORK", "import time; time.sleep(0.01)");
  let whole: Json;
  let call: Json;

  const begun = async (by = server) => {
    call = callOf(EXACT, slow);
    const id = jobOf(await by.call("train", { ...call, waitSeconds: 0 })).id;
    const checkpoint = () => eventsOf(server, id).find(({ type }) => type === "checkpoint");
    await until("it has a checkpoint", () => checkpoint() !== undefined, 60);
    return id;
  };

  test("BatchNorm by process is told", async () => {
    call = callOf(EXACT, slow);
    whole = await server.report("train", call);
    expect(whole.warnings).toEqual([expect.stringMatching(/BatchNorm.*each process/)]);
  });

  test.each([0, 1])("rank %i is killed", async (rank) => {
    const id = await begun();
    const pids = ranks().map(({ pid }) => pid);
    expect(pids).toHaveLength(2);
    process.kill(pids[rank]!, "SIGKILL");
    const error = await server.error("job-status", { jobId: id, waitSeconds: 50 });
    expect(error).toMatchObject({
      type: "runner-crashed",
      exitCode: 137,
      metadata: { rank, ranks: 2, signal: "SIGKILL" },
      nextCall: { tool: "resume", arguments: { config: { jobId: id } } },
    });
    expect(error.message).toMatch(new RegExp(`[Rr]ank ${rank} of 2 died of signal 9`));
    expect(pids.filter(isAlive)).toEqual([]);
    const report = await server.report("resume", error.nextCall!.arguments);
    expect(report.metrics).toEqual(whole.metrics);
    const last = inCwd(report.artifacts!.lastModel!);
    expect(sameWeights(last, inCwd(whole.artifacts.lastModel))).toBe(true);
    expect((report.metadata as Json).resumedFrom.done).toBeLessThan(4);
  });

  test.each([
    ["the job's own process", "pid"],
    ["its supervisor", "supervisorPid"],
  ])("%s is killed: the ranks go with it", async (_name, which) => {
    const id = await begun();
    const pids = ranks().map(({ pid }) => pid);
    expect(pids).toHaveLength(2);
    const started = eventsOf(server, id).find(({ type }) => type === "started");
    process.kill(started[which], "SIGKILL");
    const error = await server.error("job-status", { jobId: id, waitSeconds: 50 });
    expect(error).toMatchObject({ type: "runner-crashed", nextCall: { tool: "resume" } });
    // Who adopts the job kills them, and does not wait for the kernel to take their memory back.
    await until("they are gone", () => !pids.some(isAlive), 10);
  });

  test("it is cancelled, and gone on with, with another number of devices too", async () => {
    const id = await begun();
    await server.call("job-cancel", { jobId: id });
    const error = await server.error("job-status", { jobId: id, waitSeconds: 50 });
    expect(error).toMatchObject({ type: "cancelled", exitCode: 130 });
    expect(error.metadata!.lastCheckpoint).toMatchObject({ unit: "epoch" });
    await noneLeft();
    const { config } = error.nextCall!.arguments as Json;
    const other: Json = await server.report("resume", {
      config: { ...config, devices: 1 },
      outputDir: `${call.outputDir}-1`,
    });
    expect(other.warnings).toContainEqual(expect.stringMatching(/1 device where there were 2/));
    const close = { ...figuresOf(whole).at(-1) };
    expect(Math.abs(other.metrics.val_accuracy - close.val_accuracy)).toBeLessThan(0.1);
    const report = await server.report("resume", { config });
    expect(report.metrics).toEqual(whole.metrics);
  });

  test("the server is killed meanwhile: nothing of it is noticed", async () => {
    const killed = await Server.start({ cwd: server.cwd, home: server.home, env: ENV });
    const id = await begun(killed);
    process.kill(killed.pid, "SIGKILL");
    const { structuredContent } = await server.finish("job-status", {
      jobId: id,
      waitSeconds: 50,
    });
    expect((structuredContent as Json).executionReport.metrics).toEqual(whole.metrics);
  });
});

describe("a process that fails ends all", () => {
  const FAULTS: [string, string, Json, RegExp][] = [
    [
      "an exception in forward",
      "raise KeyError('no luck today')",
      {
        type: "training-failure",
        exitCode: 1,
        metadata: { rank: 1, ranks: 2, exception: "KeyError" },
      },
      /^Rank 1 of 2: .*no luck today.*net\d+\.py/,
    ],
    [
      "os._exit",
      "os.write(2, b'last words\\n'); os._exit(3)",
      {
        type: "runner-crashed",
        exitCode: 3,
        metadata: { rank: 1 },
        stderr: expect.stringMatching(/last words/),
      },
      /^Rank 1 of 2 ended by itself with exit code 3/,
    ],
    [
      "a segmentation fault",
      "import ctypes; ctypes.string_at(0)",
      { type: "runner-crashed", exitCode: 139, metadata: { rank: 1, signal: "SIGSEGV" } },
      /^Rank 1 of 2 died of signal 11/,
    ],
    [
      "NaN",
      "return self.last(torch.relu(self.first(x))) * float('nan')",
      { type: "training-diverged", exitCode: 1, metadata: { epoch: 1, step: 20 } },
      /^Training loss became NaN at epoch 1, step 20/,
    ],
    [
      "it hangs",
      "import time; time.sleep(600)",
      {
        type: "training-failure",
        metadata: { ranks: 2, silentRanks: [1], timeoutSeconds: 5 },
      },
      /^Rank 1 of 2 did not answer/,
    ],
  ];

  const failed = async (call: Json) => {
    const jobId = jobOf(await server.call("train", { ...call, waitSeconds: 0 })).id;
    return { jobId, ...(await server.error("job-status", { jobId, waitSeconds: 50 })) };
  };

  test.each(FAULTS)("%s", async (_name, work, expected, says) => {
    const error = await server.error("train", callOf({}, atRank1(work)));
    expect(error).toMatchObject(expected);
    expect(error.message).toMatch(says);
    expect(error.solution.length).toBeGreaterThan(10);
    await noneLeft();
  });

  test("a script that raised is mended, and the training goes on", async () => {
    const call = callOf({ checkpointSteps: 5 }, atRank1("raise KeyError('once')"));
    const { jobId, ...error } = await failed(call);
    expect(error.message).toMatch(/^Rank 1 of 2: KeyError/);
    writeFileSync(inCwd(call.config.modelScript), NET);
    const report = await server.report("resume", { config: { jobId } });
    expect(report.warnings).toEqual([expect.stringMatching(/modelScript.*changed/)]);
    const whole = await server.report("train", callOf());
    expect(report.metrics).toEqual(whole.metrics);
  });

  test("what all of them meet is told once, of none", async () => {
    const script = NET.replace("# WORK", "raise KeyError('the same for all')");
    const error = await server.error("train", callOf({}, script));
    expect(error.message).toMatch(/^KeyError: .*the same for all/);
    expect(error.metadata!.rank).toBeUndefined();
    const missing = await server.error("train", callOf({ dataPath: "nowhere.csv" }));
    expect(missing).toMatchObject({ type: "data-loading-error" });
    expect(missing.message).not.toMatch(/[Rr]ank/);
  });

  test("more time than it has", async () => {
    const script = NET.replace("# WORK", "import time; time.sleep(0.05)");
    const error = await server.error("train", callOf({ epochs: 1000 }, script, { timeout: 12 }));
    expect(error).toMatchObject({ type: "timeout-exceeded", nextCall: { tool: "resume" } });
    await noneLeft();
  });
});

describe("what there is not", () => {
  test("more devices than cores", async () => {
    const cores = cpus().length;
    const error = await server.error("train", callOf({ devices: 1024, batchSize: 2048 }));
    expect(error).toMatchObject({
      type: "invalid-configuration",
      metadata: { key: "config.devices", sent: 1024 },
    });
    const { allowed } = error.metadata as Json;
    expect(allowed).toBeLessThanOrEqual(cores);
    expect(error.nextCall!.arguments).toMatchObject({ config: { devices: allowed } });
  });

  test("dp without GPUs", async () => {
    const call = callOf({ distributed: "dp" });
    const error = await server.error("train", call);
    expect(error).toMatchObject({
      type: "invalid-configuration",
      metadata: { key: "config.distributed", sent: "dp", gpus: 0 },
    });
    const { config } = error.nextCall!.arguments as Json;
    expect(config).toEqual(alone(call).config);
  });

  test("devices that nothing shares; a batch with fewer rows than devices", async () => {
    const { distributed: _, ...config } = callOf().config;
    const lone = await server.error("train", { ...callOf(), config });
    expect(lone.message).toMatch(/'config.devices' needs 'config.distributed'/);
    const few = await server.error("train", callOf({ batchSize: 1 }));
    expect(few).toMatchObject({ metadata: { key: "config.batchSize", sent: 1, devices: 2 } });
  });

  test("auto, and ddp without a number: one process, which is said", async () => {
    const auto: Json = await server.report("train", callOf({ distributed: "auto", epochs: 1 }));
    expect(auto.metadata.distributed).toMatchObject({ strategy: "none", devices: 1 });
    expect(auto.metadata.distributed.why).toMatch(/no GPU/);
    expect(auto.warnings).toEqual([expect.stringMatching(/devices: 2 was not used/)]);
    const call = callOf({ epochs: 1 });
    delete call.config.devices;
    const ddp = await server.report("train", call);
    expect(ddp.metadata.distributed).toMatchObject({ strategy: "none", devices: 1 });
    expect(ddp.warnings).toEqual([expect.stringMatching(/ddp was one process/)]);
  });
});

// Only a machine with two GPUs can say what NCCL and DataParallel do.
const gpus = gpuCount({ environment: process.env, platform: process.platform });
describe.skipIf(gpus < 2)(`two GPUs (this machine has ${gpus})`, () => {
  let onGpus: Server;
  beforeAll(async () => {
    onGpus = await Server.start({ cwd: server.cwd });
  });
  afterAll(async () => {
    await onGpus.close();
  });

  test.each([
    ["ddp", "ddp", "nccl"],
    ["dp", "dp", undefined],
    ["auto", "ddp", "nccl"],
  ])("%s computes what one GPU does", async (distributed, strategy, backend) => {
    const call = callOf({ distributed, devices: 2 }, NET, { gpuEnabled: true });
    const two = await onGpus.report("train", call);
    const one = await onGpus.report("train", alone(call));
    expect(distance(two, figuresOf(one))).toBeLessThan(1e-4);
    expect(two.gpuUsed).toBe(true);
    expect(two.metadata.distributed).toMatchObject({
      strategy,
      devices: 2,
      ...(backend && { backend }),
    });
    expect(two.metadata.peakGPUMemoryByDevice).toHaveLength(2);
  });
});

test("after all that, a good call works and nothing is left running", async () => {
  const report = await server.report("train", callOf({ epochs: 1 }));
  expect(report.status).toBe("success");
  await server.expectUnhurt();
});
