// Who may import what: the rules that keep the parts apart, checked on every file of src/.
// The Python side has its own: scripts/check_boundaries.py.
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const src = fileURLToPath(new URL("../src/", import.meta.url));

const RULES = [
  {
    says: "only src/mcp imports the MCP SDK, so that a second binding can serve another revision",
    offends: (file, source) =>
      !file.startsWith("mcp/") && /^@modelcontextprotocol\/sdk/.test(source),
  },
  {
    says: "src/contract imports zod and itself alone: it is the one source of truth",
    offends: (file, source, target) =>
      file.startsWith("contract/") &&
      !/^(zod|node:crypto)$/.test(source) &&
      !target?.startsWith("contract/"),
  },
  {
    says: "src/actions declares: it imports zod, the contract and itself alone",
    offends: (file, source, target) =>
      file.startsWith("actions/") &&
      source !== "zod" &&
      !/^(contract|actions)\//.test(target ?? ""),
  },
  {
    says: "only src/mcp and the commands know of src/mcp",
    offends: (file, _source, target) =>
      Boolean(target?.startsWith("mcp/")) && !/^(mcp\/|cli\/|main\.ts$)/.test(file),
  },
];

/** The one file outside src/ that is bundled. */
const MANIFEST = "../tools.manifest.json";

const READS_PROCESS = /\bprocess\s*\.\s*(env|argv)\b|\{[^}]*\b(env|argv)\b[^}]*\}\s*=\s*process\b/;
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(\s*|\bimport\s+)["']([^"']+)["']/g;

const problems = [];
for (const file of await sources(src)) {
  const code = withoutComments(await readFile(path.join(src, file), "utf8"));
  for (const [, source] of code.matchAll(IMPORT)) {
    const target = source.startsWith(".")
      ? path.posix.normalize(path.posix.join(path.posix.dirname(file), source))
      : undefined;
    if (target === MANIFEST) continue;
    for (const rule of RULES) {
      if (rule.offends(file, source, target)) {
        problems.push(`src/${file} imports "${source}": ${rule.says}`);
      }
    }
    if (target?.startsWith("..")) {
      problems.push(`src/${file} imports "${source}", which lies outside src/`);
    }
  }
  if (file !== "config.ts" && READS_PROCESS.test(code)) {
    problems.push(`src/${file} reads process.env or process.argv: only src/config.ts does`);
  }
}

for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? "TypeScript boundaries hold" : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

async function sources(directory) {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .map((file) => file.split(path.sep).join("/"))
    .sort();
}

/** Comments may name what they like; strings are kept, since they hold the imports. */
function withoutComments(code) {
  return code.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (whole, string) => (string === undefined ? " " : whole),
  );
}
