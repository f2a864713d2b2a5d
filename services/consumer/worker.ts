import type { Clock } from '../shared/clock.ts';
import { WeirError } from '../shared/errors.ts';
import type { Lease } from '../shared/kcl/lease-row.ts';
import type { ShardInfo } from '../shared/list-shards.ts';
import type { Logger } from '../shared/log.ts';
import { planTakes } from './leases/balance.ts';
import { HeldLease } from './leases/held-lease.ts';
import { LeaseObserver } from './leases/lease-observer.ts';
import type { LeaseStore } from './leases/lease-store.ts';
import { ShardMeter } from './leases/shard-meter.ts';
import { planLeases, type StartingPosition, startable } from './lineage/lineage.ts';
import type { ConsumerMetrics } from './metrics.ts';
import type { Progress } from './progress.ts';
import { ShardConsumer, type ShardConsumerDeps } from './shard-consumer.ts';

/** How often the stream's shards are listed when nothing ended in the meantime. */
const SHARD_SYNC_INTERVAL_MS = 30_000;
/**
 * Longest pause between two looks at the lease table: how long a lease that a stopping worker gave back, or that a
 * new worker is due, may wait. A look is one consistent scan of a few rows.
 */
const MAX_ASSIGN_INTERVAL_MS = 1_000;

export interface WorkerDeps {
  workerId: string;
  /** `host:port` under which other workers reach this one's admin server. */
  workerAddress: string;
  store: LeaseStore;
  listShards: () => Promise<ShardInfo[]>;
  startingPosition: StartingPosition;
  leaseDurationMs: number;
  shard: Omit<ShardConsumerDeps, 'childrenOf' | 'clock' | 'log' | 'metrics'>;
  progress: Progress;
  clock: Clock;
  log: Logger;
  metrics: ConsumerMetrics;
}

interface Running {
  held: HeldLease;
  done: Promise<void>;
}

