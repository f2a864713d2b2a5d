import type { Random } from '../../shared/backoff.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';

/** What a worker sees at one reading of the table. */
export interface Group {
  /** The leases that can be worked on: not finished, parents finished. */
  leases: readonly Lease[];
  /** Those of them that nobody holds, or whose owner stopped renewing. */
  free: ReadonlySet<Lease>;
  /** Keys of leases that were free at the reading before, too: whoever had room for them did not take them. */
  leftOver: ReadonlySet<string>;
  /** This worker. */
  worker: string;
}

/**
 * Which leases this worker should try to get now, so that all workers end up with the same number, give or take
 * one. There is no leader: each worker decides for itself on what it reads, and the conditional write settles
 * who was first.
 *
 * - Free leases up to the fair share; beyond it only what nobody else took for a whole round.
 * - When there is nothing free: a worker that has fewest takes one lease of the worker that has most, if that one
 *   has at least two more. One a round, so that two newcomers don't take more than they need from the same
 *   worker; and a difference of one is left alone, so that no lease moves where none would have to.
 *
 * A worker that holds nothing is not in the table, so the share is by the workers seen and this one.
 */
export function planTakes({ leases, free, leftOver, worker }: Group, random: Random): Lease[] {
  const held = new Map<string, Lease[]>([[worker, []]]);
  for (const lease of leases) {
    if (free.has(lease) || lease.leaseOwner === undefined) continue;
    const theirs = held.get(lease.leaseOwner);
    if (theirs) theirs.push(lease);
    else held.set(lease.leaseOwner, [lease]);
  }
  const mine = held.get(worker)?.length ?? 0;
  const share = Math.ceil(leases.length / held.size);
  const available = shuffled([...free], random);
  const fair = available.slice(0, Math.max(0, share - mine));
  const orphaned = available.slice(fair.length).filter(({ leaseKey }) => leftOver.has(leaseKey));
  if (available.length > 0) return [...fair, ...orphaned];

  const groups = [...held.values()];
  const most = groups.reduce((a, b) => (b.length > a.length ? b : a));
  if (groups.some(({ length }) => length < mine) || most.length - mine < 2) return [];
  return shuffled(most, random).slice(0, 1);
}

/** In random order, so that workers who decide at the same time reach for different leases. */
function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
