import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { hostname, networkInterfaces } from "node:os";
import { type HttpOptions, isLoopback } from "../../../http-options.js";
import { Refusal } from "./answers.js";

/** Whose requests come without a token: those of this machine. */
export const LOCAL_PRINCIPAL = "http:local";

/** Headers that decide who gets in and to what: two of one kind could be read in two ways. */
const SINGLE = ["host", "origin", "authorization", "content-type", "mcp-session-id"] as const;

/** Who may come in: told by the Host, the Origin and the bearer token of a request. */
export class Gate {
  readonly #hosts: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  readonly #tokens: readonly { readonly digest: Buffer; readonly principal: string }[];

  /** @param port the one that is really listened on */
  constructor(options: HttpOptions, port: number) {
    const names = namesOf(options.host).map((name) => name.toLowerCase());
    const bound = names.flatMap((name) =>
      port === 80 ? [name, `${name}:80`] : [`${name}:${port}`],
    );
    this.#hosts = new Set([...bound, ...options.allowedHosts]);
    this.#origins = new Set(options.allowedOrigins);
    this.#tokens = options.tokens.map((token) => {
      const digest = sha256(token);
      return { digest, principal: `http:${digest.toString("hex").slice(0, 32)}` };
    });
  }

  /**
   * Whether the request was meant for this server, and comes from no page that it does not know: a name
   * that was made to point here (DNS rebinding), or a page that calls a local port, is turned away.
   *
   * @throws Refusal 400 or 403
   */
  checkSource({ headersDistinct }: IncomingMessage): void {
    for (const name of SINGLE) {
      if ((headersDistinct[name]?.length ?? 0) > 1)
        throw new Refusal(400, `The header ${name} was sent more than once`);
    }
    const host = headersDistinct.host?.[0]?.toLowerCase();
    // `--allowed-host NAME` stands for every port: that of a tunnel or a proxy is not known here.
    if (!host || !(this.#hosts.has(host) || this.#hosts.has(host.replace(/:\d+$/, "")))) {
      throw new Refusal(
        403,
        `Host ${JSON.stringify(host ?? "")} is not served; --allowed-host adds one`,
      );
    }
    const origin = headersDistinct.origin?.[0];
    if (origin !== undefined && !this.#isKnown(origin)) {
      throw new Refusal(
        403,
        `Origin ${JSON.stringify(origin)} is not allowed; --allowed-origin adds one`,
      );
    }
  }

  /**
   * Whose request it is.
   *
   * @returns a name for the token that never tells the token itself
   * @throws Refusal 401
   */
  principalOf({ headersDistinct }: IncomingMessage): string {
    if (this.#tokens.length === 0) return LOCAL_PRINCIPAL;
    const given = /^Bearer +(\S+) *$/i.exec(headersDistinct.authorization?.[0] ?? "")?.[1];
    if (given === undefined) {
      throw new Refusal(401, "A bearer token is needed", undefined, {
        "WWW-Authenticate": 'Bearer realm="ml-executor"',
      });
    }
    // Digests are of one length, and every one is compared: the time taken tells nothing.
    const digest = sha256(given);
    const found = this.#tokens.filter((token) => timingSafeEqual(token.digest, digest));
    if (found[0]) return found[0].principal;
    throw new Refusal(401, "The bearer token is not one of this server's", undefined, {
      "WWW-Authenticate": 'Bearer realm="ml-executor", error="invalid_token"',
    });
  }

  /**
   * The headers that let a page of an origin that was named by `--allowed-origin` read the answer.
   * Pages of other local ports are let in, for programs that are built of them, but not to read by script.
   */
  corsOf({ headers }: IncomingMessage): Record<string, string> {
    const { origin } = headers;
    if (origin === undefined || !this.#origins.has(origin)) return {};
    return {
      "Access-Control-Allow-Origin": origin,
      "Access-Control-Expose-Headers": "Mcp-Session-Id, WWW-Authenticate",
      Vary: "Origin",
    };
  }

  #isKnown(origin: string): boolean {
    if (this.#origins.has(origin)) return true;
    const url = URL.canParse(origin) ? new URL(origin) : null;
    return url !== null && /^https?:$/.test(url.protocol) && isLoopback(url.hostname);
  }
}

/** The names and addresses, as a Host header has them, under which what listens on `host` is reached. */
function namesOf(host: string): string[] {
  const local = ["localhost", "127.0.0.1", "[::1]"];
  if (isLoopback(host)) return [...local, bracketed(host)];
  if (host !== "0.0.0.0" && host !== "::") return [bracketed(host)];
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return [...local, hostname(), ...addresses.map(({ address }) => bracketed(address))];
}

export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