/**
 * One member of the consumer group. Two loops: `assign` creates missing leases, gets this worker's share of them and
 * starts a `ShardConsumer` on each; `renew` keeps what is held.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #observer: LeaseObserver;
  readonly #running = new Map<string, Running>();
  readonly #stopping = new AbortController();
  readonly #force = new AbortController();
  readonly #loopsEnd = new AbortController();
  #poke = new AbortController();
  #shardsListedAt = Number.NEGATIVE_INFINITY;
  /** Keys of the leases that were free at the last round. */
  #leftOver: ReadonlySet<string> = new Set();
  /** A shard ended since the last round began, or that round failed: leases may be missing. */
  #leasesMissing = true;
  #synced = false;
  #assigning: Promise<void> = Promise.resolve();
  #renewing: Promise<void> = Promise.resolve();

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#observer = new LeaseObserver(deps.leaseDurationMs);
  }

  /** True once leases and shards were read: the worker can work, even if it owns nothing. */
  get ready(): boolean {
    return this.#synced && !this.#stopping.signal.aborted;
  }

  get shardIds(): string[] {
    return [...this.#running.keys()];
  }

  start(): void {
    this.#assigning = this.#assignLoop();
    this.#renewing = this.#renewLoop();
  }

  /**
   * Finishes the slices in hand, checkpoints, gives all leases back.
   *
   * @param graceMs after which work in hand is left.
   * @throws WeirError `stop-forced` naming the shards whose work was left.
   */
  async stop(graceMs: number): Promise<void> {
    const { clock } = this.#deps;
    this.#stopping.abort();
    this.#poke.abort();
    const settled = new AbortController();
    const forced = clock.sleep(graceMs, settled.signal).then(() => {
      if (settled.signal.aborted) return [];
      this.#force.abort();
      return this.shardIds;
    });
    await this.#assigning; // first: a round under way may still take a lease, which is then given back below
    await Promise.all(Array.from(this.#running.values(), ({ done }) => done));
    settled.abort();
    this.#loopsEnd.abort();
    await this.#renewing;
    const left = await forced;
    if (left.length > 0) throw new WeirError('stop-forced', `work was left on ${left.join(', ')}`);
  }

  async #assignLoop(): Promise<void> {
    const { clock, leaseDurationMs, log, progress } = this.#deps;
    while (!this.#stopping.signal.aborted) {
      this.#poke = new AbortController();
      progress.tick('assign');
      try {
        await this.#assign();
        this.#synced = true;
      } catch (error) {
        this.#leasesMissing = true;
        log.warn({ err: error }, 'leases could not be assigned; trying again');
      }
      await clock.sleep(Math.min(leaseDurationMs / 3, MAX_ASSIGN_INTERVAL_MS), this.#poke.signal);
    }
    progress.forget('assign');
  }

  async #assign(): Promise<void> {
    const { store, clock, workerId, shard } = this.#deps;
    const { random } = shard;
    const now = clock.monotonic();
    const listShards = this.#leasesMissing || now - this.#shardsListedAt >= SHARD_SYNC_INTERVAL_MS;
    // Before the leases are read: a shard that ends from here on may not be among them as ended.
    this.#leasesMissing = false;
    const leases = await store.list();
    if (listShards) {
      leases.push(...(await this.#createMissing(leases)));
      this.#shardsListedAt = now;
    }
    const unheld = new Set(this.#observer.observe(leases, now));
    const ready = startable(leases);
    const free = new Set(ready.filter((lease) => unheld.has(lease)));
    const group = { leases: ready, free, leftOver: this.#leftOver, worker: workerId };
    for (const lease of planTakes(group, random)) {
      if (this.#stopping.signal.aborted) return;
      if (this.#running.has(lease.leaseKey)) continue; // our own, still winding down after it was lost
      const takenAt = clock.monotonic();
      const taken = await store.take(lease, workerId);
      if (taken) this.#run(taken, takenAt);
    }
    this.#leftOver = new Set(Array.from(free, (lease) => lease.leaseKey));
  }

  async #createMissing(leases: readonly Lease[]): Promise<Lease[]> {
    const { store, clock, listShards, startingPosition, log } = this.#deps;
    const missing = planLeases(await listShards(), leases, startingPosition, clock.now());
    const created: Lease[] = [];
    for (const lease of missing) if (await store.create(lease)) created.push(lease);
    if (created.length > 0) log.info({ shards: created.map((lease) => lease.leaseKey) }, 'leases created');
    return created;
  }

  #run(lease: Lease, takenAt: number): void {
    const { store, clock, leaseDurationMs, log, metrics, progress, shard, listShards } = this.#deps;
    const shardId = lease.leaseKey;
    const meter = new ShardMeter(clock, leaseDurationMs, this.#deps.workerAddress);
    const held = new HeldLease(lease, store, clock, leaseDurationMs, takenAt, meter);
    const loop = `shard ${shardId}`;
    const consumer = new ShardConsumer(
      {
        ...shard,
        clock,
        log,
        metrics,
        childrenOf: async (id) =>
          (await listShards()).filter((s) => s.parentShardIds.includes(id)).map((s) => s.shardId),
      },
      held,
      meter,
      () => progress.tick(loop),
    );
    metrics.leaseEvents.inc({ event: 'taken' });
    log.info({ shardId, checkpoint: lease.checkpoint }, 'lease taken');
    const done = consumer.run(this.#stopping.signal, this.#force.signal).then(
      (outcome) => {
        metrics.leaseEvents.inc({ event: outcome === 'ended' ? 'shard-end' : outcome });
        log.info({ shardId, outcome, checkpoint: held.lease.checkpoint }, 'work on the shard ended');
        if (outcome === 'ended') this.#syncNow();
      },
      (error: unknown) => log.error({ err: error, shardId }, 'work on the shard ended by an error'),
    );
    this.#running.set(shardId, { held, done: done.finally(() => this.#forget(shardId, loop)) });
    metrics.leasesHeld.set(this.#running.size);
  }

  #forget(shardId: string, loop: string): void {
    this.#running.delete(shardId);
    this.#deps.progress.forget(loop);
    this.#deps.metrics.leasesHeld.set(this.#running.size);
  }

  /** A shard ended: its children are to be leased now, not at the next round. */
  #syncNow(): void {
    this.#leasesMissing = true;
    this.#poke.abort();
  }

  async #renewLoop(): Promise<void> {
    const { clock, leaseDurationMs, progress } = this.#deps;
    while (!this.#loopsEnd.signal.aborted) {
      progress.tick('renew');
      // Not awaited: a renewal that hangs must not keep the other leases, or this one's expiry, from being seen.
      for (const { held } of this.#running.values()) void this.#keep(held);
      await clock.sleep(leaseDurationMs / 10, this.#loopsEnd.signal);
    }
    progress.forget('renew');
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
