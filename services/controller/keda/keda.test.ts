import { once } from 'node:events';
import { createServer } from 'node:http';
import { type Client, credentials, ServerCredentials, status } from '@grpc/grpc-js';
import express from 'express';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../shared/log.ts';
import { close, listen } from '../../shared/server.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { decide } from '../scaling/decide.ts';
import type { Decision } from '../scaling/decision.ts';
import { emptyMemory } from '../scaling/memory.ts';
import { DecisionBoard } from './decision-board.ts';
import { type ExternalScaler, startExternalScaler } from './external-scaler.ts';
import { decisionRoutes } from './metrics-api.ts';
import { ExternalScalerClient } from './protocol.ts';

const log = createLogger('test', 'fatal');
const REF = { namespace: 'shop', name: 'orders' };
const OBJECT = {
  ...REF,
  name: 'orders-keda',
  scalerMetadata: { scalerAddress: 'x:1', streamScaler: 'orders' },
};

let clock: VirtualClock;
let board: DecisionBoard;
let scaler: ExternalScaler;
let client: Client & Record<string, (...args: unknown[]) => unknown>;

beforeEach(async () => {
  clock = new VirtualClock();
  board = new DecisionBoard(clock);
  scaler = await startExternalScaler(board, '127.0.0.1:0', ServerCredentials.createInsecure(), log);
  client = new ExternalScalerClient(`127.0.0.1:${scaler.port}`, credentials.createInsecure()) as never;
});
afterEach(async () => {
  client.close();
  await scaler.stop();
});

/** A decision of the controller's own code, for so many replicas that idle or work. */
function decisionFor(replicas: number, lagSeconds: number): Decision {
  const { decision } = decide({
    observation: {
      at: clock.now(),
      target: { replicas, ready: replicas },
      stream: {
        status: 'ACTIVE',
        provisioned: true,
        throttledShare: undefined,
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
    paused: false,
    memory: emptyMemory(),
  });
  return decision;
}

function call(method: string, request: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    client[method]?.(request, (error: unknown, answer: unknown) => (error ? reject(error) : resolve(answer)));
  });
}

describe('the external scaler', () => {
  it('gives KEDA the replicas of the decision', async () => {
    board.publish(REF, decisionFor(0, 90));
    expect(await call('IsActive', OBJECT)).toEqual({ result: true });
    expect(await call('GetMetricSpec', OBJECT)).toEqual({
      metricSpecs: [{ metricName: 'weir-desired-replicas', targetSize: 1, targetSizeFloat: 1 }],
    });
    // KEDA prefixes names of metrics and asks by them.
    const request = { scaledObjectRef: OBJECT, metricName: 's0-weir-desired-replicas' };
    expect(await call('GetMetrics', request)).toEqual({
      metricValues: [{ metricName: 's0-weir-desired-replicas', metricValue: 1, metricValueFloat: 1 }],
    });
    board.publish(REF, decisionFor(0, 0));
    expect(await call('IsActive', OBJECT)).toEqual({ result: false });
  });

  it('fails rather than to say zero when nothing is known, or it is too old', async () => {
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.NOT_FOUND });
    board.publish(REF, decisionFor(0, 90));
    clock.advance(61_000);
    await expect(call('GetMetrics', { scaledObjectRef: OBJECT })).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: 'the last decision for StreamScaler shop/orders is too old',
    });
    board.clear();
    await expect(call('IsActive', OBJECT)).rejects.toMatchObject({ code: status.NOT_FOUND });
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
    const publishing = setInterval(() => board.publish(REF, decisionFor(0, 90)), 5);
    await first;
    clearInterval(publishing);
    const second = next();
    board.publish(REF, decisionFor(0, 120));
    board.publish(REF, decisionFor(0, 0));
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
      board.publish(REF, decisionFor(0, 90));
      const found = await get('/decisions/shop/orders');
      expect(await found.json()).toMatchObject({
        namespace: 'shop',
        time: '2026-01-01T00:00:00.000Z',
        replicas: { current: 0, desired: 1, reason: 'WokeUp' },
        lag: { maxSeconds: 90 },
      });
      clock.advance(61_000);
      expect((await get('/decisions/shop/orders')).status).toBe(503);
    } finally {
      await close(server);
    }
  });
});
