import fc from 'fast-check';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../../shared/list-shards.ts';
import { planLeases, type StartingPosition, startable } from './lineage.ts';

export const HORIZON: StartingPosition = { type: 'TRIM_HORIZON' };
export const LATEST: StartingPosition = { type: 'LATEST' };
export const NOW = 1_700_000_000_000;
export const STREAM = 'events';

export const LAST_HASH_KEY = 2n ** 128n - 1n;

export const shard = (
  n: number,
  parents: number[] = [],
  open = true,
  range = [0n, LAST_HASH_KEY],
): ShardInfo => ({
  shardId: `s${n}`,
  parentShardIds: parents.map((p) => `s${p}`),
  hashKeyRange: { starting: String(range[0]), ending: String(range[1]) },
  open,
});
export const finished = (lease: Lease): Lease => ({
  ...lease,
  checkpoint: { sequenceNumber: 'SHARD_END', subSequenceNumber: 0 },
});
export const keys = (leases: readonly Lease[]) => leases.map((lease) => lease.leaseKey).sort();

/** A stream of shards side by side that cover all hash keys, to be split and merged. */
export class Stream {
  readonly shards: ShardInfo[];

  constructor(shards: number) {
    const size = (LAST_HASH_KEY + 1n) / BigInt(shards);
    this.shards = Array.from({ length: shards }, (_, n) => {
      const starting = BigInt(n) * size;
      return shard(n, [], true, [starting, n === shards - 1 ? LAST_HASH_KEY : starting + size - 1n]);
    });
  }

  /** Splits an open shard, or merges it with its neighbour. */
  reshard(choice: number): void {
    const open = this.shards.filter((s) => s.open).sort((a, b) => (start(a) < start(b) ? -1 : 1));
    const at = choice % open.length;
    const [first, second] = [open[at], open[at + 1]];
    if (!first) return;
    first.open = false;
    const id = (s: ShardInfo) => Number(s.shardId.slice(1));
    const next = this.shards.length;
    if ((choice >> 8) % 2 === 0 || !second) {
      const middle = (start(first) + end(first)) / 2n;
      this.shards.push(shard(next, [id(first)], true, [start(first), middle]));
      this.shards.push(shard(next + 1, [id(first)], true, [middle + 1n, end(first)]));
    } else {
      second.open = false;
      this.shards.push(shard(next, [id(first), id(second)], true, [start(first), end(second)]));
    }
  }
}

const start = (s: ShardInfo) => BigInt(s.hashKeyRange.starting);
const end = (s: ShardInfo) => BigInt(s.hashKeyRange.ending);

/** A stream after a random history of splits and merges of its open shards. */
export const history = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(), { maxLength: 12 }))
  .map(([initial, choices]) => {
    const stream = new Stream(initial);
    for (const choice of choices) stream.reshard(choice);
    return stream.shards;
  });

/** Works as workers do: plan, process what may be processed, until nothing is left but open shards. */
export function drain(
  shards: readonly ShardInfo[],
  start: StartingPosition,
): { order: string[]; leases: Lease[] } {
  let leases: Lease[] = [];
  const order: string[] = [];
  for (;;) {
    const planned = planLeases(shards, leases, start, NOW);
    leases = [...leases, ...planned];
    const ready = startable(leases).filter((lease) => !order.includes(lease.leaseKey));
    if (ready.length === 0) return { order, leases };
    for (const { leaseKey } of ready) {
      order.push(leaseKey);
      const closed = shards.find((s) => s.shardId === leaseKey)?.open === false;
      if (closed) leases = leases.map((lease) => (lease.leaseKey === leaseKey ? finished(lease) : lease));
    }
  }
}
