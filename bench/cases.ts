import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "gpt-tokenizer/encoding/o200k_base";
import { median, ms, quantile, type Row, run, timed, times } from "./measure.js";
import { binary, Session } from "./session.js";

export { ping } from "./http.js";
export { firstStep, imageRows, stepTime } from "./networks.js";

/** What a case needs to know. */
export interface Setting {
  root: string;
  python: string;
  /** Where the data sets of `test/plain/datasets.py` lie. */
  data: string;
}

export type Case = (setting: Setting) => Promise<Row[]>;

const forest = (dataPath: string, trees: number) => ({
  framework: "sklearn",
  config: {
    algorithm: "RandomForestClassifier",
    dataPath,
    targetColumn: "target",
    hyperparameters: { n_estimators: trees },
  },
});

/** From spawn to the answer to `initialize`, with nothing else running. */
async function startOnce(command: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [file = "", ...args] = command;
  const start = performance.now();
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "ignore"], env });
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "bench", version: "1" },
  };
  child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params })}\n`);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const taken = performance.now() - start;
  child.stdin.end();
  await new Promise((resolve) => child.once("exit", resolve));
  return taken;
}

export const start: Case = async (setting) => {
  const env = {
    ...process.env,
    ML_EXECUTOR_HOME: join(setting.data, "bench-state"),
    ML_EXECUTOR_PYTHON: setting.python,
  };
  const ours: number[] = [];
  const bare: number[] = [];
  for (let i = 0; i < 11; i++) {
    bare.push(await timed(() => run(process.execPath, ["-e", "0"])));
    ours.push(await startOnce(binary(setting.root), env));
  }
  const ratio = median(ours) / median(bare);
  return [
    {
      claim: "spawn to answered `initialize`",
      measured: `${ms(median(ours))} (${times(ratio)})`,
      against: `bare \`node -e 0\`: ${ms(median(bare))}`,
      aim: "under 2.5 ×",
      holds: ratio < 2.5,
    },
  ];
};

export const predict: Case = async (setting) => {
  const session = await Session.start(binary(setting.root), setting.python);
  const echo = await Session.start(
    [process.execPath, join(setting.root, "bench/plain/echo-server.mjs")],
    setting.python,
  );
  try {
    const table = join(setting.data, "breast_cancer.test.csv");
    const row = join(session.directory, "row.csv");
    writeFileSync(row, readFileSync(table, "utf8").split("\n").slice(0, 2).join("\n"));
    const trained = await session.report("train", {
      ...forest(join(setting.data, "breast_cancer.train.csv"), 50),
      outputDir: "model",
    });
    const modelPath = trained.artifacts.model as string;
    const call = { framework: "sklearn", config: { modelPath, inputData: row } };
    for (let i = 0; i < 20; i++) await session.report("predict", call);
    const ours: number[] = [];
    const echoes: number[] = [];
    for (let i = 0; i < 200; i++) {
      ours.push(await timed(() => session.call("predict", call)));
      echoes.push(await timed(() => echo.call("echo", call)));
    }
    const script = join(setting.root, "bench/plain/predict.py");
    const bare = Number(
      await run(setting.python, [script, join(session.directory, modelPath), row, "target"]),
    );
    const overhead = median(ours) - bare;
    return [
      {
        claim: "one-row warm `predict` (30 columns, 50 trees) over stdio, beyond `model.predict`",
        measured: `p50 ${ms(overhead)}, p99 ${ms(quantile(ours, 0.99) - bare)} (whole call p50 ${ms(median(ours))})`,
        against: `in-process \`model.predict\`: ${ms(bare)}; the SDK's own echo call: ${ms(median(echoes))}`,
        aim: "p50 under 5 ms",
        holds: overhead < 5,
      },
    ];
  } finally {
    await session.close();
    await echo.close();
  }
};

