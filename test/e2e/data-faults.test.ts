import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Server } from "./client.js";

/** Data that cannot be trained on, and what the agent is told about it. */

let server: Server;
beforeAll(async () => {
  server = await Server.start();
});
afterAll(async () => {
  await server.dispose();
});

const ROWS = Array.from({ length: 30 }, (_, i) => `${i},${i % 7},${["no", "yes"][i % 2]}`);
const table = (rows: string[], head = "a,b,label") => `${[head, ...rows].join("\n")}\n`;
const withRow = (index: number, row: string) => ROWS.map((old, i) => (i === index ? row : old));

interface Fault {
  name: string;
  file?: string;
  content?: string | Buffer;
  make?: (path: string) => void;
  config?: Record<string, unknown>;
  type?: string;
  says: RegExp;
}

const FAULTS: Fault[] = [
  { name: "an empty file", content: "", says: /empty/ },
  { name: "a header only", content: "a,b,label\n", says: /no rows|only a header|header only/i },
  { name: "a ragged line", content: table(withRow(4, "4,1,no,extra")), says: /line 6.*(3|4)/s },
  {
    name: "another encoding than said",
    content: Buffer.from(table(withRow(2, "2,2,größe")), "latin1"),
    config: { encoding: "utf-8" },
    says: /utf-8|encoding/i,
  },
  { name: "duplicate column names", content: table(ROWS, "a,a,label"), says: /duplicate|twice/i },
  {
    name: "mixed types in a column",
    content: table(withRow(9, "many,1,no")),
    says: /'a'.*(line|row) (10|11).*many/s,
  },
  {
    name: "NaN in the target",
    content: table(withRow(3, "3,3,")),
    says: /label.*(missing|NaN|empty)/i,
  },
  {
    name: "one class only",
    content: table(ROWS.map((row) => row.replace("yes", "no"))),
    says: /one class|single class|only.*class/i,
  },
  { name: "infinity", content: table(withRow(5, "inf,5,yes")), says: /infinit/i },
  { name: "a PNG named .csv", make: (path) => writeFileSync(path, readPng()), says: /PNG/ },
  {
    name: "a truncated Parquet file",
    file: "broken.parquet",
    make: truncatedParquet,
    says: /parquet/i,
  },
  { name: "a path that is a folder", make: (path) => mkdirSync(path), says: /folder|directory/i },
  {
    name: "a FIFO",
    make: (path) => void execFileSync("mkfifo", [path]),
    says: /FIFO|pipe|regular file/i,
  },
  {
    name: "a file that is not there",
    file: "nowhere.csv",
    make: () => undefined,
    says: /nowhere\.csv/,
  },
  {
    name: "a missing target",
    content: table(ROWS),
    config: { targetColumn: "lable" },
    type: "invalid-configuration",
    says: /lable.*label/s,
  },
  {
    name: "a string among the features",
    content: table(ROWS, "a,label,b"),
    config: { targetColumn: "a", algorithm: "Ridge" },
    type: "invalid-configuration",
    says: /'?b'?/,
  },
];

function readPng(): Buffer {
  return Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
}

function truncatedParquet(path: string): void {
  const code =
    "import pandas, sys; pandas.DataFrame({'a': range(5000), 'label': [0, 1] * 2500}).to_parquet(sys.argv[1])";
  execFileSync(inject("python"), ["-c", code, path]);
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.length / 2));
}

test.each(FAULTS)(
  "$name",
  async ({
    name,
    file = `${name.replaceAll(" ", "-")}.csv`,
    content,
    make,
    config,
    type,
    says,
  }) => {
    const path = join(server.cwd, file);
    if (content !== undefined) writeFileSync(path, content);
    make?.(path);
    const error = await server.error("train", {
      framework: "sklearn",
      config: {
        dataPath: file,
        algorithm: "DecisionTreeClassifier",
        targetColumn: "label",
        ...config,
      },
    });
    expect(error.type).toBe(type ?? "data-loading-error");
    expect(`${error.message} ${JSON.stringify(error.metadata)}`).toMatch(says);
    expect(error.solution.length).toBeGreaterThan(10);
    // It names the file (or the column), and guesses neither target nor algorithm.
    if (!type) expect(JSON.stringify(error)).toContain(file);
    expect((error as any).nextCall?.arguments.config?.targetColumn ?? "label").not.toBe("lable");
  },
);

test("/dev/zero is never read", async () => {
  const error = await server.error("train", {
    framework: "sklearn",
    config: { dataPath: "/dev/zero", algorithm: "Ridge", targetColumn: "y" },
  });
  expect(error).toMatchObject({ type: "data-loading-error", exitCode: 1 });
  expect(error.message).toMatch(/\/dev\/zero/);
});

const GOOD: { name: string; content: string | Buffer; warns?: RegExp }[] = [
  { name: "a BOM", content: `\ufeff${table(ROWS)}` },
  {
    name: "semicolons",
    content: table(ROWS).replaceAll(",", ";"),
    warns: /;|separator|semicolon/i,
  },
  {
    name: "Windows-1252",
    content: Buffer.from(table(withRow(2, "2,2,größe")).replaceAll("yes", "größe"), "latin1"),
    warns: /1252|latin/i,
  },
];

test.each(GOOD)("$name is read as it is meant, and said", async ({ name, content, warns }) => {
  const file = `${name.replaceAll(" ", "-")}.csv`;
  writeFileSync(join(server.cwd, file), content);
  const report = await server.report("train", {
    framework: "sklearn",
    config: { dataPath: file, algorithm: "DecisionTreeClassifier", targetColumn: "label" },
  });
  expect(report.metadata).toMatchObject({ features: 2, samplesProcessed: 30 });
  if (warns) expect(report.warnings?.join("\n")).toMatch(warns);
});

test("an all-NaN column is named", async () => {
  writeFileSync(join(server.cwd, "nan.csv"), table(ROWS.map((row) => row.replace(/^\d+/, ""))));
  const error = await server.error("train", {
    framework: "sklearn",
    config: { dataPath: "nan.csv", algorithm: "LogisticRegression", targetColumn: "label" },
  });
  expect(`${error.message} ${JSON.stringify(error.metadata)}`).toMatch(/'a'|"a"/);
});

test("after all that, a good call works and nothing is left running", async () => {
  await server.expectUnhurt();
});
