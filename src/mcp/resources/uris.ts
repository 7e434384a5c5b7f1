/** What a URI of this server names. */
export type Target =
  | { readonly kind: "job" | "report" | "metrics"; readonly id: string }
  | { readonly kind: "log"; readonly id: string; readonly stream: "stdout" | "stderr" }
  | {
      readonly kind: "artifact";
      readonly id: string;
      /** Its key in the report. */
      readonly name: string;
      /** The way into it, where it is a directory. */
      readonly inside: readonly string[];
    }
  | { readonly kind: "schema"; readonly name: string };

const SCHEME = "ml-executor://";
const LONGEST = 2048;

export const JOB_TEMPLATE = `${SCHEME}jobs/{id}`;
export const REPORT_TEMPLATE = `${SCHEME}jobs/{id}/report`;
export const METRICS_TEMPLATE = `${SCHEME}jobs/{id}/metrics`;
export const LOG_TEMPLATE = `${SCHEME}jobs/{id}/logs/{stream}`;
export const ARTIFACT_TEMPLATE = `${SCHEME}jobs/{id}/artifacts/{name}`;
export const SCHEMA_TEMPLATE = `${SCHEME}schema/{action}`;

/** @param rest below the job: `report`, `artifacts`, a name … */
export const jobUri = (id: string, ...rest: string[]): string =>
  SCHEME + ["jobs", id, ...rest].map(encodeURIComponent).join("/");

export const schemaUri = (action: string): string => `${SCHEME}schema/${action}`;

/** What a URI names, whether it is there or not; null where no URI of this server looks like that. */
export function parseUri(uri: string): Target | null {
  if (uri.length > LONGEST || !uri.startsWith(SCHEME)) return null;
  const segments = uri.slice(SCHEME.length).split("/").map(decoded);
  if (!segments.every(isName)) return null;
  const [first, second, third, fourth, ...inside] = segments;
  if (second === undefined) return null;
  if (first === "schema") return third === undefined ? { kind: "schema", name: second } : null;
  if (first !== "jobs") return null;
  if (third === undefined) return { kind: "job", id: second };
  if (third === "report" || third === "metrics") {
    return fourth === undefined ? { kind: third, id: second } : null;
  }
  if (third === "logs" && (fourth === "stdout" || fourth === "stderr")) {
    return inside.length === 0 ? { kind: "log", id: second, stream: fourth } : null;
  }
  if (third === "artifacts" && fourth !== undefined) {
    return { kind: "artifact", id: second, name: fourth, inside };
  }
  return null;
}

/** Decoded once: what is encoded twice is a name with a percent sign in it. */
function decoded(segment: string): string | null {
  if (/[?#]/.test(segment)) return null;
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** A name of one file or key: never a way to somewhere else. */
function isName(segment: string | null): segment is string {
  return (
    segment !== null &&
    segment !== "" &&
    segment !== "." &&
    segment !== ".." &&
    !/[/\\\0]/.test(segment)
  );
}
