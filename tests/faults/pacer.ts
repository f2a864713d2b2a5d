import { type DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { systemClock } from '../../services/shared/clock.ts';
import type { ScaledClock } from '../../services/testkit/scaled-clock.ts';

const PROBE_MS = 250;
/** Share of a lease's time that an undisturbed call may take: a run has calls one after another, and its own latencies. */
const TOO_SLOW = 1 / 20;
const QUICK = 1 / 100;

/**
 * Lets a run's clock go only as fast as the machine follows: with many runs at once event loop and emulator are late, and leases
 * would be lost to that and to no fault of the schedule. It asks the emulator for a trifle now and then.
 */
export class Pacer {
  readonly #stopping = new AbortController();
  readonly #probing: Promise<void>;

  constructor(clock: ScaledClock, leaseMs: number, emulator: DynamoDBClient) {
    this.#probing = this.#probe(clock, leaseMs, emulator);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#probing;
  }

  async #probe(clock: ScaledClock, leaseMs: number, emulator: DynamoDBClient): Promise<void> {
    const { signal } = this.#stopping;
    const most = clock.factor;
    while (!signal.aborted) {
      const startedAt = performance.now();
      await systemClock.sleep(PROBE_MS, signal);
      await emulator.send(new ListTablesCommand({ Limit: 1 }));
      const share = ((performance.now() - startedAt - PROBE_MS) * clock.factor) / leaseMs;
      if (share > TOO_SLOW) clock.factor = Math.max(1, clock.factor / 2);
      else if (share < QUICK && clock.factor < most) clock.factor = Math.min(most, clock.factor * 1.5);
    }
  }
}