export const train: Case = async (setting) => {
  const session = await Session.start(binary(setting.root), setting.python);
  try {
    const table = join(setting.data, "breast_cancer.csv");
    const script = join(setting.root, "bench/plain/fit.py");
    const out = join(session.directory, "plain.pkl");
    await session.report("train", forest(table, 50));
    const ours: number[] = [];
    for (let i = 0; i < 15; i++)
      ours.push(await timed(() => session.report("train", forest(table, 50))));
    const fit = Number(await run(setting.python, [script, table, out, "15"]));
    const whole: number[] = [];
    for (let i = 0; i < 5; i++)
      whole.push(await timed(() => run(setting.python, [script, table, out])));
    const beyond = median(ours) - fit;
    const ratio = median(ours) / median(whole);
    return [
      {
        claim: "second `train` of a small forest (569 rows, 50 trees), beyond the fit",
        measured: `${ms(beyond)} (whole call ${ms(median(ours))})`,
        against: `in-process fit: ${ms(fit)}`,
        aim: "at most 60 ms",
        holds: beyond <= 60,
      },
      {
        claim: "the same against the plain script as a process",
        measured: times(ratio),
        against: `\`python fit.py\`: ${ms(median(whole))}`,
        aim: "under a third",
        holds: ratio < 1 / 3,
      },
    ];
  } finally {
    await session.close();
  }
};

export const parallel: Case = async (setting) => {
  const session = await Session.start(binary(setting.root, "--slots", "2"), setting.python);
  try {
    const call = { ...forest(join(setting.data, "digits.csv"), 1200), waitSeconds: 50 };
    await session.report("train", { ...call, ...forest(join(setting.data, "digits.csv"), 10) });
    const one = await timed(async () => {
      await session.report("train", call);
      await session.report("train", call);
    });
    const both = await timed(() =>
      Promise.all([session.report("train", call), session.report("train", call)]),
    );
    const spans = spansOf(session).slice(-2);
    const overlap =
      Math.min(...spans.map(([, end]) => end)) - Math.max(...spans.map(([begin]) => begin));
    const ratio = both / one;
    return [
      {
        claim: "two trainings at once with `--slots 2`",
        measured: `${ms(both)} (${times(ratio)}), run intervals overlapping by ${ms(overlap * 1000)}`,
        against: `one after the other: ${ms(one)}`,
        aim: "no slower",
        holds: ratio <= 1.02 && overlap > 0,
      },
    ];
  } finally {
    await session.close();
  }
};

