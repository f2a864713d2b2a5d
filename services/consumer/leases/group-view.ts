import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { WorkerPresence } from '../../shared/kcl/worker-row.ts';
import type { GroupReading, WorkerRef } from './lease-store.ts';

/** Lease times after which the row of a worker that says nothing any more is litter. */
const FORGET_AFTER_LEASES = 6;

/** A worker that is there, as far as the table tells. */
export interface Member extends WorkerRef {
  /**
   * True once this observer saw it do something. One that died shortly before this process started looks alive for a
   * lease's time: nothing may be given to it.
   */
  proven: boolean;
  /** It is stopping: nothing may be given to it, and what it has is going to leave it. */
  leaving: boolean;
}

/** What a worker makes of one reading of the table. */
export interface GroupState {
  leases: readonly Lease[];
  /** The leases that nobody holds, or whose owner stopped renewing. */
  free: ReadonlySet<Lease>;
  /** Those of them that have been free for so long that whoever they were due to didn't come. */
  leftOver: ReadonlySet<Lease>;
  /** The workers that renew a lease or say that they are there, by id. */
  members: ReadonlyMap<string, Member>;
  /** Rows of workers that are gone. */
  forgotten: readonly WorkerPresence[];
}

interface Seen {
  version: string;
  /** Monotonic ms since when the version stands. */
  since: number;
  /** True when the row came or moved after this observer's first reading. */
  moved: boolean;
}

/**
 * Tells who is alive and which leases have expired, by this process's own monotonic clock: a lease is expired when its
 * counter stood still for a lease's time since this observer first saw it there. Wall clocks of workers are never
 * compared, so their skew can't cost a live owner its lease.
 */
export class GroupView {
  readonly #durationMs: number;
  readonly #leftOverAfterMs: number;
  #seen: ReadonlyMap<string, Seen> = new Map();
  /** Workers that didn't answer, and haven't done anything in the table since. */
  readonly #doubted = new Set<string>();
  #readBefore = false;

  /** @param leftOverAfterMs how long a free lease is left to the worker that it is due to. */
  constructor(durationMs: number, leftOverAfterMs: number) {
    this.#durationMs = durationMs;
    this.#leftOverAfterMs = leftOverAfterMs;
  }

  /** A worker didn't answer: it isn't proven to be alive until it does something in the table again. */
  doubt(workerId: string): void {
    this.#doubted.add(workerId);
  }

  /**
   * Takes in a full reading of the table.
   *
   * @param now monotonic ms from before the reading began: what it shows as unmoved had not moved then.
   * @param readAt monotonic ms from after it ended: what it shows as new may be as new as that. A reading that took
   *   long, of a throttled table say, must make a lease look younger, never older.
   */
  observe({ leases, idle }: Pick<GroupReading, 'leases' | 'idle'>, now: number, readAt: number): GroupState {
    const next = new Map<string, Seen>();
    /** @param by whose sign of life a new version is. */
    const look = (key: string, version: string, by: string | undefined): Seen => {
      const last = this.#seen.get(key);
      const same = last?.version === version;
      const seen = same ? last : { version, since: readAt, moved: this.#readBefore };
      if (!same && by !== undefined) this.#doubted.delete(by);
      next.set(key, seen);
      return seen;
    };
    const free = new Set<Lease>();
    const leftOver = new Set<Lease>();
    const members = new Map<string, Member>();
    const meet = ({ workerId, address, proven, leaving }: Member): void => {
      const known = members.get(workerId);
      members.set(workerId, {
        workerId,
        address: known?.address ?? address,
        proven: (proven || (known?.proven ?? false)) && !this.#doubted.has(workerId),
        leaving: leaving || (known?.leaving ?? false),
      });
    };
    for (const lease of leases) {
      const { leaseKey, leaseCounter, leaseOwner, tenure } = lease;
      // Without a tenure, another worker has just written that one's name here: no sign of life yet.
      const by = tenure === undefined ? undefined : leaseOwner;
      const { since, moved } = look(`lease ${leaseKey}`, `${leaseCounter} ${leaseOwner ?? ''}`, by);
      const freeForMs = now - since - (leaseOwner === undefined ? 0 : this.#durationMs);
      if (freeForMs >= this.#leftOverAfterMs) leftOver.add(lease);
      if (leaseOwner === undefined || freeForMs >= 0) {
        free.add(lease);
        continue;
      }
      const proven = moved && by !== undefined;
      meet({ workerId: leaseOwner, address: lease.workerAddress, proven, leaving: false });
    }
    const forgotten: WorkerPresence[] = [];
    for (const worker of idle) {
      const { since, moved } = look(`worker ${worker.workerId}`, String(worker.seenAt), worker.workerId);
      if (now - since < this.#durationMs) meet({ ...worker, proven: moved });
      else if (now - since >= this.#durationMs * FORGET_AFTER_LEASES) forgotten.push(worker);
    }
    this.#seen = next;
    for (const workerId of this.#doubted) if (!members.has(workerId)) this.#doubted.delete(workerId);
    this.#readBefore = true;
    return { leases, free, leftOver, members, forgotten };
  }
}
