// Brings a clone up to where it runs: npm packages, the bundle, the managed Python environment.
// Imports nothing but Node.js itself. Every step is skipped where it has nothing to do.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const binary = path.join(root, "dist", "ml-executor.js");

/** What the tests need of the managed environment, beside its layer for developing. */
export const TEST_FRAMEWORKS = ["sklearn", "xgboost", "lightgbm", "pytorch"];

/** Runs a command to its end with our own output; throws where it fails. */
export async function run(command, args, options = {}) {
  const code = await exitCode(command, args, options);
  if (code !== 0) throw new Failure(`${[command, ...args].join(" ")} ended with ${code}`, code);
}

/** Runs a command and resolves with its exit code; 128 and more for a signal. */
export function exitCode(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", ...options });
    // Ctrl-C reaches the child as well, which ends in its own way.
    const wait = () => undefined;
    process.on("SIGINT", wait);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      process.off("SIGINT", wait);
      resolve(code ?? (signal === "SIGINT" ? 130 : 128));
    });
  });
}

export class Failure extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

/**
 * Installs the npm packages where one is missing or of another version than the lock says.
 *
 * @param {string} place the directory of the package
 */
export async function ensurePackages(place = root) {
  // Installed as a package, there is no lock: npm has seen to the dependencies.
  if (!existsSync(path.join(place, "package-lock.json")) || (await packagesFit(place))) return;
  const started = Date.now();
  const what = `npm packages${place === root ? "" : ` of ${path.relative(root, place)}`}`;
  say(`Installing the ${what} …`);
  await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: place });
  say(`${what}: ${megabytes(await sizeOf(path.join(place, "node_modules")))}, ${since(started)}`);
}

/** Compares the lock with the one that npm keeps of what it has installed. */
async function packagesFit(place) {
  const [wanted, there] = await Promise.all(
    ["package-lock.json", "node_modules/.package-lock.json"].map(async (file) => {
      const text = await readFile(path.join(place, file), "utf8").catch(() => '{"packages":{}}');
      return JSON.parse(text).packages;
    }),
  );
  return Object.entries(wanted).every(
    ([name, { version, optional, devOptional }]) =>
      name === "" ||
      there[name]?.version === version ||
      // Optional packages are those of other platforms.
      ((optional || devOptional) && !there[name]),
  );
}

/** Builds the bundle where a source is newer than it. */
export async function ensureBuild() {
  const inputs = ["package.json", "package-lock.json", "tools.manifest.json", "scripts/build.mjs"];
  const newest = Math.max(
    await newestIn(path.join(root, "src")),
    ...(await Promise.all(inputs.map((file) => modified(path.join(root, file))))),
  );
  if ((await modified(binary)) >= newest) return;
  await run(process.execPath, ["scripts/build.mjs"]);
}

/**
 * Sets up the managed environment with what the tests need.
 *
 * @returns {Promise<string>} its interpreter
 */
export async function ensurePython(frameworks = TEST_FRAMEWORKS) {
  const args = [binary, "setup", "--dev", "--frameworks", frameworks.join(",")];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0)
    throw new Failure("the managed Python environment could not be set up", code ?? 1);
  return output.trim();
}

/** Runs a script's main function; a failure that was told already is not told twice. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.error(error.message);
    process.exitCode = error.code;
  }
}

export function say(line) {
  console.error(line);
}

export function since(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}

function megabytes(bytes) {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}

async function modified(file) {
  return (await stat(file).catch(() => null))?.mtimeMs ?? 0;
}

async function newestIn(directory) {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  // A directory's own time tells of files that were removed.
  const times = entries.map((entry) =>
    modified(path.join(entry.parentPath ?? entry.path, entry.name)),
  );
  return Math.max(0, ...(await Promise.all(times)));
}

async function sizeOf(directory) {
  let total = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    total += (await stat(path.join(entry.parentPath ?? entry.path, entry.name))).size;
  }
  return total;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    await ensurePackages();
    await ensureBuild();
  });
}
