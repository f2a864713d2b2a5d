import type { Lease } from '../../shared/kcl/lease-row.ts';

/** What a worker sees at one reading of the table. */
export interface Group {
  /** The leases that can be worked on: not finished, parents finished. */
  leases: readonly Lease[];
  /** Those of them that nobody holds, or whose owner stopped renewing. */
  free: ReadonlySet<Lease>;
  /** Ids of the workers that leases may go to. A lease of a worker that isn't among them is to leave it. */
  workers: ReadonlySet<string>;
}

/** Where a lease should go. */
export interface Move {
  lease: Lease;
  to: string;
}

/**
 * Which leases should change hands so that all workers hold the same number, give or take one, by as few moves as that
 * takes. There is no leader: the plan follows from the reading alone, so workers with the same reading make the same
 * one, and each carries out its own part: it takes the free leases that are due to it, and gives away those of its own
 * that are due to others. Where readings differ, the conditional write settles who was first.
 *
 * The extra lease, where the numbers don't divide, goes to those who hold most already: so it doesn't move.
 */
export function planMoves({ leases, free, workers }: Group): Move[] {
  const held = new Map(Array.from(workers, (worker) => [worker, [] as Lease[]]));
  const homeless: Lease[] = [];
  for (const lease of byKey(leases)) {
    const theirs = free.has(lease) ? undefined : held.get(lease.leaseOwner ?? '');
    (theirs ?? homeless).push(lease);
  }
  // Free ones first: there somebody waits; and those with an owner only then.
  homeless.sort((a, b) => Number(free.has(b)) - Number(free.has(a)));
  const order = [...held].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1));
  const share = Math.floor(leases.length / workers.size);
  const spare = leases.length % workers.size;
  const room: { worker: string; places: number }[] = [];
  for (const [i, [worker, theirs]] of order.entries()) {
    const due = share + (i < spare ? 1 : 0);
    homeless.push(...theirs.slice(due));
    if (theirs.length < due) room.push({ worker, places: due - theirs.length });
  }
  const moves: Move[] = [];
  for (const lease of homeless) {
    // Whoever has most room is next, so that newcomers fill up evenly.
    const next = room.reduce((most, one) => (one.places > most.places ? one : most), {
      worker: '',
      places: 0,
    });
    if (next.places === 0) break; // no workers
    next.places--;
    moves.push({ lease, to: next.worker });
  }
  return moves;
}

function byKey(leases: readonly Lease[]): Lease[] {
  return [...leases].sort((a, b) => (a.leaseKey < b.leaseKey ? -1 : 1));
}