/** [start, end] of each job of a session, oldest first. */
function spansOf(session: Session): [number, number][] {
  const jobs = join(session.directory, "state/jobs");
  return readdirSync(jobs)
    .map((id) =>
      readFileSync(join(jobs, id, "events.ndjson"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    )
    .map((events): [number, number] => [
      events.find(({ type }) => type === "started").time,
      events.at(-1).time,
    ])
    .sort((a, b) => a[0] - b[0]);
}

export const eta: Case = async (setting) => {
  const session = await Session.start(binary(setting.root), setting.python);
  try {
    const rows: Row[] = [];
    const jobs = join(session.directory, "state/jobs");
    await session.report("train", forest(join(setting.data, "digits.csv"), 1));
    const boosting = {
      framework: "xgboost",
      config: {
        algorithm: "XGBClassifier",
        dataPath: join(setting.data, "digits.csv"),
        targetColumn: "target",
        validationSplit: 0.2,
        numRounds: 800,
        hyperparameters: { max_depth: 4, learning_rate: 0.02 },
      },
    };
    for (const [name, call] of [
      ["forest", forest(join(setting.data, "digits.csv"), 4000)],
      ["XGBoost", boosting],
    ] as const) {
      const before = new Set(readdirSync(jobs));
      await session.report("train", { ...call, waitSeconds: 50 });
      const id = readdirSync(jobs).find((one) => !before.has(one)) ?? "";
      const events = readFileSync(join(jobs, id, "events.ndjson"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const steps = events.filter(
        (event) => event.type === "progress" && event.etaSeconds !== null,
      );
      const last = steps.at(-1);
      const third = steps.find((step) => step.done >= step.total / 3);
      const actual = last.time - third.time;
      const error = third.etaSeconds / actual - 1;
      rows.push({
        claim: `time remaining announced at a third of a training (${name})`,
        measured: `${third.etaSeconds.toFixed(1)} s (${(error * 100).toFixed(0)} %)`,
        against: `${actual.toFixed(1)} s that it took`,
        aim: "within 30 %",
        holds: Math.abs(error) <= 0.3,
      });
    }
    return rows;
  } finally {
    await session.close();
  }
};

export const memory: Case = async (setting) => {
  const session = await Session.start(binary(setting.root), setting.python);
  try {
    await new Promise((resolve) => setTimeout(resolve, 6000)); // until the warm-up is over
    const idle = tree(session.transport.pid ?? 0);
    const node = pss(session.transport.pid ?? 0);
    const { job } = await session.call("train", {
      ...forest(join(setting.data, "digits.csv"), 100_000),
      waitSeconds: 3,
    });
    const started = readFileSync(
      join(session.directory, "state/jobs", job.id, "events.ndjson"),
      "utf8",
    )
      .split("\n")
      .map((line) => JSON.parse(line || "{}"))
      .find(({ type }) => type === "started");
    const supervisor = pss(started.supervisorPid, "Private_Dirty");
    await session.call("job-cancel", { jobId: job.id });
    // Alone: while a job runs, it and its supervisor share the zygote's pages.
    const [, ...pythons] = idle.map((pid) => [pid, pss(pid)] as const);
    const zygote = Math.max(...pythons.map(([, kilobytes]) => kilobytes));
    const mb = (kb: number) => `${(kb / 1024).toFixed(1)} MB`;
    return [
      {
        claim: "memory (PSS) of the idle server's Node process",
        measured: mb(node),
        against: "",
        aim: "under 120 MB",
        holds: node < 120 * 1024,
      },
      {
        claim: "memory (PSS) of the idle server with all its processes",
        measured: mb(idle.reduce((sum, pid) => sum + pss(pid), 0)),
        against: `${idle.length} processes`,
        aim: "",
        holds: null,
      },
      {
        claim: "memory (PSS) of a zygote (scikit-learn)",
        measured: mb(zygote),
        against: "",
        aim: "",
        holds: null,
      },
      {
        claim: "private memory of a supervisor",
        measured: mb(supervisor),
        against: "",
        aim: "",
        holds: null,
      },
    ];
  } finally {
    await session.close();
  }
};

/** A process and all its descendants. */
function tree(root: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): [number, number][] => {
      try {
        return [
          [
            Number(name),
            Number(
              readFileSync(`/proc/${name}/stat`, "utf8")
                .replace(/^.*\) /s, "")
                .split(" ")[1],
            ),
          ],
        ];
      } catch {
        return [];
      }
    });
  const found = [root];
  for (const pid of found)
    found.push(...parents.filter(([, parent]) => parent === pid).map(([child]) => child));
  return found;
}

/** Kilobytes: the proportional share of a process's memory. */
function pss(pid: number, field = "Pss"): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(rollup.match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"))?.[1] ?? 0);
}

export const toolList: Case = async (setting) => {
  const session = await Session.start(binary(setting.root), setting.python);
  try {
    const { tools } = await session.client.listTools();
    const text = JSON.stringify(tools);
    const tokens = encode(text).length;
    return [
      {
        claim: `\`tools/list\` of ${tools.length} tools`,
        measured: `${tokens} tokens (o200k), ${Buffer.byteLength(text)} bytes`,
        against: "",
        aim: "all 21 tools within 5,500 tokens",
        holds: tokens <= 5500,
      },
    ];
  } finally {
    await session.close();
  }
};
