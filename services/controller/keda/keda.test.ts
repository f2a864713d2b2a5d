import { once } from 'node:events';
import { createServer } from 'node:http';
import { type Client, credentials, ServerCredentials, status } from '@grpc/grpc-js';
import express from 'express';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { streamScalerSpec } from '../../../cdk8s/crd/spec.ts';
import { API_VERSION, KIND, type StreamScaler } from '../../../cdk8s/crd/stream-scaler.ts';
import { createLogger } from '../../shared/log.ts';
import { close, listen } from '../../shared/server.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { Store } from '../runtime/cache/store.ts';
import { planFor } from '../streamscaler/plan.ts';
import { DecisionBoard } from './decision-board.ts';
import { type ExternalScaler, startExternalScaler } from './external-scaler.ts';
import { decisionRoutes } from './metrics-api.ts';
import { ExternalScalerClient } from './protocol.ts';

const log = createLogger('test', 'fatal');
const REF = { namespace: 'shop', name: 'orders' };
const SCALER: StreamScaler = {
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { ...REF, uid: 'u', resourceVersion: '1', generation: 1 },
  spec: streamScalerSpec.parse({
    stream: { name: 'orders' },
    consumer: { leaseTable: 'orders' },
    scaleTargetRef: { name: 'orders' },
    replicas: { min: 0, max: 10 },
  }),
};
const OBJECT = {
  ...REF,
  name: 'orders-keda',
  scalerMetadata: { scalerAddress: 'x:1', streamScaler: 'orders' },
};

let clock: VirtualClock;
let store: Store<StreamScaler>;
let board: DecisionBoard;
let scaler: ExternalScaler;
let client: Client & Record<string, (...args: unknown[]) => unknown>;

beforeEach(async () => {
  clock = new VirtualClock();
  store = new Store<StreamScaler>((error) => {
    throw error;
  });
  board = new DecisionBoard(store, clock, 15_000);
  scaler = await startExternalScaler(board, '127.0.0.1:0', ServerCredentials.createInsecure(), log);
  client = new ExternalScalerClient(`127.0.0.1:${scaler.port}`, credentials.createInsecure()) as never;
});
afterEach(async () => {
  client.close();
  await scaler.stop();
});

/** The cache sees what a leader wrote: a decision of the controller's own code, for so many replicas that idle or work. */
function decided(replicas: number, lagSeconds: number | undefined, at?: number, paused = false): void {
  clock.advance(1); // no two decisions have the same time
  const time = at ?? clock.now();
  const { status, conditions } = planFor({
    observation: {
      at: time,
      target: { replicas, ready: replicas },
      stream: {
        status: 'ACTIVE',
        provisioned: true,
        throttled: undefined,
        shards: [
          {
            shardId: 'shardId-000000000000',
            open: true,
            startable: true,
            hashKeyRange: { starting: '0', ending: (2n ** 128n - 1n).toString() },
            lagSeconds,
            owner: undefined,
            arrival: { records: 0, bytes: 0 },
            processed: undefined,
            busyShare: undefined,
          },
        ],
      },
      problems: [],
    },
    spec: {
      replicas: { min: 0, max: 10 },
      objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
      mode: 'Recommend',
    },
    paused,
    status: undefined,
  });
  const lastTransitionTime = new Date(time).toISOString();
  const told = conditions.map((condition) => ({ ...condition, lastTransitionTime }));
  store.upsert({ ...SCALER, status: { ...status, conditions: told } });
}

function call(method: string, request: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    client[method]?.(request, (error: unknown, answer: unknown) => (error ? reject(error) : resolve(answer)));
  });
}

