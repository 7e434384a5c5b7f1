/**
 * The name among `known` that was most likely meant by `sent`, or null where none is near.
 * Case and punctuation do not count (`batch_size` means `batchSize`); beyond that, at most a third of
 * the letters may differ (Levenshtein). `runners/ml_runner/nearest.py` is its twin.
 */
export function nearest(sent: string, known: readonly string[]): string | null {
  const from = plain(sent);
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(from.length / 3)) + 1;
  for (const name of known) {
    const distance = editDistance(from, plain(name));
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
