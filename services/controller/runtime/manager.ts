import { liveReport, type Progress } from '../../shared/progress.ts';
import type { Shutdown } from '../../shared/shutdown.ts';
import type { KubeObject } from './api/client.ts';
import type { Transport } from './api/transport.ts';
import type { Reflector } from './cache/reflector.ts';
import type { Controller } from './controller.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { LeaderElection } from './leader-election.ts';

export interface ManagerOptions {
  transport: Transport;
  reflectors: readonly Reflector<KubeObject>[];
  controllers: readonly Controller[];
  election: LeaderElection;
  recorder: EventRecorder;
  /** Where the caches, the election and the reconciles tick. */
  progress: Progress;
  /** A loop that is overdue by more than this is stuck, in ms. */
  livenessMs: number;
  /** Time for running reconciles at a stop, in ms. */
  drainMs: number;
}

const EVENTS_GRACE_MS = 1_000;

/**
 * Runs controllers: caches fill in every replica, so that a new leader starts warm; reconciles run in the leader only.
 */
export class Manager {
  readonly #options: ManagerOptions;
  readonly #stopping = new AbortController();

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  /**
   * Starts the caches and, once they are filled, runs for the lease.
   *
   * @param onLost the lease was lost: the process is to end, since whoever holds it now may act already.
   */
  start(onLost: () => void): void {
    const { reflectors, controllers, election } = this.#options;
    for (const reflector of reflectors) reflector.start();
    void this.#filled().then((filled) => {
      if (!filled || this.#stopping.signal.aborted) return;
      election.start(
        () => {
          if (this.#stopping.signal.aborted) return;
          for (const controller of controllers) controller.start();
        },
        () => {
          for (const controller of controllers) controller.abort();
          onLost();
        },
      );
    });
  }

  /** The stop, in its order: intake, drain, release, close. */
  addTo(shutdown: Shutdown): void {
    const { reflectors, controllers, election, recorder, transport, drainMs } = this.#options;
    shutdown.add('caches', async () => {
      this.#stopping.abort();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    });
    shutdown.add('reconciles', async () => {
      await Promise.all(controllers.map((controller) => controller.stop(drainMs)));
    });
    shutdown.add('events', () => recorder.stop(EVENTS_GRACE_MS));
    shutdown.add('leader lease', () => election.stop());
    shutdown.add('API server connections', async () => transport.close());
  }

  /**
   * Is the process making progress? No when a loop is stuck: a cache's, the election's, a reconcile that does not even end
   * when told to, or, in the leader, workers that take nothing of what is due. A standby's caches and election count alike.
   *
   * How long the API server has been silent is told and not judged: the caches end a silent watch and try again, and while it is
   * away that is all there is to do. A restart would lose what they know.
   */
  live(): { ok: boolean; stalled: Record<string, number>; cache_silent_ms: number } {
    const { reflectors, controllers, progress, livenessMs } = this.#options;
    const stalled = progress.stalled(livenessMs);
    for (const { name, overdueMs } of controllers) {
      if (overdueMs > livenessMs) stalled[`queue ${name}`] = Math.round(overdueMs);
    }
    return {
      ...liveReport(stalled),
      cache_silent_ms: Math.round(Math.max(0, ...reflectors.map((r) => r.silentMs))),
    };
  }

  /** Are the caches filled? A standby is ready too: it waits for its turn. */
  ready(): { ok: boolean; [detail: string]: unknown } {
    const { reflectors, election } = this.#options;
    return {
      ok: reflectors.every((r) => r.hasSynced) && !this.#stopping.signal.aborted,
      leading: election.leading,
    };
  }

  async #filled(): Promise<boolean> {
    const { reflectors } = this.#options;
    const all = await Promise.all(reflectors.map((r) => r.synced(this.#stopping.signal)));
    return all.every(Boolean);
  }
}
