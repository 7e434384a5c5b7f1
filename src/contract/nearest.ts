/**
 * The name among `known` that was most likely meant by `sent`, or null where none is near.
 * Case and punctuation do not count (`batch_size` means `batchSize`); beyond that, at most a third of
 * the letters may differ. `runners/ml_runner/nearest.py` is its twin.
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

/** Letters to add, drop, change or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
