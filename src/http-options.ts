import { UsageError } from "./usage-error.js";

/** How `serve --http` listens, and whom it lets in. */
export interface HttpOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Each is one principal, which sees its own jobs alone. Empty: nobody is asked, on loopback only. */
  readonly tokens: readonly string[];
  /** `HOST` or `HOST:PORT` that a request may name beside the address that is listened on. */
  readonly allowedHosts: readonly string[];
  /** Origins, such as `https://app.example`, whose pages may connect. */
  readonly allowedOrigins: readonly string[];
  /** Seconds without a request or an open stream after which a session ends. */
  readonly sessionSeconds: number;
}

/** The options of `serve` that only mean something with `--http`, as they were given. */
export interface HttpValues {
  http?: boolean;
  host?: string;
  port?: string;
  token?: string[];
  "allowed-host"?: string[];
  "allowed-origin"?: string[];
  "session-timeout"?: string;
}

export const HTTP_OPTIONS = {
  http: { type: "boolean" },
  host: { type: "string" },
  port: { type: "string" },
  token: { type: "string", multiple: true },
  "allowed-host": { type: "string", multiple: true },
  "allowed-origin": { type: "string", multiple: true },
  "session-timeout": { type: "string" },
} as const;

const DEFAULT_PORT = 8765;
const DEFAULT_SESSION_SECONDS = 30 * 60;
const DAY_SECONDS = 24 * 60 * 60;

/**
 * @param token `ML_EXECUTOR_TOKEN`: one token, or several with commas between
 * @returns null for serving over stdio
 * @throws UsageError where an option does not fit, and where everybody would be let in from outside
 */
export function toHttpOptions(values: HttpValues, token: string | undefined): HttpOptions | null {
  if (!values.http) {
    const names = Object.keys(HTTP_OPTIONS) as (keyof HttpValues)[];
    const stray = names.find((name) => values[name] !== undefined);
    if (stray) throw new UsageError(`serve: --${stray} belongs to serve --http`);
    return null;
  }
  const host = (values.host ?? "127.0.0.1").replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw new UsageError("--host is empty; it takes an address to listen on");
  // Those of the command line, where there are any: the variable may be set for good.
  const tokens = values.token ?? named(token ?? "");
  for (const one of tokens) checkToken(one);
  const options: HttpOptions = {
    host,
    port: integer("--port", values.port, 0, 65_535) ?? DEFAULT_PORT,
    tokens,
    allowedHosts: (values["allowed-host"] ?? []).map(toHost),
    allowedOrigins: (values["allowed-origin"] ?? []).map(toOrigin),
    sessionSeconds:
      integer("--session-timeout", values["session-timeout"], 1, DAY_SECONDS) ??
      DEFAULT_SESSION_SECONDS,
  };
  if (options.tokens.length === 0 && !isLoopback(host)) {
    throw new UsageError(
      `serve --http: ${host} can be reached from outside this machine, which demands a token: ` +
        "set ML_EXECUTOR_TOKEN or --token",
    );
  }
  return options;
}

/** Whether an address, or the name that stands for one, is of this machine alone. */
export function isLoopback(host: string): boolean {
  return /^(localhost|::1|\[::1\]|127(\.\d{1,3}){3})$/i.test(host);
}

function named(list: string): string[] {
  return list
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
}

/** What can be sent in a header, without the space and the comma that separate there and here. */
function checkToken(token: string): void {
  if (!/^[\x21-\x2b\x2d-\x7e]+$/.test(token)) {
    throw new UsageError("--token (or ML_EXECUTOR_TOKEN) must be visible ASCII without commas");
  }
}

function toHost(value: string): string {
  const url = parsed(`http://${value}`);
  if (url && value !== "" && url.pathname === "/" && !/[/?#@]/.test(value)) {
    return value.toLowerCase();
  }
  throw new UsageError(`--allowed-host is '${value}'; it takes HOST or HOST:PORT`);
}

function toOrigin(value: string): string {
  const url = parsed(value);
  if (url && /^https?:$/.test(url.protocol) && url.pathname === "/" && !/[?#@]/.test(value)) {
    return url.origin;
  }
  throw new UsageError(`--allowed-origin is '${value}'; it takes one such as https://app.example`);
}

function parsed(url: string): URL | null {
  return URL.canParse(url) ? new URL(url) : null;
}

function integer(option: string, value: string | undefined, least: number, most: number) {
  if (value === undefined) return null;
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new UsageError(`${option} is '${value}'; it takes a whole number from ${least} to ${most}`);
}
