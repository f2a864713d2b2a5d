import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogger } from '../../shared/log.ts';
import { type CloudWatchDouble, startCloudWatchDouble } from '../../testkit/cloudwatch-double.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { waitFor } from '../../testkit/wait-for.ts';
import { createCloudWatchClient } from './aws-pool.ts';
import { WriteThrottles } from './write-throttles.ts';

const MINUTE = 60_000;

let double: CloudWatchDouble;
let clock: VirtualClock;
let throttles: WriteThrottles;
let logged: string[];

beforeEach(async () => {
  const lines: string[] = [];
  logged = lines;
  const log = createLogger('test', 'warn', { write: (line) => void lines.push(line) });
  double = await startCloudWatchDouble();
  clock = new VirtualClock();
  const cloudwatch = createCloudWatchClient({
    region: 'eu-west-1',
    cloudwatchEndpoint: double.endpoint,
    credentials: EMULATOR_CREDENTIALS,
    maxAttempts: 1,
  });
  throttles = new WriteThrottles({ cloudwatch, stream: 's', clock, log });
});
afterEach(() => double.stop());

function minute(minutesAgo: number, accepted: number, refused?: number): number {
  const from = Math.floor(clock.now() / MINUTE) * MINUTE - minutesAgo * MINUTE;
  double.put('s', 'IncomingRecords', from, accepted);
  double.put('another', 'IncomingRecords', from + MINUTE, 7);
  if (refused !== undefined) double.put('s', 'WriteProvisionedThroughputExceeded', from, refused);
  return from;
}

it('is the share of the last minute that CloudWatch knows, asked for once a minute', async () => {
  minute(3, 50, 50);
  const from = minute(2, 900, 300);
  expect(throttles.latest()).toBeUndefined();
  expect(await waitFor(() => throttles.latest())).toEqual({ from, share: 0.25 });
  clock.advance(30_000);
  throttles.latest();
  expect(double.calls).toBe(1);
  const next = minute(1, 100);
  clock.advance(30_000);
  expect(await waitFor(() => throttles.latest()?.from === next && throttles.latest())).toMatchObject({
    share: 0,
  });
  expect(double.calls).toBe(2);
});

it('waits for what was taken in the same minute: alone, refusals would pass for all that was sent', async () => {
  const from = minute(2, 900, 300);
  double.put('s', 'WriteProvisionedThroughputExceeded', from + MINUTE, 300);
  throttles.latest();
  expect(await waitFor(() => throttles.latest())).toEqual({ from, share: 0.25 });
});

it('is not known when nothing was written, or nothing is told for long', async () => {
  minute(2, 0, 0);
  throttles.latest();
  await waitFor(() => double.calls === 1);
  expect(throttles.latest()).toBeUndefined();
  minute(1, 1, 1);
  clock.advance(MINUTE);
  await waitFor(() => throttles.latest());
  for (let i = 0; i < 5; i++) {
    clock.advance(MINUTE);
    throttles.latest();
  }
  expect(throttles.latest()).toBeUndefined();
});

it('goes on without it, tells so once, and asks seldom when it may not', async () => {
  double.fault = { status: 400, type: 'AccessDeniedException' };
  throttles.latest();
  await waitFor(() => logged.length === 1);
  expect(logged[0]).toContain('permission cloudwatch:GetMetricData on stream s is missing');
  for (let i = 0; i < 9; i++) {
    clock.advance(MINUTE);
    expect(throttles.latest()).toBeUndefined();
  }
  expect(double.calls).toBe(1);
  double.fault = { status: 500, type: 'InternalServiceFault' };
  clock.advance(MINUTE);
  throttles.latest();
  await waitFor(() => logged.length === 2);
  double.fault = 'hang';
  clock.advance(MINUTE);
  expect(throttles.latest()).toBeUndefined();
  await waitFor(() => double.calls === 3);
});
