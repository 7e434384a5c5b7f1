import { readdirSync } from "node:fs";
import { encode } from "gpt-tokenizer/encoding/o200k_base";
import { describe, expect, test } from "vitest";
import { ACTIONS } from "../../src/actions/index.js";
import { MANIFEST, OUTPUT_SCHEMA } from "../../src/contract/index.js";
import { buildManifest, type ManifestTool } from "../../src/contract/manifest.js";
import { TOOL_LIST } from "../../src/mcp/tool-list.js";
import { TOOLS } from "../../src/tools/index.js";
import { PLANNED_ACTIONS, TRAIN_KEYS } from "./planned-tools.js";

/** What an agent pays for one tool, as `tools/list` sends it. */
function tokens(name: string, { title, description, lean, annotations }: ManifestTool): number {
  const tool = {
    name,
    title,
    description,
    inputSchema: lean,
    outputSchema: OUTPUT_SCHEMA,
    annotations,
  };
  return encode(JSON.stringify(tool)).length;
}

const ALL = Object.entries({ ...MANIFEST.actions, ...MANIFEST.tools });

describe("what an agent pays", () => {
  test.each(ALL)("%s costs at most 900 tokens, its description at most 2 KB", (name, tool) => {
    expect(tokens(name, tool)).toBeLessThanOrEqual(900);
    expect(Buffer.byteLength(tool.description)).toBeLessThanOrEqual(2048);
  });

  test("the price is that of what the server really sends", () => {
    const sent = TOOL_LIST.reduce((sum, tool) => sum + encode(JSON.stringify(tool)).length, 0);
    expect(sent).toBe(ALL.reduce((sum, [name, tool]) => sum + tokens(name, tool), 0));
  });

  test("all 21 tools, with every key that seed and contract name, cost at most 5,500 tokens", () => {
    const planned = buildManifest(PLANNED_ACTIONS, TOOLS);
    expect(Object.keys(planned.actions)).toHaveLength(15);
    expect(Object.keys(planned.tools)).toHaveLength(6);
    // What has been built counts as it is, what is to come as it is planned; train with its full width.
    const built = { ...planned.actions, ...MANIFEST.actions, train: planned.actions.train! };
    const prices = Object.entries({ ...built, ...planned.tools }).map(
      ([name, tool]) => [name, tokens(name, tool)] as const,
    );
    for (const [name, price] of prices) expect(price, name).toBeLessThanOrEqual(900);
    expect(prices.reduce((sum, [, price]) => sum + price, 0)).toBeLessThanOrEqual(5500);
  });

  test("every key that train has today is among those planned for", () => {
    expect(Object.keys(TRAIN_KEYS)).toEqual(
      expect.arrayContaining(
        Object.keys(MANIFEST.actions.train!.input.properties!.config!.properties!),
      ),
    );
  });
});

describe("the lean schemas", () => {
  test.each(ALL)("%s names every key, and has no union at its top", (_, { input, lean }) => {
    expect(lean).not.toHaveProperty("anyOf");
    expect(lean).not.toHaveProperty("oneOf");
    expect(lean).not.toHaveProperty("allOf");
    expect(lean.type).toBe("object");
    for (const [full, shown] of [
      [input, lean],
      [input.properties?.config, lean.properties?.config],
    ]) {
      const named = [
        ...Object.keys(shown?.properties ?? {}),
        ...(shown?.description?.match(/\w+/g) ?? []),
        "action",
      ];
      expect(named).toEqual(expect.arrayContaining(Object.keys(full?.properties ?? {})));
    }
  });

  test("keys that an adapter uses are keys of the action", () => {
    for (const row of MANIFEST.frameworks) {
      for (const [name, { keys, requires }] of Object.entries(row.actions)) {
        const known = Object.keys(MANIFEST.actions[name]!.input.properties!.config!.properties!);
        expect(known).toEqual(expect.arrayContaining([...keys]));
        expect(keys).toEqual(expect.arrayContaining([...requires]));
      }
    }
  });
});

describe("the lists", () => {
  test("a file an action, and the list names them all", () => {
    const files = readdirSync(new URL("../../src/actions", import.meta.url)).filter(
      (file) => file !== "index.ts",
    );
    expect(ACTIONS.map(({ name }) => `${name}.ts`).sort()).toEqual(files.sort());
  });

  test("the manifest is the one that the declarations give", () => {
    expect(MANIFEST).toEqual(JSON.parse(JSON.stringify(buildManifest(ACTIONS, TOOLS))));
  });
});
