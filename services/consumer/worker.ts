import type { Clock } from '../shared/clock.ts';
import { WeirError } from '../shared/errors.ts';
import type { Lease } from '../shared/kcl/lease-row.ts';
import type { ShardListing } from '../shared/list-shards.ts';
import type { Logger } from '../shared/log.ts';
import type { Progress } from '../shared/progress.ts';
import { StoppedError } from './errors.ts';
import { type GroupState, GroupView } from './leases/group-view.ts';
import { HeldLease, KEEPS_PER_LEASE } from './leases/held-lease.ts';
import type { LeaseStore, WorkerRef } from './leases/lease-store.ts';
import { LeaseSync } from './leases/lease-sync.ts';
import { ownPart, succession } from './leases/own-part.ts';
import { Presence } from './leases/presence.ts';
import { ShardMeter } from './leases/shard-meter.ts';
import type { StartingPosition } from './lineage/lineage.ts';
import { ShardLister } from './lineage/shard-lister.ts';
import type { ConsumerMetrics } from './metrics.ts';
import { ShardConsumer, type ShardConsumerDeps, type ShardOutcome } from './shard-consumer.ts';
import type { WorkerLoad } from './worker-load.ts';

/** Longest pause between two looks at the lease table. A look is one consistent scan of a few rows. */
const MAX_ASSIGN_INTERVAL_MS = 1_000;
/** Shortest pause: what a flood of pokes costs at most. */
const MIN_ASSIGN_INTERVAL_MS = 50;

export interface WorkerDeps {
  /** Id, and `host:port` under which other workers reach this one's admin server. */
  worker: { workerId: string; address: string };
  store: LeaseStore;
  listShards: () => Promise<ShardListing>;
  /** As the configuration names it. */
  stream: string;
  startingPosition: StartingPosition;
  leaseDurationMs: number;
  shard: Omit<ShardConsumerDeps, 'childrenOf' | 'successor' | 'clock' | 'log' | 'metrics'>;
  /** Tells the worker at an address to look at the table. @returns whether it heard. */
  poke: (address: string | undefined) => Promise<boolean>;
  progress: Progress;
  load: WorkerLoad;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
}

interface Running {
  held: HeldLease;
  meter: ShardMeter;
  /** Aborted: finish what is in hand and pass the lease on. */
  handover: AbortController;
  /** Aborted: retention has removed the shard. */
  trimmed: AbortController;
  done: Promise<void>;
}

