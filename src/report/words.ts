/** Durations and sizes in the words of the reports: `1h 23m 45s`, `98.2MB`. */

/** A duration as the reports word it. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  if (seconds < 10) return `${Math.round(seconds * 10) / 10}s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const parts = [
    hours > 0 && `${hours}h`,
    (hours > 0 || minutes > 0) && `${minutes}m`,
    `${whole % 60}s`,
  ];
  return parts.filter(Boolean).join(" ");
}

/** A number as a person reads it: four significant digits, no trailing zeros. */
export function figure(value: number | null): string {
  return value === null ? "n/a" : String(Number(value.toPrecision(4)));
}

/** `loss 0.31, accuracy 0.92` */
export function metricsLine(metrics: Record<string, number | null>): string {
  return Object.entries(metrics)
    .map(([name, value]) => `${name} ${figure(value)}`)
    .join(", ");
}

/** `epoch 3/50`, or what is known of it. */
export function progressLine(progress: {
  unit: string;
  done: number;
  total: number | null;
}): string {
  const { unit, done, total } = progress;
  if (total === null) return `${unit} ${done}`;
  return `${unit} ${done}/${total}`;
}

/** A size as the reports word it, in powers of 1024: `98.2MB`. */
export function size(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : Math.round(value * 10) / 10}${units[unit]}`;
}
