import { setImmediate as turn } from 'node:timers/promises';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '../shared/clock.ts';
import { createRegistry } from '../shared/metrics.ts';
import { LIVENESS_MS, Progress } from '../shared/progress.ts';
import { VirtualClock } from '../testkit/kinesis-double/virtual-clock.ts';
import { createConsoleMetrics } from './metrics.ts';
import { Poller } from './poller.ts';

const READINGS = ['anomalies', 'dead-letters', 'leases', 'shards', 'stream-scaler'];
let poller: Poller;

afterEach(() => poller.stop());

/** @param answer what AWS and the API server do with a call. @param lost sleeps whose timer the process has lost. */
function looking(answer: () => Promise<never>, lost: (ms: number) => boolean = () => false) {
  const clock = new VirtualClock();
  const losing: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) =>
      lost(ms)
        ? new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
        : clock.sleep(ms, signal),
  };
  const progress = new Progress(clock);
  let told = 0;
  poller = new Poller(
    {
      kinesis: { send: answer } as unknown as KinesisClient,
      dynamodb: { send: answer } as unknown as DynamoDBClient,
      stream: 'stream',
      region: 'us-east-1',
      tables: { records: 'r', leases: 'l', deadLetters: 'd' },
      producerMetricsUrls: [],
      readScaler: answer,
      progress,
      clock: losing,
      random: () => 0.5,
      metrics: createConsoleMetrics(createRegistry('test')),
    },
    { state: () => told++, anomalies() {}, deadLetters() {} },
  );
  const leave = poller.look();
  /** @returns the loops that ever counted as stuck. */
  const pass = async (ms: number): Promise<string[]> => {
    const stuck = new Set<string>();
    for (const end = clock.monotonic() + ms; clock.monotonic() < end; clock.advance(500)) {
      for (let i = 0; i < 3; i++) await turn();
      for (const loop of Object.keys(progress.stalled(LIVENESS_MS))) stuck.add(loop);
    }
    return [...stuck].sort();
  };
  const unread = () =>
    poller
      .state()
      .problems.map(({ reading }) => reading)
      .sort();
  return { pass, leave, unread, told: () => told };
}

const down = () => Promise.reject(new Error('connection refused'));
const mute = () => new Promise<never>(() => {});

describe('liveness of the console', () => {
  it.each([
    ['are down', down],
    ['never answer, and whose clients have no time-out', mute],
  ])('does not end for tables, a stream and an API server that %s', async (_, answer) => {
    const { pass, unread, told } = looking(answer);
    expect(await pass(10 * 60_000)).toEqual([]);
    expect(unread()).toEqual(READINGS);
    expect(told()).toBeGreaterThan(500);
  });

  it('goes on with what did not answer once it does', async () => {
    let answer: () => Promise<never> = mute;
    const { pass, unread } = looking(() => answer());
    await pass(2 * 60_000);
    answer = () => Promise.resolve({} as never);
    await pass(2 * 60_000);
    // An empty answer is no StreamScaler, but a table it may be.
    for (const reading of ['leases', 'anomalies', 'dead-letters']) expect(unread()).not.toContain(reading);
  });

  it.each([
    // Pages are told each second, and metrics read; shards each 30 s.
    ['what tells the pages', ['reading metrics', 'telling'], (ms: number) => ms === 1_000],
    ['one that reads', ['reading shards'], (ms: number) => ms > 28_000 && ms < 32_000],
  ])('ends for %s that is stuck, until nobody looks any more', async (_, loops, lost) => {
    let stuck = false;
    const { pass, leave } = looking(down, (ms) => stuck && lost(ms));
    await pass(10_000);
    stuck = true;
    expect(await pass(5 * 60_000)).toEqual(loops);
    leave();
    await pass(10_000);
    expect(await pass(1_000)).toEqual([]);
  });
});