describe('the external scaler', () => {
  it('gives KEDA the replicas of the decision', async () => {
    decided(0, 90);
    expect(await call('IsActive', OBJECT)).toEqual({ result: true });
    expect(await call('GetMetricSpec', OBJECT)).toEqual({
      metricSpecs: [{ metricName: 'weir-desired-replicas', targetSize: 1, targetSizeFloat: 1 }],
    });
    // KEDA prefixes names of metrics and asks by them.
    const request = { scaledObjectRef: OBJECT, metricName: 's0-weir-desired-replicas' };
    expect(await call('GetMetrics', request)).toEqual({
      metricValues: [{ metricName: 's0-weir-desired-replicas', metricValue: 1, metricValueFloat: 1 }],
    });
    decided(0, 0);
    expect(await call('IsActive', OBJECT)).toEqual({ result: false });
  });

  it('gives KEDA what there is while the StreamScaler is paused', async () => {
    decided(0, 90, undefined, true);
    expect(await call('IsActive', OBJECT)).toEqual({ result: false });
    decided(3, 0, undefined, true);
    expect(await call('GetMetrics', { scaledObjectRef: OBJECT, metricName: '' })).toMatchObject({
      metricValues: [{ metricValueFloat: 3 }],
    });
  });

  it('fails rather than to say zero when nothing is known, or it is too old', async () => {
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.NOT_FOUND });
    store.upsert(SCALER);
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    decided(0, undefined);
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining("the lag of 1 of 1 shards isn't known"),
    });
    // What runs is left as it is.
    decided(3, undefined);
    expect(await call('GetMetrics', { scaledObjectRef: OBJECT })).toMatchObject({
      metricValues: [{ metricValue: 3 }],
    });
    decided(0, 90);
    clock.advance(61_000);
    await expect(call('GetMetrics', { scaledObjectRef: OBJECT })).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: 'the last decision for StreamScaler shop/orders is too old',
    });
    store.delete(SCALER);
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it('goes by its own clock, but for the first decision that it sees', async () => {
    decided(0, 90, clock.now() - 61_000);
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    // A leader whose clock is late.
    clock.advance(14_999);
    decided(0, 90, clock.now() - 60_999);
    expect(await call('IsActive', OBJECT)).toEqual({ result: true });
    clock.advance(59_000);
    // A write of something else does not renew a decision.
    store.upsert({ ...(store.get('shop/orders') as StreamScaler) });
    clock.advance(2_000);
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });

  it('does not take a decision for a new one that came late: the watch was cut, and its leader is gone', async () => {
    decided(0, 90);
    const last = clock.now();
    clock.advance(600_000);
    for (const later of [15_000, 30_000, 45_000]) {
      decided(0, 0, last + later);
      await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    }
    clock.advance(20_000);
    decided(0, 90);
    expect(await call('IsActive', OBJECT)).toEqual({ result: true });
    // The next leader's clock is an hour late.
    clock.advance(30_000);
    decided(0, 90, clock.now() - 3_600_000);
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    clock.advance(14_999);
    decided(0, 90, clock.now() - 3_599_999);
    expect(await call('IsActive', OBJECT)).toEqual({ result: true });
  });

  it('lets a decision hold until the next ones are due', () => {
    const slow = new DecisionBoard(store, clock, 60_000);
    decided(0, 90);
    clock.advance(239_000);
    expect(slow.read(REF)).toHaveProperty('decision');
    clock.advance(2_000);
    expect(slow.read(REF)).toEqual({ missing: 'stale' });
  });

  it('refuses what names no StreamScaler', async () => {
    for (const request of [
      {},
      { ...OBJECT, scalerMetadata: { streamScaler: '../secrets' } },
      { ...OBJECT, namespace: 'A B' },
    ])
      await expect(call('IsActive', request)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await expect(call('GetMetrics', { metricName: 'x' })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    await expect(call('IsActive', { ...OBJECT, name: 'x'.repeat(100_000) })).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
  });

  it('refuses a stream that names no StreamScaler', async () => {
    const stream = client.StreamIsActive?.({ ...OBJECT, namespace: '' }) as NodeJS.ReadableStream;
    stream.resume();
    const [error] = await once(stream, 'error', { signal: AbortSignal.timeout(5_000) });
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it('pushes each change, and only those', async () => {
    const stream = client.StreamIsActive?.(OBJECT) as NodeJS.ReadableStream & { cancel(): void };
    const told: boolean[] = [];
    stream.on('error', () => {});
    const next = async () => {
      const [{ result }] = await once(stream, 'data');
      told.push(result);
    };
    // The stream is there once a first decision comes back over it.
    const first = next();
    const publishing = setInterval(() => decided(0, 90), 5);
    await first;
    clearInterval(publishing);
    const second = next();
    decided(0, 120);
    decided(0, 0);
    await second;
    expect(told).toEqual([true, false]);
    stream.cancel();
    const closing = once(stream, 'close').catch(() => {});
    await Promise.race([closing, once(stream, 'error').catch(() => {})]);
  });
});

describe('the metrics endpoint', () => {
  it('gives the decision as JSON', async () => {
    const server = createServer(express().use(decisionRoutes(board)));
    const port = await listen(server, 0, '127.0.0.1');
    const get = (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
    try {
      expect((await get('/decisions/shop/orders')).status).toBe(404);
      decided(0, 90);
      const found = await get('/decisions/shop/orders');
      expect(await found.json()).toMatchObject({
        namespace: 'shop',
        time: '2026-01-01T00:00:00.001Z',
        replicas: { current: 0, desired: 1 },
        lag: { maxSeconds: 90 },
      });
      clock.advance(61_000);
      expect((await get('/decisions/shop/orders')).status).toBe(503);
    } finally {
      await close(server);
    }
  });
});
