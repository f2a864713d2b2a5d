import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import { FakeApiServer } from '../../testkit/kube/fake-api-server.ts';
import { KubeClient, type KubeObject, type Resource } from './api/client.ts';
import { Transport } from './api/transport.ts';
import { type Condition, setCondition } from './conditions.ts';
import { StatusWriter } from './status.ts';

interface Thing extends KubeObject {
  status?: { level?: number | undefined; conditions?: Condition[] };
}

const THINGS: Resource = { group: 'test.dev', version: 'v1', plural: 'things', namespaced: true };

describe('conditions', () => {
  const ready = { type: 'Ready', status: 'True', reason: 'Fine', message: 'All is well.' } as const;

  it('keep their time while their status stays, whatever else changes', () => {
    const first = setCondition([], ready, 1_000_000);
    const again = setCondition(
      first,
      { ...ready, reason: 'Better', message: 'Still.', observedGeneration: 2 },
      9_000_000,
    );
    expect(again).toEqual([
      {
        ...ready,
        reason: 'Better',
        message: 'Still.',
        observedGeneration: 2,
        lastTransitionTime: '1970-01-01T00:16:40Z',
      },
    ]);
    const [turned] = setCondition(again, { ...ready, status: 'False' }, 9_000_000);
    expect(turned?.lastTransitionTime).toBe('1970-01-01T02:30:00Z');
  });

  it('keep their places', () => {
    let all = setCondition([], ready, 0);
    all = setCondition(all, { ...ready, type: 'Able' }, 0);
    all = setCondition(all, { ...ready, status: 'Unknown' }, 0);
    expect(all.map(({ type, status }) => [type, status])).toEqual([
      ['Ready', 'Unknown'],
      ['Able', 'True'],
    ]);
  });
});

describe('the status writer', () => {
  let server: FakeApiServer;
  let transport: Transport;
  let writer: StatusWriter<Thing>;

  beforeEach(async () => {
    server = await FakeApiServer.start();
    transport = new Transport(server.kubeConfig(), systemClock, 'test');
    writer = new StatusWriter<Thing>(new KubeClient(transport), THINGS, 'weir-test');
  });
  afterEach(async () => {
    transport.close();
    await server.stop();
  });

  const put = () =>
    server.put('apis/test.dev/v1/things', {
      kind: 'Thing',
      metadata: { name: 'x', namespace: 'a' },
    }) as unknown as Thing;

  it('applies to the status alone, held to the version that was read', async () => {
    const written = await writer.write(put(), { level: 3 });
    expect(written.status).toEqual({ level: 3 });
    expect(server.requests.at(-1)).toMatchObject({
      method: 'PATCH',
      path: '/apis/test.dev/v1/namespaces/a/things/x/status',
      body: { apiVersion: 'test.dev/v1', kind: 'Thing', metadata: { resourceVersion: expect.any(String) } },
    });
    await expect(
      writer.write({ ...written, metadata: { ...written.metadata, resourceVersion: '1' } }, { level: 4 }),
    ).rejects.toMatchObject({ kind: 'conflict' });
  });

  it('writes nothing when nothing changed', async () => {
    const written = await writer.write(put(), { level: 3 });
    const before = server.requests.length;
    expect(await writer.write(written, { level: 3 })).toBe(written);
    const { level: _, ...status } = { level: 1 };
    await writer.write({ ...written, status }, { level: undefined });
    expect(server.requests.length).toBe(before);
  });
});
