import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ReadResourceResult } from "@modelcontextprotocol/sdk/types.js";
import { size } from "../../report/words.js";
import { RequestError } from "../requests.js";
import { type Artifact, isIn, mimeTypeOf } from "./artifact-paths.js";
import { jobUri } from "./uris.js";

/** A message that carries more would choke clients; the file itself is what such content is for. */
const LARGEST_BYTES = 8 * 1024 * 1024;
const MOST_ENTRIES = 1000;

const BINARY = "application/octet-stream";

/**
 * Reads an artifact, or what lies in one that is a directory.
 *
 * @param way job and name of the artifact, then the names that lead into it
 * @returns null where there is no such file, or a link leads elsewhere
 * @throws RequestError where it is too large
 */
export async function readArtifact(
  uri: string,
  artifact: Artifact,
  way: { id: string; name: string; inside: readonly string[] },
): Promise<ReadResourceResult | null> {
  const path = await contained(artifact, way.inside);
  if (path === null) return null;
  const found = await stat(path);
  if (found.isDirectory()) {
    const uriOf = (entry: string) => jobUri(way.id, "artifacts", way.name, ...way.inside, entry);
    return json(uri, { name: basename(path), path, ...(await list(path, uriOf)) });
  }
  if (!found.isFile()) return null;
  return await readFileContent(uri, path);
}

/** The real path of an artifact, or of something in it; null where it is not there or not in it. */
async function contained(artifact: Artifact, inside: readonly string[]): Promise<string | null> {
  try {
    const directory = await realpath(artifact.within ?? dirname(artifact.path));
    const own = await realpath(artifact.path);
    const path = await realpath(join(own, ...inside));
    return isIn(directory, own) && isIn(own, path) ? path : null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "ENAMETOOLONG")
      return null;
    throw error;
  }
}

async function readFileContent(uri: string, path: string): Promise<ReadResourceResult> {
  // Neither through a link that was put there meanwhile, nor waiting at a FIFO.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags);
  try {
    const { size: bytes } = await file.stat();
    if (bytes > LARGEST_BYTES) {
      throw RequestError.invalidParams(
        `The artifact is too large to be sent (${size(bytes)}, at most ${size(LARGEST_BYTES)}): open the file itself`,
        { uri, path, sizeBytes: bytes, limitBytes: LARGEST_BYTES },
      );
    }
    return contentOf(uri, path, await file.readFile());
  } finally {
    await file.close();
  }
}

function contentOf(uri: string, path: string, bytes: Buffer): ReadResourceResult {
  const mimeType = mimeTypeOf(path);
  const text = mimeType === "image/png" ? null : asText(bytes);
  if (text === null || (mimeType === undefined && text.includes("\0"))) {
    const blob = bytes.toString("base64");
    return { contents: [{ uri, mimeType: mimeType ?? BINARY, blob }] };
  }
  return { contents: [{ uri, mimeType: mimeType ?? "text/plain", text }] };
}

function asText(bytes: Buffer): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

async function list(path: string, uriOf: (entry: string) => string) {
  const found = await readdir(path, { withFileTypes: true });
  const entries = found
    .filter((entry) => entry.isFile() || entry.isDirectory())
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  const shown = await Promise.all(
    entries.slice(0, MOST_ENTRIES).map(async (entry) => {
      const common = { name: entry.name, uri: uriOf(entry.name) };
      if (entry.isDirectory()) return { ...common, directory: true };
      const { size: sizeBytes } = await stat(join(path, entry.name));
      return { ...common, sizeBytes };
    }),
  );
  const omitted = entries.length - shown.length;
  return { entries: shown, ...(omitted > 0 && { omitted }) };
}

/** A resource of JSON. */
export const json = (uri: string, content: unknown): ReadResourceResult => ({
  contents: [{ uri, mimeType: "application/json", text: JSON.stringify(content) }],
});
