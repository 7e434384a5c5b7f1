import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.js";

/** Opens a log of this server's own processes for appending; the state directory may be new. */
export async function openLog(config: Config, name: string) {
  const directory = join(config.home, "logs");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${name}-${process.pid}.log`);
  return { path, file: await open(path, "a", 0o600) };
}
