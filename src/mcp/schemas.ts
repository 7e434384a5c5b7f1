import { ExecutorError, MANIFEST } from "../contract/index.js";

/**
 * An action's full schema, and which of its config keys which framework requires or does not use; of a
 * tool that is no action, its full schema.
 */
export function describeAction(name: string): Record<string, unknown> {
  const action = Object.hasOwn(MANIFEST.actions, name) ? MANIFEST.actions[name] : undefined;
  if (!action) {
    if (Object.hasOwn(MANIFEST.tools, name))
      return { tool: name, schema: MANIFEST.tools[name]?.input };
    throw ExecutorError.invalidConfiguration(`There is no action '${name}'`, {
      solution: `There are: ${SCHEMA_NAMES.join(", ")}.`,
      metadata: { key: "action", sent: name, allowed: SCHEMA_NAMES },
    });
  }
  const all = Object.keys(action.input.properties?.config?.properties ?? {});
  const frameworks = Object.fromEntries(
    MANIFEST.frameworks.flatMap((row) => {
      const capability = row.actions[name];
      if (!capability) return [];
      const { keys, requires, requiresOneOf } = capability;
      const unused = all.filter((key) => !keys.includes(key));
      return [[row.name, { requires, ...(requiresOneOf && { requiresOneOf }), unused }]];
    }),
  );
  return { action: name, rules: action.rules, frameworks, schema: action.input };
}

/** The names of all actions and tools. */
export const SCHEMA_NAMES: readonly string[] = [
  ...Object.keys(MANIFEST.actions),
  ...Object.keys(MANIFEST.tools),
];

/** As `describeAction`; null where there is no such tool. */
export function describeSchema(name: string): Record<string, unknown> | null {
  return SCHEMA_NAMES.includes(name) ? describeAction(name) : null;
}
