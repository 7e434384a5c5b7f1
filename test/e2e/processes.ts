import { readdirSync, readFileSync } from "node:fs";

/** What runs on this machine, by /proc. */

export interface Process {
  pid: number;
  parent: number;
  startedAt: Date;
  command: string;
}

/** Every living process; zombies and threads of the kernel are none. */
function allProcesses(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processOf(Number(name)) ?? []);
}

function processOf(pid: number): Process | null {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    const fields = statOf(pid);
    if (fields[0] === "Z") return null;
    const startedAt = new Date((bootSeconds() + Number(fields[19]) / TICKS_A_SECOND) * 1000);
    return { pid, parent: Number(fields[1]), startedAt, command };
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
  return allProcesses().filter(({ pid, command }) => {
    if (pid === process.pid) return false;
    try {
      return command.includes(mark) || readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark);
    } catch {
      return false;
    }
  });
}

/** Every living process below `ancestor`; one below a zombie is its subreaper's child by then. */
export function descendantsOf(ancestor: number): Process[] {
  const all = allProcesses();
  const below = new Set([ancestor]);
  // A parent may have a higher pid than its child: until nothing is added.
  for (let before = 0; before < below.size; ) {
    before = below.size;
    for (const { pid, parent } of all) if (below.has(parent)) below.add(pid);
  }
  return all.filter(({ pid }) => pid !== ancestor && below.has(pid));
}

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
