import type { Config } from "../config.js";
import { size } from "../report/words.js";
import {
  type Gpu,
  type InspectedEnvironment,
  type Inspection,
  inspectEnvironments,
} from "../runners/inspect.js";
import { setupCommand } from "../runners/managed.js";
import { homely, type Palette, palette } from "./terminal.js";

/** `ml-executor doctor`: what there is, what is missing, and how to get it. Returns the exit code. */
export async function doctor(config: Config, { json }: { json: boolean }): Promise<number> {
  const inspection = await inspectEnvironments(config);
  const text = json ? JSON.stringify(inspection, null, 2) : render(config, inspection);
  process.stdout.write(`${text}\n`);
  return 0;
}

function render(config: Config, inspection: Inspection): string {
  const paint = palette(config, process.stdout);
  const { executor, others, gpus, cores, environments } = inspection;
  const lines = [
    paint.bold(`ML Executor ${executor.version}`),
    `  Node.js ${executor.node} on ${executor.platform}${cores === null ? "" : `, ${cores} cores`}`,
    `  jobs   ${homely(config, executor.home)}`,
    `  cache  ${homely(config, executor.cache)}`,
    "",
    paint.bold("GPUs"),
    ...(gpus.length > 0
      ? gpus.map((gpu) => `  ${gpuLine(gpu, paint)}`)
      : [paint.dim("  none found: jobs run on the CPU")]),
    "",
    paint.bold("What a job would use"),
    ...frameworkLines(config, inspection, paint),
  ];
  for (const environment of environments)
    lines.push("", ...environmentLines(config, environment, paint));
  if (environments.length === 0) {
    lines.push("", paint.yellow("No Python was found."), `  ${setupCommand(config, [])}`);
  }
  if (others.length > 0) {
    lines.push(
      "",
      paint.bold("Other Pythons") + paint.dim(" (a job uses them where pythonEnv names them)"),
    );
    for (const { kind, version, path, problem } of others) {
      const line = `  ${kind.padEnd(6)} ${version.padEnd(8)} ${homely(config, path)}`;
      lines.push(problem ? `${line}  ${paint.yellow("too old")}` : line);
    }
  }
  return lines.join("\n");
}

function frameworkLines(
  config: Config,
  { frameworks }: Inspection,
  { green, red, dim, yellow }: Palette,
): string[] {
  const width = Math.max(...frameworks.map(({ title }) => title.length));
  const lines = frameworks.flatMap(({ title, version, executable, why, install }) => {
    const name = title.padEnd(width);
    if (version !== null && executable !== null) {
      const found = `  ${green("✓")} ${name}  ${version.padEnd(8)} ${dim(`${homely(config, executable)}, ${why}`)}`;
      return install ? [found, `    ${yellow("too old")}: ${install}`] : [found];
    }
    return [`  ${red("✗")} ${name}  missing`, ...(install ? [`    install it: ${install}`] : [])];
  });
  const warnings = new Set(
    frameworks.filter(({ executable }) => executable).flatMap(({ warnings: all }) => all),
  );
  return [...lines, ...[...warnings].map((warning) => `  ${yellow("!")} ${warning}`)];
}

function environmentLines(
  config: Config,
  environment: InspectedEnvironment,
  paint: Palette,
): string[] {
  const { source, executable, kind, version, packages, packageCount, frameworks, problem } =
    environment;
  const { bold, dim, red, yellow } = paint;
  const heading = `${bold(source.charAt(0).toUpperCase() + source.slice(1))} ${dim(`(${kind})`)}`;
  const lines = [heading, `  Python ${version}  ${homely(config, executable)}`];
  if (problem) return [...lines, `  ${red("cannot be used")}: ${problem}`];
  const shown = Object.entries(packages).map(([name, number]) => `${name} ${number}`);
  lines.push(...wrap(shown, 96).map((line) => `  ${line}`));
  if (packageCount > shown.length)
    lines.push(dim(`  and ${packageCount - shown.length} more packages`));
  for (const row of frameworks) {
    if (row.tooOld)
      lines.push(`  ${yellow(row.title)} is older than ${row.tooOld}: ${row.install}`);
    else if (row.version === null) lines.push(`  ${dim("without")} ${row.title}: ${row.install}`);
  }
  return lines;
}

function gpuLine(
  { kind, name, memoryTotalBytes, memoryFreeBytes, driver }: Gpu,
  { green, dim }: Palette,
): string {
  const memory = memoryTotalBytes === undefined ? "" : `, ${size(memoryTotalBytes)}`;
  const free = memoryFreeBytes === undefined ? "" : ` (${size(memoryFreeBytes)} free)`;
  const words = { cuda: "CUDA", rocm: "ROCm", mps: "Apple MPS" }[kind];
  return `${green("✓")} ${name}${memory}${free} ${dim(`${words}${driver ? `, driver ${driver}` : ""}`)}`;
}

function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of words) {
    const longer = line ? `${line}, ${word}` : word;
    if (longer.length > width && line) {
      lines.push(`${line},`);
      line = word;
    } else line = longer;
  }
  return line ? [...lines, line] : lines;
}
