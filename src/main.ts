#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, type Config, readConfig, UsageError } from "./config.js";
import { createLogger, TroubleFeed } from "./log.js";
import type { Services } from "./mcp/context.js";

/**
 * The binary: arguments → command. Each command's modules are loaded only when it runs.
 *
 * @returns the exit code
 */
async function main(command: Command, config: Config): Promise<number> {
  const trouble = new TroubleFeed();
  const log = createLogger(config.logLevel, trouble);
  switch (command.name) {
    case "help": {
      const { helpText } = await import("./cli/help.js");
      process.stdout.write(`${helpText(command.of)}\n`);
      return 0;
    }
    case "version":
      process.stdout.write(`${version(config)}\n`);
      return 0;
    case "serve": {
      const { http } = command;
      const [serve, { JobService }] = await Promise.all([
        http
          ? import("./mcp/transports/http.js").then(
              ({ serveHttp }) =>
                (services: Services) =>
                  serveHttp(services, http),
            )
          : import("./mcp/transports/stdio.js").then(({ serveStdio }) => serveStdio),
        import("./jobs/service.js"),
      ]);
      await serve({ config, log, trouble, jobs: new JobService(config, log) });
      return 0;
    }
    case "run":
      return await (await import("./cli/run.js")).run(config, log, command.request);
    case "jobs":
      return await (await import("./cli/jobs.js")).jobs(config, log, command.jobs);
    case "doctor":
      return await (await import("./cli/doctor.js")).doctor(config, command);
    case "setup":
      return await (await import("./cli/setup.js")).setup(config, command);
    case "demo":
      return await (await import("./cli/demo.js")).demo(config, log);
  }
}

function version({ packageRoot }: Config): string {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version;
}

async function start(): Promise<number> {
  try {
    const { command, config } = readConfig();
    return await main(command, config);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}\nTry 'ml-executor --help'.\n`);
      return 2;
    }
    return await fail(error);
  }
}

/** An error that no command answered: an expected one in words, a defect with its stack. */
async function fail(error: unknown): Promise<number> {
  const { ExecutorError } = await import("./contract/errors.js");
  const { shape } = ExecutorError.internal(error);
  const words =
    error instanceof ExecutorError ? `${shape.message}\n${shape.solution}` : (error as Error).stack;
  process.stderr.write(`${words}\n`);
  return shape.exitCode;
}

// A reader that went away (`| head`) is no fault.
process.stdout.on("error", () => undefined);
const exitCode = await start();
// What was written must reach a pipe that is read slowly before the process ends.
process.stdout.write("", () => process.stderr.write("", () => process.exit(exitCode)));
