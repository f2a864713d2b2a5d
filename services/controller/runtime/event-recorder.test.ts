import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/log.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { FakeApiServer } from '../../testkit/kube/fake-api-server.ts';
import { waitFor } from '../../testkit/wait-for.ts';
import { KubeClient } from './api/client.ts';
import { Transport } from './api/transport.ts';
import { EventRecorder } from './event-recorder.ts';
import { createRuntimeMetrics, type RuntimeMetrics } from './metrics.ts';

const COLLECTION = 'api/v1/events';
const thing = (name: string) => ({
  apiVersion: 'test.dev/v1',
  kind: 'Thing',
  metadata: { name, namespace: 'a', uid: `uid-${name}`, resourceVersion: '7' },
});

let server: FakeApiServer;
let transport: Transport;
let recorder: EventRecorder;
let metrics: RuntimeMetrics;

beforeEach(async () => {
  server = await FakeApiServer.start();
  transport = new Transport(server.kubeConfig(), systemClock, 'test');
  metrics = createRuntimeMetrics(createRegistry('test'));
  recorder = new EventRecorder({
    client: new KubeClient(transport),
    component: 'weir-test',
    clock: systemClock,
    log: createLogger('test', 'silent'),
    metrics,
  });
});
afterEach(async () => {
  await recorder.stop(100);
  transport.close();
  await server.stop();
});

const outcomes = async () =>
  Object.fromEntries((await metrics.events.get()).values.map((v) => [v.labels.outcome, v.value]));
const events = () => server.all(COLLECTION);

describe('the event recorder', () => {
  it('tries an Event again as late as it is told, in its order, and not when it is refused for good', async () => {
    const at: number[] = [];
    server.fault = () => {
      at.push(performance.now());
      return at.length === 1 ? { status: 429, reason: 'TooManyRequests', retryAfterSeconds: 1 } : undefined;
    };
    recorder.record(thing('x'), 'Normal', 'First', 'one');
    recorder.record(thing('x'), 'Normal', 'Second', 'two');
    await waitFor(() => events().length === 2);
    expect(at).toHaveLength(3);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(950);
    expect(events().map((event) => event.reason)).toEqual(['First', 'Second']);
    server.fault = () => ({ status: 403, reason: 'Forbidden' });
    recorder.record(thing('x'), 'Normal', 'Third', 'three');
    await waitFor(async () => (await outcomes()).failed === 1);
  });

  it('writes an Event as kubectl describe wants it', async () => {
    recorder.record(thing('x'), 'Warning', 'Failed', 'It failed.');
    const [event] = await waitFor(() => events().length > 0 && events());
    expect(event).toMatchObject({
      involvedObject: { apiVersion: 'test.dev/v1', kind: 'Thing', name: 'x', namespace: 'a', uid: 'uid-x' },
      type: 'Warning',
      reason: 'Failed',
      message: 'It failed.',
      source: { component: 'weir-test' },
      count: 1,
    });
    expect(event?.metadata.name).toMatch(/^x\.[0-9a-z]+$/);
  });

  it('counts up what happens again, and tells anew what the server forgot', async () => {
    for (let i = 0; i < 3; i++) recorder.record(thing('x'), 'Normal', 'Scaled', 'To 3.');
    recorder.record(thing('x'), 'Normal', 'Scaled', 'To 4.');
    await waitFor(async () => (await outcomes()).created === 2);
    expect(events().map((e) => e.count)).toEqual([3, 1]);
    for (const { metadata } of events()) server.remove(COLLECTION, 'a', metadata.name);
    recorder.record(thing('x'), 'Normal', 'Scaled', 'To 3.');
    await waitFor(() => events().length === 1);
    expect(events()[0]?.count).toBe(1);
  });

  it('cuts short an object that has too much to tell, and no other', async () => {
    for (let i = 0; i < 60; i++) recorder.record(thing('loud'), 'Normal', 'Said', `Word ${i}.`);
    recorder.record(thing('quiet'), 'Normal', 'Said', 'One word.');
    await waitFor(async () => (await outcomes()).created === 26);
    expect(await outcomes()).toMatchObject({ limited: 35 });
  });

  it('waits for nobody: what can not be sent is dropped', async () => {
    server.fault = ({ method }) => (method === 'POST' ? { status: 403, reason: 'Forbidden' } : undefined);
    recorder.record(thing('x'), 'Normal', 'Scaled', 'To 3.');
    await waitFor(async () => (await outcomes()).failed === 1);
    server.fault = () => 'hang';
    for (let i = 0; i < 1_100; i++) recorder.record(thing(`t${i}`), 'Normal', 'Scaled', 'To 3.');
    await waitFor(async () => ((await outcomes()).dropped ?? 0) >= 90);
    const startedAt = performance.now();
    await recorder.stop(100);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
