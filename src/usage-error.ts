/** A command line that means nothing; told on stderr with exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
