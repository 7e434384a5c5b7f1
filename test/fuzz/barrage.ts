import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import fc from "fast-check";
import { MANIFEST } from "../../src/contract/index.js";
import { ROOT } from "../e2e/client.js";
import { killAllOf } from "../e2e/processes.js";
import { testPython } from "../support.js";
import { type HostileCall, hostileCall } from "./calls.js";
import { faultsOf, fits } from "./verdict.js";
import { Wire } from "./wire.js";
import type { World } from "./words.js";

/** Hostile calls, many at once, and what was wrong with the answers. */

const AT_ONCE = 16;
const CHUNK = 1000;
/** Distinct faults after which it is of no use to go on. */
const ENOUGH = 100;

export interface Outcome {
  /** Each different fault with the first call that showed it. */
  faults: string[];
  counts: { calls: number; fitting: number; reports: number; errors: Record<string, number> };
}

/** Makes `count` calls; the same seed makes the same ones. */
export async function barrage(count: number, seed: number): Promise<Outcome> {
  const root = mkdtempSync(join(tmpdir(), "mlx-fuzz-"));
  // Below, so that a way up still ends within.
  const cwd = join(root, "a", "b", "work");
  const directory = join(root, "world");
  mkdirSync(cwd, { recursive: true });
  execFileSync(testPython(), [join(ROOT, "test/fuzz/world.py"), directory], { stdio: "inherit" });
  const wire = await Wire.start(cwd, join(root, "state"), ["--slots", "2", "--wait", "5"]);
  try {
    const world = await settle(wire, directory);
    return await run(wire, world, cwd, count, seed);
  } finally {
    await wire.close();
    // Jobs outlive their server, and one that trains on would write below what is removed.
    killAllOf(join(root, "state"));
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function run(wire: Wire, world: World, cwd: string, count: number, seed: number) {
  const arbitrary = hostileCall(world);
  const faults = new Map<string, string>();
  const counts: Outcome["counts"] = { calls: 0, fitting: 0, reports: 0, errors: {} };
  const one = async (call: HostileCall, number: number) => {
    const message = await wire.request("tools/call", { name: call.tool, arguments: call.args });
    counts.calls += 1;
    if (reaches(call)) counts.fitting += 1;
    const { executionReport, error } = message.result?.structuredContent ?? {};
    if (executionReport) counts.reports += 1;
    if (error) counts.errors[error.type] = (counts.errors[error.type] ?? 0) + 1;
    for (const fault of faultsOf(call, message, cwd)) {
      const kind = `${call.tool}: ${fault}`.replaceAll(/\d+|\/\S+/g, "…").slice(0, 400);
      if (!faults.has(kind))
        faults.set(kind, `${fault.slice(0, 2000)}\n  by call ${number}: ${brief(call)}`);
    }
  };
  for (let done = 0; done < count && faults.size < ENOUGH; done += CHUNK) {
    const numRuns = Math.min(CHUNK, count - done);
    const calls = fc.sample(arbitrary, { numRuns, seed: seed + done }).entries();
    const caller = async () => {
      for (const [i, call] of calls) await one(call, done + i);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, caller));
  }
  const pong = await wire.request("ping", {});
  if (!pong.result) wire.faults.push("no answer to a ping after it all");
  return { faults: [...wire.faults, ...faults.values()], counts };
}

/** A call as a person can read it; the seed gives the whole one. */
const brief = (call: HostileCall) =>
  JSON.stringify(call, (_, value) => {
    if (typeof value === "string" && value.length > 100) return `${value.slice(0, 100)}…`;
    const many = typeof value === "object" && value !== null && Object.keys(value).length > 20;
    return many ? `(${Object.keys(value).length} items)` : value;
  }).slice(0, 1500);

/** A call that its schema lets through, of those that Python sees. */
function reaches(call: HostileCall): boolean {
  const python = call.tool in MANIFEST.actions || (call.tool === "describe" && call.args?.path);
  return Boolean(python) && fits(call);
}

/** Trains the models that the calls are about, and spoils copies of them. */
async function settle(wire: Wire, directory: string): Promise<World> {
  const models: string[] = [];
  const train = async (framework: string, algorithm: string, data: string, config = {}) => {
    const outputDir = join(directory, "models", algorithm);
    const what = Object.keys(config).length > 0 ? config : { algorithm };
    const { result } = await wire.request("tools/call", {
      name: "train",
      arguments: {
        framework,
        config: { ...what, dataPath: join(directory, "good", data), targetColumn: "kind" },
        outputDir,
        waitSeconds: 50,
      },
    });
    const report = result.structuredContent.executionReport;
    if (!report) throw new Error(JSON.stringify(result.structuredContent));
    models.push(outputDir, report.artifacts.model ?? report.artifacts.bestModel);
    return outputDir;
  };
  const first = await train("sklearn", "DecisionTreeClassifier", "classes.csv");
  await train("sklearn", "KNeighborsClassifier", "several.tsv");
  await train("xgboost", "XGBClassifier", "classes.csv");
  await train("lightgbm", "LGBMClassifier", "classes.csv");
  const modelScript = join(directory, "scripts", "net.py");
  const network = await train("pytorch", "Net", "classes.csv", { modelScript, epochs: 1 });
  for (const [name, spoil] of Object.entries(SPOILT))
    for (const whole of [first, network]) {
      const copy = join(directory, "models", `${name}-${basename(whole)}`);
      cpSync(whole, copy, { recursive: true });
      for (const entry of readdirSync(copy, { withFileTypes: true }))
        if (entry.isFile()) spoil(join(copy, entry.name));
      models.push(copy);
    }
  const { result } = await wire.request("tools/call", { name: "job-list", arguments: {} });
  const jobIds = result.structuredContent.jobs.map(({ id }: { id: string }) => id);
  return { directory, models, jobIds };
}

const SPOILT: Record<string, (file: string) => void> = {
  cut: (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
  emptied: (file) => truncateSync(file, 0),
  scrambled: (file) => {
    if (file.endsWith(".json")) writeFileSync(file, '{"framework": ["x"], "hmac": 7}');
  },
};