/**
 * One member of the consumer group. Two loops: `assign` creates missing leases, takes this worker's share of the free
 * ones, hands on what is due to others, and runs a `ShardConsumer` on each it holds; `renew` keeps what is held.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #view: GroupView;
  readonly #sync: LeaseSync;
  readonly #lister: ShardLister;
  readonly #presence: Presence;
  readonly #assignIntervalMs: number;
  readonly #running = new Map<string, Running>();
  /** Who is to get a lease that is about to be given up, by its key. */
  readonly #successors = new Map<string, WorkerRef>();
  readonly #stopping = new AbortController();
  readonly #force = new AbortController();
  readonly #loopsEnd = new AbortController();
  #wake = new AbortController();
  #group: GroupState | undefined;
  #assigning: Promise<void> = Promise.resolve();
  #renewing: Promise<void> = Promise.resolve();

  constructor(deps: WorkerDeps) {
    const { store, clock, worker, leaseDurationMs } = deps;
    // A stop needs no listing, and one that hangs takes longer than a pod may for its end.
    this.#deps = { ...deps, listShards: () => unlessAborted(deps.listShards, this.#stopping.signal) };
    this.#assignIntervalMs = Math.min(leaseDurationMs / 3, MAX_ASSIGN_INTERVAL_MS);
    // One and a half rounds: in that time whoever a free lease is due to has had its look.
    this.#view = new GroupView(leaseDurationMs, this.#assignIntervalMs * 1.5);
    this.#sync = new LeaseSync(this.#deps);
    const { random } = deps.shard;
    this.#lister = new ShardLister({ ...this.#deps, random, onLate: () => this.#wake.abort() });
    this.#presence = new Presence(store, clock, worker, leaseDurationMs);
  }

  /**
   * True once the leases were read, and the shards where there are no leases: the worker can work, even if it owns nothing. With the
   * wrong stream, or without the right to list it, a new group is not.
   */
  get ready(): boolean {
    const knowsShards = this.#lister.hasListed || (this.#group?.leases.length ?? 0) > 0;
    return this.#group !== undefined && knowsShards && !this.#stopping.signal.aborted;
  }

  get shardIds(): string[] {
    return [...this.#running.keys()];
  }

  /** The workers of the group that were seen at the last look, this one included; 0 before the first. */
  get workersSeen(): number {
    const members = this.#group?.members;
    return members ? members.size + (members.has(this.#deps.worker.workerId) ? 0 : 1) : 0;
  }

  start(): void {
    this.#assigning = this.#assignLoop();
    this.#renewing = this.#renewLoop();
  }

  /** Another worker says that there is something in the table. @returns whether this one is going to look. */
  look(): boolean {
    this.#wake.abort();
    return !this.#stopping.signal.aborted;
  }

  /**
   * Finishes the slices in hand, checkpoints, and gives each lease to the live worker that has fewest.
   *
   * @param graceMs after which work in hand is left.
   * @throws WeirError `stop-forced` naming the shards whose work was left.
   */
  async stop(graceMs: number): Promise<void> {
    const { clock } = this.#deps;
    // By the last look at the table, so that a stop waits for no read.
    if (this.#group) {
      const heirs = succession(this.#group, this.#deps.worker.workerId, this.#running);
      for (const [key, heir] of heirs) this.#successors.set(key, heir);
    }
    this.#stopping.abort();
    this.#wake.abort();
    const signedOff = this.#signOff();
    const settled = new AbortController();
    const forced = clock.sleep(graceMs, settled.signal).then(() => {
      if (settled.signal.aborted) return [];
      this.#force.abort();
      return this.shardIds;
    });
    // First: a round under way may still take a lease, which is then given back below.
    await this.#assigning;
    await Promise.all(Array.from(this.#running.values(), ({ done }) => done));
    await signedOff.then(() => this.#signOff(true));
    settled.abort();
    this.#loopsEnd.abort();
    await this.#renewing;
    const left = await forced;
    if (left.length > 0) throw new WeirError('stop-forced', `work was left on ${left.join(', ')}`);
  }

  /** First that we are leaving, then that we are gone; without it others find out as they do after a crash. */
  async #signOff(gone = false): Promise<void> {
    try {
      await (gone ? this.#presence.withdraw() : this.#presence.leave());
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'this worker could not be signed off in the lease table');
    }
  }

  async #assignLoop(): Promise<void> {
    const { clock, log, progress } = this.#deps;
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController();
      progress.tick('assign');
      try {
        await this.#assign();
      } catch (error) {
        this.#lister.want();
        if (!this.#stopping.signal.aborted)
          log.warn({ err: error }, 'leases could not be assigned; trying again');
      }
      await clock.sleep(MIN_ASSIGN_INTERVAL_MS, this.#stopping.signal);
      await clock.sleep(this.#assignIntervalMs - MIN_ASSIGN_INTERVAL_MS, this.#wake.signal);
    }
    progress.forget('assign');
  }

  async #assign(): Promise<void> {
    const { store, clock, worker, metrics } = this.#deps;
    await this.#presence.keep(this.#running.size > 0);
    const listing = await this.#lister.due(this.#stopping.signal);
    const now = clock.monotonic();
    const reading = await store.read();
    const readAt = clock.monotonic();
    let created: ReadonlySet<Lease> = new Set();
    if (listing) {
      const synced = await this.#sync.sync(listing, reading, now);
      created = new Set(synced.created);
      reading.leases.push(...created);
      for (const key of synced.trimmed) this.#running.get(key)?.trimmed.abort();
    }
    if (this.#sync.endedWithoutHeirs(reading.leases)) this.#listSoon();
    const group = this.#view.observe(reading, now, readAt);
    this.#group = group;
    metrics.workersSeen.set(this.workersSeen);
    const { take, give, leave } = ownPart(group, worker.workerId, this.#running);
    await this.#takeAll(take);
    for (const { lease, to } of give) {
      this.#successors.set(lease.leaseKey, to);
      this.#running.get(lease.leaseKey)?.handover.abort();
    }
    // The others would find them at their next look; a child that waits is a source that stands still.
    for (const { lease, to } of leave) if (created.has(lease)) void this.#poke(to);
    await this.#presence.keep(this.#running.size > 0);
    await Promise.all(group.forgotten.map(({ workerId, seenAt }) => store.withdraw(workerId, seenAt)));
  }

  async #takeAll(leases: readonly Lease[]): Promise<void> {
    const { store, clock, worker } = this.#deps;
    const takes = await Promise.allSettled(
      leases.map(async (lease) => {
        const takenAt = clock.monotonic();
        const taken = await store.take(lease, worker);
        if (taken) this.#run(taken, takenAt, lease.leaseOwner === worker.workerId ? 'received' : 'taken');
      }),
    );
    const failed = takes.find((take) => take.status === 'rejected');
    if (failed) throw failed.reason;
  }

  #run(lease: Lease, takenAt: number, event: 'taken' | 'received'): void {
    const { store, clock, leaseDurationMs, load, log, metrics, progress, shard } = this.#deps;
    const shardId = lease.leaseKey;
    const meter = new ShardMeter(clock, leaseDurationMs, load);
    const held = new HeldLease(lease, store, clock, leaseDurationMs, takenAt, meter);
    const handover = new AbortController();
    const trimmed = new AbortController();
    const loop = `shard ${shardId}`;
    this.#successors.delete(shardId);
    const consumer = new ShardConsumer(
      {
        ...shard,
        clock,
        log,
        metrics,
        childrenOf: (id) => this.#sync.childrenOf(id),
        successor: () => this.#successors.get(shardId),
      },
      held,
      meter,
      () => progress.tick(loop),
    );
    metrics.leaseEvents.inc({ event });
    log.info({ shardId, event, checkpoint: lease.checkpoint }, 'lease taken');
    const work = consumer.run({
      stopping: AbortSignal.any([this.#stopping.signal, handover.signal]),
      force: this.#force.signal,
      trimmed: trimmed.signal,
    });
    const done = work.then(
      (outcome) => this.#ended(held, outcome),
      (error: unknown) => log.error({ err: error, shardId }, 'work on the shard ended by an error'),
    );
    this.#running.set(shardId, {
      held,
      meter,
      handover,
      trimmed,
      done: done.finally(() => this.#forget(shardId)),
    });
    metrics.leasesHeld.set(this.#running.size);
  }

  async #ended(held: HeldLease, outcome: ShardOutcome): Promise<void> {
    const { log, metrics, store } = this.#deps;
    const { shardId, lease } = held;
    metrics.leaseEvents.inc({ event: outcome });
    const successor = outcome === 'handed-on' ? lease.leaseOwner : undefined;
    log.info({ shardId, outcome, successor, checkpoint: lease.checkpoint }, 'work on the shard ended');
    if (outcome === 'shard-end' || outcome === 'trimmed') this.#listSoon();
    if (successor === undefined) return;
    const heard = await this.#poke({ workerId: successor, address: lease.workerAddress });
    if (heard) return;
    this.#view.doubt(successor);
    // Dead, or out of reach: then it is anybody's, and who finds it first at a look goes on.
    await store
      .revoke(lease)
      .catch((error: unknown) => log.warn({ err: error, shardId }, 'a lease waits for its time to run out'));
  }

  /** The children of a shard that ended are to be leased now, not with the next regular listing. */
  #listSoon(): void {
    this.#lister.want();
    this.#wake.abort();
  }

  async #poke(member: WorkerRef): Promise<boolean> {
    const heard = await this.#deps.poke(member.address);
    this.#deps.metrics.pokes.inc({ outcome: heard ? 'heard' : 'unheard' });
    if (!heard) this.#deps.log.info({ worker: member.workerId }, 'a worker could not be told of a lease');
    return heard;
  }

  #forget(shardId: string): void {
    const { progress, metrics } = this.#deps;
    this.#running.delete(shardId);
    this.#successors.delete(shardId);
    progress.forget(`shard ${shardId}`);
    metrics.leasesHeld.set(this.#running.size);
    metrics.millisBehindLatest.remove({ shard: shardId });
  }

  async #renewLoop(): Promise<void> {
    const { clock, leaseDurationMs, progress } = this.#deps;
    while (!this.#loopsEnd.signal.aborted) {
      progress.tick('renew');
      for (const { held, meter } of this.#running.values()) {
        // Not awaited: a renewal that hangs must not keep the other leases, or this one's expiry, from being seen.
        void this.#keep(held);
        this.#showLag(held.shardId, meter);
      }
      await clock.sleep(leaseDurationMs / KEEPS_PER_LEASE, this.#loopsEnd.signal);
    }
    progress.forget('renew');
  }

  #showLag(shard: string, meter: ShardMeter): void {
    const behind = meter.millisBehindLatest();
    const { millisBehindLatest } = this.#deps.metrics;
    if (behind === undefined) millisBehindLatest.remove({ shard });
    else millisBehindLatest.set({ shard }, behind);
  }

  async #keep(held: HeldLease): Promise<void> {
    if (held.lost.aborted) return;
    try {
      await held.keep();
    } catch (error) {
      this.#deps.log.warn({ err: error, shardId: held.shardId }, 'a lease could not be renewed');
    }
  }
}

/** What `work` comes to; one that hangs is left alone. @throws StoppedError when `signal` aborts before. */
async function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw new StoppedError();
  const settled = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const stop = () => reject(new StoppedError());
    signal.addEventListener('abort', stop, { once: true, signal: settled.signal });
  });
  return await Promise.race([work(), aborted]).finally(() => settled.abort());
}
