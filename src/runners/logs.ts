import { constants } from "node:fs";
import { mkdir, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.js";

const MOST_BYTES = 8 * 1024 ** 2;
const KEPT_BYTES = 1024 ** 2;

export function logsDirectory(config: Config): string {
  return join(config.home, "logs");
}

/** Opens a log of this server's own processes for appending; the state directory may be new. */
export async function openLog(config: Config, name: string) {
  const directory = logsDirectory(config);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${name}-${process.pid}.log`);
  return { path, file: await open(path, "a", 0o600) };
}

/**
 * Cuts logs that have grown beyond 8 MiB to their last MiB. Their writers append, and go on at the new
 * end; what they write in the milliseconds between is lost.
 *
 * @returns the names of those that were cut
 */
export async function boundLogs(directory: string): Promise<string[]> {
  const cut: string[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const size = (await stat(path).catch(() => null))?.size ?? 0;
    if (!name.endsWith(".log") || size <= MOST_BYTES) continue;
    const file = await open(path, constants.O_RDWR | constants.O_APPEND);
    try {
      const tail = Buffer.alloc(KEPT_BYTES);
      const { bytesRead } = await file.read(tail, 0, KEPT_BYTES, size - KEPT_BYTES);
      await file.truncate(0);
      await file.appendFile(Buffer.concat([Buffer.from("[…]\n"), tail.subarray(0, bytesRead)]));
      cut.push(name);
    } finally {
      await file.close();
    }
  }
  return cut;
}
