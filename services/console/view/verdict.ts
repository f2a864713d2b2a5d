import type { ShardsView } from './shards.ts';

/** Bounds of lag where no StreamScaler says what is too much, in ms. */
const DEFAULT_MAX_LAG_MS = 60_000;
/** Share of the bound from which on it is said, before it is too late. */
const WARN_SHARE = 0.25;

export interface Verdict {
  level: 'ok' | 'warn' | 'bad' | 'unknown';
  /** A few words. */
  title: string;
  /** A sentence. */
  detail: string;
}

/** How the group fares, in a sentence: the first thing that an engineer on call wants to know. */
export function verdict(shards: ShardsView | undefined, maxLagMs = DEFAULT_MAX_LAG_MS): Verdict {
  if (!shards) {
    return {
      level: 'unknown',
      title: 'Not known',
      detail: 'The leases or the shards could not be read yet.',
    };
  }
  const { unfinished, workers, worst, unknownLag } = shards;
  const count = (state: string) => shards.shards.filter((shard) => shard.state === state).length;
  const unowned = count('unowned');
  const silent = count('silent');
  const lag = worst
    ? worst.lagMs < 1_000
      ? 'less than 1 s behind'
      : `at most ${duration(worst.lagMs)} behind`
    : 'how far behind is not known';
  const who = `${unfinished} ${unfinished === 1 ? 'shard' : 'shards'}, ${workers.length} ${workers.length === 1 ? 'worker' : 'workers'}`;
  if (unowned > 0) {
    return {
      level: 'bad',
      title: 'Not all is read',
      detail: `${unowned} of ${who} ${unowned === 1 ? 'has' : 'have'} no owner; the others are ${lag}.`,
    };
  }
  if (worst && worst.lagMs > maxLagMs) {
    return {
      level: 'bad',
      title: 'Behind',
      detail: `${duration(worst.lagMs)} behind on ${shardName(worst.shardId)}, above the ${duration(maxLagMs)} aimed at. ${who}.`,
    };
  }
  if (silent > 0) {
    return {
      level: 'warn',
      title: 'Silent shards',
      detail: `${silent} of ${who} ${silent === 1 ? 'has an owner that does' : 'have owners that do'} not report: a dead worker, or a KCL application.`,
    };
  }
  if (worst && worst.lagMs > maxLagMs * WARN_SHARE) {
    return {
      level: 'warn',
      title: 'Falling behind',
      detail: `${duration(worst.lagMs)} behind on ${shardName(worst.shardId)}; ${duration(maxLagMs)} is aimed at. ${who}.`,
    };
  }
  if (!worst || unknownLag > 0) {
    return {
      level: 'warn',
      title: 'Lag not known',
      detail: `Of ${unknownLag} of ${who} it is not known how far behind they are.`,
    };
  }
  return { level: 'ok', title: 'Keeping up', detail: `${who}, ${lag}.` };
}

/** `shardId-000000000012` as people say it: `shard 12`. */
function shardName(shardId: string): string {
  const number = /^shardId-0*(\d+)$/.exec(shardId)?.[1];
  return number === undefined ? shardId : `shard ${number}`;
}

function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Math.round(ms / 100) / 10} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 360_000) / 10} h`;
}
