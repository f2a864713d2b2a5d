import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Progress } from '../../shared/progress.ts';
import type { KubeClient, ObjectMeta, Resource } from './api/client.ts';
import { isApiError } from './api/errors.ts';
import type { RuntimeMetrics } from './metrics.ts';

const LEASES: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  namespaced: true,
};

/** As liveness names it. */
const LOOP = 'leader election';

interface LeaseObject {
  metadata: ObjectMeta;
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

export interface LeaderElectionOptions {
  client: KubeClient;
  namespace: string;
  /** Name of the Lease. */
  name: string;
  /** Unique in each process. */
  identity: string;
  /** After this time without a renewal others may take the lease, in ms; whole seconds. Default 15,000. */
  leaseDurationMs?: number;
  /** After this time without a renewal of its own the leader gives up, in ms. Default 10,000. */
  renewDeadlineMs?: number;
  /** Pause between two tries, in ms. Default 2,000. */
  retryMs?: number;
  progress: Progress;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: RuntimeMetrics;
}

/**
 * Leader election by a `Lease`, after client-go's. Other clocks are not trusted: a foreign lease counts as alive until it
 * was seen unchanged for its whole duration on this process's monotonic clock.
 *
 * It keeps two from acting for long, not strictly: a leader that was paused acts until it looks at its watch. What must never
 * happen twice needs a fence of its own (a resourceVersion, a conditional write).
 */
export class LeaderElection {
  readonly #options: Required<LeaderElectionOptions>;
  readonly #stop = new AbortController();
  #held: LeaseObject | undefined;
  /** The foreign lease as last seen, and when it last changed on our clock. */
  #observed: { version: string; since: number } | undefined;
  #leading = false;
  #running: Promise<void> | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000, ...options };
  }

  get leading(): boolean {
    return this.#leading;
  }

  /**
   * Runs for the lease.
   *
   * @param onElected called once, when the lease is had.
   * @param onLost called once, when it is lost after that, but not at a stop.
   */
  start(onElected: () => void, onLost: () => void): void {
    this.#running ??= this.#run(onElected, onLost).finally(() => this.#options.progress.forget(LOOP));
  }

  /** Gives the lease back, so that the next leader need not wait for its end. Call it when nothing acts any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    if (this.#leading) await this.#release();
    this.#setLeading(false);
  }

  async #run(onElected: () => void, onLost: () => void): Promise<void> {
    const { clock, random, retryMs, renewDeadlineMs, log, name, identity } = this.#options;
    const { signal } = this.#stop;
    while ((await this.#tryOnce(retryMs * 2)) !== 'held') {
      // Spread: candidates that started together must not try together.
      await this.#pause(retryMs * (1 + random() * 0.2));
      if (signal.aborted) return;
    }
    this.#setLeading(true);
    if (signal.aborted) return;
    log.info({ lease: name, identity }, 'leading');
    onElected();
    for (let renewedAt = clock.monotonic(); ; ) {
      await this.#pause(retryMs);
      if (signal.aborted) return;
      const startedAt = clock.monotonic();
      const left = renewedAt + renewDeadlineMs - startedAt;
      // At most half of the deadline for one call: a connection that hangs must leave time for another.
      const outcome = left > 0 ? await this.#tryOnce(Math.min(left, renewDeadlineMs / 2)) : 'failed';
      if (outcome === 'held') renewedAt = startedAt;
      else if (outcome === 'foreign' || clock.monotonic() - renewedAt >= renewDeadlineMs) break;
    }
    if (signal.aborted) return;
    this.#setLeading(false);
    log.error({ lease: name, identity }, 'lost the lease');
    onLost();
  }

  async #pause(ms: number): Promise<void> {
    this.#options.progress.tick(LOOP, ms);
    await this.#options.clock.sleep(ms, this.#stop.signal);
  }

  /** One try to take or renew: the lease is ours now, somebody else's, or we could not find out. */
  async #tryOnce(timeoutMs: number): Promise<'held' | 'foreign' | 'failed'> {
    const { client, namespace, name, identity, progress, metrics, log } = this.#options;
    // It reads, then it writes.
    progress.tick(LOOP, 2 * timeoutMs);
    const at = { namespace, name };
    const options = { timeoutMs };
    try {
      // While it is held one call renews it: our version of it is the current one.
      if (this.#held) {
        this.#held = await client.update<LeaseObject>(LEASES, at, this.#renewed(this.#held), options);
        return 'held';
      }
      const found = await this.#find(options);
      if (found === undefined) {
        this.#held = await client.create<LeaseObject>(LEASES, namespace, this.#taken(undefined), options);
      } else if (found.spec?.holderIdentity !== identity && this.#alive(found)) return 'foreign';
      else this.#held = await client.update<LeaseObject>(LEASES, at, this.#taken(found), options);
      return 'held';
    } catch (error) {
      metrics.leaderFailures.inc({ name });
      if (isApiError(error, 'conflict', 'already-exists', 'not-found')) {
        // Somebody else's now, deleted, or a write of ours whose answer was lost: look at it.
        const held = this.#held !== undefined;
        this.#held = undefined;
        return held ? await this.#tryOnce(timeoutMs) : 'failed';
      }
      log.warn({ err: error, lease: name }, 'the lease could not be taken or renewed');
      return 'failed';
    }
  }

