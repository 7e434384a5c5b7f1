import { size } from "../report/words.js";
import type { Gpu, Inspection } from "./inspect.js";

/** What the tool `environment` answers with, at most 2 KB. */
const MOST_BYTES = 2048;

type Summary = Record<string, unknown>;

/** The parts of an inspection that an agent acts on; what does not fit into 2 KB is left out last first. */
export function summarize(inspection: Inspection): Summary {
  const { executor, frameworks, environments, others, gpus, cores } = inspection;
  const used = new Set(frameworks.map(({ executable }) => executable));
  const parts: [key: string, value: unknown][] = [
    ["frameworks", frameworks.map(frameworkEntry)],
    ["gpus", gpus.map(gpuEntry)],
    ["cores", cores],
    [
      "environments",
      environments.map(({ source, executable, kind, version, problem }) => ({
        python: executable,
        version,
        kind,
        source,
        ...(problem && { problem: problem.slice(0, 100) }),
      })),
    ],
    ["warnings", [...new Set(frameworks.flatMap(({ warnings }) => warnings))]],
    [
      "packages",
      Object.fromEntries(
        environments
          .filter(({ executable }) => used.has(executable))
          .map(({ executable, packages }) => [executable, packages]),
      ),
    ],
    ["executor", { version: executor.version, node: executor.node, platform: executor.platform }],
    [
      "others",
      others
        .filter(({ problem }) => problem === null)
        .map(({ kind, version, path }) => `${kind} ${version} ${path}`),
    ],
  ];
  const summary: Summary = {};
  const omitted: string[] = [];
  for (const [key, value] of parts) {
    if (Array.isArray(value) && value.length === 0 && key !== "gpus") continue;
    const grown = { ...summary, [key]: value };
    // Room for the note itself.
    if (Buffer.byteLength(JSON.stringify(grown)) <= MOST_BYTES - 120) summary[key] = value;
    else omitted.push(key);
  }
  if (omitted.length > 0) summary.omitted = `${omitted.join(", ")}: see ml-executor doctor`;
  return summary;
}

function frameworkEntry({
  name,
  version,
  executable,
  why,
  install,
}: Inspection["frameworks"][number]): Summary {
  return version === null
    ? { name, version, ...(install && { install }) }
    : { name, version, python: executable, why, ...(install && { install }) };
}

function gpuEntry({ kind, name, memoryTotalBytes, memoryFreeBytes, driver }: Gpu): Summary {
  return {
    kind,
    name,
    ...(memoryTotalBytes !== undefined && { memoryTotal: size(memoryTotalBytes) }),
    ...(memoryFreeBytes !== undefined && { memoryFree: size(memoryFreeBytes) }),
    ...(driver && { driver }),
  };
}
