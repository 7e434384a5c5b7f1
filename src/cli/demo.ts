import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Config } from "../config.js";
import { ExecutorError, type Report } from "../contract/index.js";
import { placeOf } from "../jobs/base-dir.js";
import { JobService } from "../jobs/service.js";
import type { Logger } from "../log.js";
import { duration } from "../report/words.js";
import { type ChosenPython, chooseEnvironment } from "../runners/environments.js";
import { type Call, evaluateCall, FOLDER, predictCall, TARGET, trainCall } from "./demo-calls.js";
import { confusion, metricTable, topOf } from "./demo-report.js";
import { follow } from "./run.js";
import { setUpVisibly } from "./setup.js";
import { homely, type Palette, palette } from "./terminal.js";

/**
 * `ml-executor demo`: trains on a real data set, evaluates, predicts, and shows what comes of it. All
 * three are ordinary jobs. Returns the exit code.
 */
export async function demo(config: Config, log: Logger): Promise<number> {
  return await new Demo(config, log).run();
}

class Demo {
  readonly #paint: Palette;
  readonly #timings: [step: string, seconds: number][] = [];
  readonly #service: JobService;

  constructor(
    private readonly config: Config,
    log: Logger,
  ) {
    this.#paint = palette(config, process.stdout);
    this.#service = new JobService(config, log);
  }

  async run(): Promise<number> {
    const { bold, dim } = this.#paint;
    this.#say(bold("ML Executor demo"));
    this.#say(
      dim("Is a tumour benign or malignant? 569 cases with 30 measurements, from scikit-learn."),
    );
    try {
      const python = await this.#timed("environment", () => this.#environment());
      if (!python) return 130;
      await this.#timed("data", () => this.#data(python));
      await this.#train();
      await this.#evaluate();
      await this.#predict();
    } finally {
      await this.#service.close();
    }
    this.#close();
    return 0;
  }

  async #environment(): Promise<ChosenPython | null> {
    this.#heading("Python environment");
    const wish = { framework: "sklearn", cwd: this.config.cwd };
    let python = await chooseEnvironment(this.config, wish).catch(onlyIfMissing);
    if (!python) {
      if (!(await setUpVisibly(this.config, ["sklearn"]))) return null;
      python = await chooseEnvironment(this.config, wish);
    }
    for (const warning of python.warnings) this.#say(`  ${this.#paint.yellow("!")} ${warning}`);
    this.#say(
      `  Python ${python.version}, ${homely(this.config, python.executable)} (${python.why})`,
    );
    return python;
  }

  async #data({ executable }: ChosenPython): Promise<void> {
    const { execa } = await import("execa");
    const script = join(this.config.packageRoot, "examples", "breast_cancer.py");
    const result = await execa(executable, [script, join(this.#directory, "data")], {
      reject: false,
    });
    if (result.failed) {
      throw new ExecutorError("training-failure", "the demo's data could not be written", {
        solution: "See what Python printed.",
        stderr: result.stderr.slice(-2000),
      });
    }
  }

  async #train(): Promise<void> {
    const { report, seconds } = await this.#job("Train", trainCall());
    const cv = record(record(report.metrics).crossValidation);
    this.#say(metricTable(cv, this.#paint));
    const importances = await this.#text(report.artifacts?.featureImportances);
    if (importances) this.#say(topOf(importances, 5, this.#paint));
    this.#files(report, seconds);
  }

  async #evaluate(): Promise<void> {
    const { report, seconds } = await this.#job(
      "Evaluate on rows that it has not seen",
      evaluateCall(),
    );
    const metrics = record(report.metrics);
    this.#say(metricTable(metrics, this.#paint));
    const matrix = confusion(metrics, this.#paint);
    if (matrix) this.#say(matrix);
    this.#files(report, seconds);
  }

  async #predict(): Promise<void> {
    const { report, seconds } = await this.#job("Predict", predictCall());
    const { samplePredictions, shape } = record(report.predictions);
    const samples = Array.isArray(samplePredictions) ? samplePredictions.slice(0, 3) : [];
    this.#say(`  ${Array.isArray(shape) ? shape[0] : "all"} rows, such as`);
    for (const sample of samples) {
      const { sample_id, predicted_class, confidence } = record(sample);
      const sure = typeof confidence === "number" ? `${(confidence * 100).toFixed(1)} % sure` : "";
      this.#say(`    row ${sample_id}: ${this.#paint.bold(String(predicted_class))}  ${sure}`);
    }
    this.#files(report, seconds);
  }

  async #job(title: string, call: Call): Promise<{ report: Report; seconds: number }> {
    this.#heading(title);
    const started = performance.now();
    const job = await this.#service.submit(call, placeOf(this.config, null, null));
    const answer = await follow(this.config, job, call.action, "cancel");
    const seconds = (performance.now() - started) / 1000;
    this.#timings.push([call.action, seconds]);
    if ("error" in answer) {
      const { type, message, ...details } = answer.error;
      throw new ExecutorError(type, `the demo's ${call.action} failed: ${message}`, details);
    }
    return { report: answer.executionReport as Report, seconds };
  }

  #files({ artifacts, warnings, duration: took }: Report, seconds: number): void {
    const { dim, yellow } = this.#paint;
    for (const path of Object.values(artifacts ?? {})) this.#say(`  ${dim("→")} ${path}`);
    for (const warning of warnings ?? []) this.#say(`  ${yellow("!")} ${warning}`);
    this.#say(dim(`  the job took ${took}, from call to report ${duration(seconds)}`));
  }

  #close(): void {
    const { bold, green, dim } = this.#paint;
    const total = this.#timings.reduce((sum, [, seconds]) => sum + seconds, 0);
    this.#heading("Done");
    for (const [step, seconds] of this.#timings) {
      this.#say(`  ${step.padEnd(12)} ${duration(seconds)}`);
    }
    this.#say(`  ${bold("total".padEnd(12))} ${bold(duration(total))}`);
    this.#say("");
    this.#say(`${green("Plots, model and predictions are in")} ${bold(`${this.#shown}/`)}`);
    this.#say(dim(`The target column was '${TARGET}'. The same calls over MCP: ml-executor serve`));
  }

  async #timed<T>(step: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await work();
    this.#timings.push([step, (performance.now() - started) / 1000]);
    return result;
  }

  async #text(path: string | undefined): Promise<string | null> {
    if (path === undefined) return null;
    return await readFile(join(this.config.cwd, path), "utf8").catch(() => null);
  }

  get #directory(): string {
    return join(this.config.cwd, FOLDER);
  }

  get #shown(): string {
    return relative(this.config.cwd, this.#directory) || this.#directory;
  }

  #heading(title: string): void {
    this.#say(`\n${this.#paint.cyan("━━")} ${this.#paint.bold(title)}`);
  }

  #say(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}

function onlyIfMissing(error: unknown): null {
  if (error instanceof ExecutorError && error.shape.type === "framework-not-found") return null;
  throw error;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