  async #find(options: { timeoutMs: number }): Promise<LeaseObject | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get<LeaseObject>(LEASES, { namespace, name }, options);
    } catch (error) {
      if (isApiError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  #alive(lease: LeaseObject): boolean {
    const { clock, leaseDurationMs } = this.#options;
    if (!lease.spec?.holderIdentity) return false;
    const version = lease.metadata.resourceVersion ?? '';
    if (this.#observed?.version !== version) this.#observed = { version, since: clock.monotonic() };
    // The holder's own word on how long it holds: it may run with another configuration than ours.
    const durationMs = lease.spec.leaseDurationSeconds
      ? lease.spec.leaseDurationSeconds * 1_000
      : leaseDurationMs;
    return clock.monotonic() - this.#observed.since < durationMs;
  }

  #taken(found: LeaseObject | undefined): LeaseObject {
    const { namespace, name, identity, leaseDurationMs, clock } = this.#options;
    const now = microTime(clock.now());
    const same = found?.spec?.holderIdentity === identity;
    return {
      metadata: found?.metadata ?? { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.max(1, Math.ceil(leaseDurationMs / 1_000)),
        acquireTime: same ? (found?.spec?.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (found?.spec?.leaseTransitions ?? 0) + (found === undefined || same ? 0 : 1),
      },
    };
  }

  #renewed(lease: LeaseObject): LeaseObject {
    return { ...lease, spec: { ...lease.spec, renewTime: microTime(this.#options.clock.now()) } };
  }

  async #release(): Promise<void> {
    const { client, namespace, name, clock, log, retryMs } = this.#options;
    if (!this.#held) return;
    const now = microTime(clock.now());
    // One second, not zero: the API server refuses a lease without a duration.
    const spec = {
      ...this.#held.spec,
      holderIdentity: '',
      leaseDurationSeconds: 1,
      renewTime: now,
      acquireTime: now,
    };
    try {
      await client.update(LEASES, { namespace, name }, { ...this.#held, spec }, { timeoutMs: retryMs * 2 });
    } catch (error) {
      // It ends by itself.
      log.warn({ err: error, lease: name }, 'the lease could not be given back');
    }
    this.#held = undefined;
  }

  #setLeading(leading: boolean): void {
    this.#leading = leading;
    this.#options.metrics.leader.set({ name: this.#options.name }, leading ? 1 : 0);
  }
}

/** `metav1.MicroTime`. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z');
}
