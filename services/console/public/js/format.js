/** Numbers, times and names as the page writes them. What isn't known is a dash, never a zero. */

export const UNKNOWN = '–';

const known = (value) => value !== undefined && value !== null && !Number.isNaN(value);

/** `1,234`, `12.3` or `0.42`: three digits that count. */
export function number(value) {
  if (typeof value === 'string') return value;
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e12 || size < 1e-4)) return value.toExponential(2);
  return value.toLocaleString('en-US', { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 2 });
}

/** `1.2k`, `3.4M`: for axes. */
export function compact(value) {
  return value.toLocaleString('en-US', { notation: 'compact', maximumFractionDigits: 2 });
}

/** Milliseconds as `35 ms`, `4.2 s`, `12 min` or `3.1 h`. */
export function duration(ms) {
  if (!known(ms)) return UNKNOWN;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${number(Math.round(ms / 100) / 10)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${number(Math.round(ms / 360_000) / 10)} h`;
}

export function percent(share) {
  return known(share) ? `${number(share * 100)} %` : UNKNOWN;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** The time of day, with the day when it isn't today. */
export function time(iso, now = Date.now()) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return UNKNOWN;
  const today = at.toDateString() === new Date(now).toDateString();
  return today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

/** `shardId-000000000012` as `12`. */
export function shardNumber(shardId) {
  return /^shardId-0*(\d+)$/.exec(shardId)?.[1] ?? shardId;
}

/** A worker by its host and the end of its id: the id is `<host>-<uuid>`. */
export function workerName(owner) {
  if (!owner) return UNKNOWN;
  const match = /^(.*)-[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-([\da-f]{12})$/i.exec(owner);
  return match ? `${match[1]} ·${match[2].slice(-4)}` : owner;
}
