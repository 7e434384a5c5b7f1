import { figure } from "../report/words.js";
import type { Palette } from "./terminal.js";

/** Parts of reports in a form that a person likes to read. */

type Metrics = Readonly<Record<string, unknown>>;

const BAR_CELLS = 30;

/** Every metric with a bar; with cross-validation the mean, its deviation and each fold's score. */
export function metricTable(metrics: Metrics, { cyan, dim }: Palette): string {
  const rows = Object.entries(metrics).flatMap(([name, value]) => {
    if (Array.isArray(value) && isNumbers(value)) return [foldRow(name, value, dim)];
    if (typeof value !== "number" || /^(mean|std)[A-Z]/.test(name)) return [];
    return [{ name, mean: value, rest: "" }];
  });
  const width = Math.max(0, ...rows.map(({ name }) => name.length));
  return rows
    .map(
      ({ name, mean, rest }) =>
        `  ${name.padEnd(width)}  ${isShare(name) ? bar(mean, cyan, dim) : " ".repeat(BAR_CELLS)} ${mean.toFixed(4)}${rest}`,
    )
    .join("\n");
}

/** Whether a metric lies between 0 and 1, and more is better. */
function isShare(name: string): boolean {
  return !/loss|error|rmse|mae|mse/i.test(name);
}

function foldRow(name: string, scores: readonly number[], dim: Palette["dim"]) {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const variance = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length;
  const folds = dim(`  folds ${scores.map((score) => score.toFixed(3)).join(" ")}`);
  return { name, mean, rest: ` ± ${Math.sqrt(variance).toFixed(4)}${folds}` };
}

function bar(value: number, full: Palette["cyan"], empty: Palette["dim"]): string {
  const cells = Math.round(Math.min(1, Math.max(0, value)) * BAR_CELLS);
  return full("━".repeat(cells)) + empty("─".repeat(BAR_CELLS - cells));
}

/** The confusion matrix with the names of its classes, or null where there is none. */
export function confusion(metrics: Metrics, { bold, dim, green, yellow }: Palette): string | null {
  const { confusionMatrix: matrix, classificationReport } = metrics;
  if (!Array.isArray(matrix) || !matrix.every(isNumbers)) return null;
  const labels = Object.keys((classificationReport as object | undefined) ?? {})
    .filter((name) => name.startsWith("class_"))
    .map((name) => name.slice("class_".length));
  const named = matrix.map((_row, index) => labels[index] ?? String(index));
  const width = Math.max(...named.map((name) => name.length), 6);
  const head = `  ${" ".repeat(width + 7)}${dim("predicted")} ${named.map((name) => name.padStart(width)).join(" ")}`;
  const rows = matrix.map((row: number[], actual) => {
    const cells = row.map((count, predicted) => {
      const cell = String(count).padStart(width);
      return actual === predicted ? green(cell) : count > 0 ? yellow(cell) : dim(cell);
    });
    return `  ${dim("truly")} ${bold((named[actual] ?? "").padEnd(width))}${" ".repeat(11)}${cells.join(" ")}`;
  });
  return [head, ...rows].join("\n");
}

/** The first rows of `feature_importances.csv`, which is sorted. */
export function topOf(csv: string, count: number, { dim }: Palette): string {
  const rows = csv
    .trim()
    .split("\n")
    .slice(1, count + 1)
    .map((line) => line.split(","))
    .map(([name, value]) => `${name} ${dim(figure(Number(value)))}`);
  return `  most used: ${rows.join(", ")}`;
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one) => typeof one === "number");
}
