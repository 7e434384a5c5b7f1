import { readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Case, Setting } from "./cases.js";
import { median, ms, type Row, run, times } from "./measure.js";
import { binary, Session } from "./session.js";

/** What `bench/plain/torch_train.py` notes: the first step (Unix ms), then µs per step. */
interface Steps {
  first: number;
  cpu: number;
  wall: number;
}

interface Training {
  model: "MLP" | "CNN" | "Colours";
  data: string;
  epochs: number;
  workers?: number;
  config?: Record<string, unknown>;
}

const MLP: Training = { model: "MLP", data: "rows.npz", epochs: 3 };
const CNN: Training = { model: "CNN", data: "pictures.npz", epochs: 4 };
const PHOTOS: Training = {
  model: "Colours",
  data: "photos",
  epochs: 3,
  workers: 2,
  config: { imageSize: 128 },
};
const ROUNDS = 5;
const BATCH = 32;

/** The same trainings by both, each with one thread, in a session with its data. */
class Both {
  private constructor(
    readonly setting: Setting,
    readonly session: Session,
  ) {}

  static async start(setting: Setting): Promise<Both> {
    // As many slots as cores: each job has one thread, as the plain script is told to take.
    const slots = String(availableParallelism());
    const session = await Session.start(binary(setting.root, "--slots", slots), setting.python);
    await run(setting.python, [join(setting.root, "bench/plain/torch_data.py"), session.directory]);
    return new Both(setting, session);
  }

  /** By the executor; ms from the call to the first step, and the rest. */
  async ours(training: Training): Promise<Steps> {
    const called = Date.now();
    const report = await this.session.report("train", {
      framework: "pytorch",
      config: {
        modelScript: join(this.setting.root, "bench/plain/torch_train.py"),
        modelClass: training.model,
        dataPath: training.data,
        lossFunction: "cross_entropy",
        epochs: training.epochs,
        batchSize: BATCH,
        learningRate: 0.001,
        ...(training.workers !== undefined && { numWorkers: training.workers }),
        ...training.config,
      },
    });
    const { threads } = report.metadata;
    if (threads !== 1) throw new Error(`the executor trained with ${threads} threads`);
    return this.#noted(called);
  }

  /** By the plain script, as a process. */
  async bare(training: Training): Promise<Steps> {
    const called = Date.now();
    const script = join(this.setting.root, "bench/plain/torch_train.py");
    const { model, data, epochs, workers } = training;
    const args = [script, model, data, String(epochs), "1", String(workers ?? 0)];
    await run(this.setting.python, args, this.session.directory);
    return this.#noted(called);
  }

  /** Both by turns, so that neither has the quieter machine. */
  async turns(training: Training): Promise<[Steps[], Steps[]]> {
    const ours: Steps[] = [];
    const bare: Steps[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      bare.push(await this.bare(training));
      ours.push(await this.ours(training));
    }
    return [ours, bare];
  }

  #noted(called: number): Steps {
    const path = join(this.session.directory, "steps.json");
    const steps: Steps = JSON.parse(readFileSync(path, "utf8"));
    rmSync(path);
    return { ...steps, first: steps.first - called };
  }
}

const of = (steps: Steps[], key: keyof Steps): number => median(steps.map((one) => one[key]));
const us = (value: number): string => `${value.toFixed(0)} µs`;

export const stepTime: Case = async (setting) => {
  const both = await Both.start(setting);
  try {
    const rows: Row[] = [];
    for (const [name, training, most] of [
      ["MLP (64-64-64-10, batch 32)", MLP, 1.05],
      ["CNN (2 convolutions, 28 x 28, batch 32)", CNN, 1.01],
    ] as const) {
      const [ours, bare] = await both.turns(training);
      const ratio = of(ours, "cpu") / of(bare, "cpu");
      const wall = of(ours, "wall") / of(bare, "wall");
      rows.push({
        claim: `CPU time of a training step, ${name}, one thread, ends of epochs included`,
        measured: `${us(of(ours, "cpu"))} (${times(ratio)}; wall ${us(of(ours, "wall"))}, ${times(wall)})`,
        against: `bare loop with \`loss.item()\` and no metrics: ${us(of(bare, "cpu"))} (wall ${us(of(bare, "wall"))})`,
        aim: `within ${((most - 1) * 100).toFixed(0)} %`,
        holds: ratio <= most,
      });
    }
    return rows;
  } finally {
    await both.session.close();
  }
};

export const firstStep: Case = async (setting) => {
  const both = await Both.start(setting);
  try {
    const short = { ...MLP, epochs: 1 };
    await both.ours(short);
    const [ours, bare] = await both.turns(short);
    const first = of(ours, "first");
    const ratio = first / of(bare, "first");
    return [
      {
        claim: "call of `train` (PyTorch, MLP, 16,000 rows) to its first finished step, warm pool",
        measured: ms(first),
        against: "",
        aim: "under 500 ms",
        holds: first < 500,
      },
      {
        claim: "the same against the plain script as a process",
        measured: times(ratio),
        against: `\`python torch_train.py\`: ${ms(of(bare, "first"))}`,
        aim: "under a fifth",
        holds: ratio < 0.2,
      },
    ];
  } finally {
    await both.session.close();
  }
};

export const imageRows: Case = async (setting) => {
  const both = await Both.start(setting);
  try {
    const [ours, bare] = await both.turns(PHOTOS);
    const rate = (steps: Steps[]): number => (BATCH * 1e6) / of(steps, "wall");
    const ratio = rate(ours) / rate(bare);
    return [
      {
        claim: "images a second (160 x 160 JPEG to 128 x 128, 2 workers) that a training takes in",
        measured: `${rate(ours).toFixed(0)} (${times(ratio)})`,
        against: `bare \`DataLoader\`, Pillow and 2 workers: ${rate(bare).toFixed(0)}`,
        aim: "at least equal",
        holds: ratio >= 1,
      },
    ];
  } finally {
    await both.session.close();
  }
};
