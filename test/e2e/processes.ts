import { readdirSync, readFileSync } from "node:fs";

/** What runs on this machine, by /proc. */

export interface Process {
  pid: number;
  parent: number;
  startedAt: Date;
  command: string;
}

/** Every process; threads of the kernel are none. */
function allProcesses(): (Process & { isZombie: boolean })[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processOf(Number(name)) ?? []);
}

function processOf(pid: number): (Process & { isZombie: boolean }) | null {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    const fields = statOf(pid);
    const startedAt = new Date((bootSeconds() + Number(fields[19]) / TICKS_A_SECOND) * 1000);
    return { pid, parent: Number(fields[1]), startedAt, command, isZombie: fields[0] === "Z" };
  } catch {
    return null; // it ended while we looked
  }
}

/** The fields of `/proc/PID/stat` behind the program's name: state, parent, … */
function statOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
}

const TICKS_A_SECOND = 100;
const bootSeconds = () => Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]);

/** Every process whose environment or command line names `mark` (such as a state directory). */
export function processesOf(mark: string): Process[] {
  return allProcesses().filter(({ pid, command, isZombie }) => {
    if (isZombie || pid === process.pid) return false;
    try {
      return command.includes(mark) || readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark);
    } catch {
      return false;
    }
  });
}

/**
 * Every living process below `ancestor`; one below a zombie is its subreaper's child by then.
 *
 * A look at /proc is no snapshot: who is forked behind the look, by a parent that ends before it
 * comes to it, is missed. So it counts only when the next look sees the same, zombies included.
 */
export function descendantsOf(ancestor: number): Process[] {
  for (let seen = below(ancestor); ; ) {
    const again = below(ancestor);
    if (signature(again) === signature(seen)) return again.filter(({ isZombie }) => !isZombie);
    seen = again;
  }
}

function below(ancestor: number) {
  const all = allProcesses();
  const found = new Set([ancestor]);
  // A parent may have a higher pid than its child: until nothing is added.
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  return all.filter(({ pid }) => pid !== ancestor && found.has(pid));
}

const signature = (processes: ReturnType<typeof below>) =>
  processes.map(({ pid, parent, isZombie }) => `${pid} ${parent} ${isZombie}`).join("\n");

/** What runs with a state directory and does not belong to one of the servers `owners`. */
export function strangersTo(home: string, owners: readonly number[]): Process[] {
  const theirs = new Set(owners.flatMap((pid) => [pid, ...descendantsOf(pid).map((p) => p.pid)]));
  return processesOf(home).filter(({ pid }) => !theirs.has(pid));
}

export function isAlive(pid: number): boolean {
  try {
    return statOf(pid)[0] !== "Z";
  } catch {
    return false;
  }
}

/** Ends what a test has left: a job outlives its server, for minutes and with gigabytes. */
export function killAllOf(mark: string): void {
  for (const { pid } of processesOf(mark)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}
