import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { STREAM_SCALER_CRD, type StreamScaler } from '../../cdk8s/crd/stream-scaler.ts';
import type { KubeClient } from '../../services/controller/runtime/api/client.ts';
import { findTool } from './assets.ts';
import { Cluster, describeWithCluster } from './cluster.ts';
import { installCrd, SCALERS, scalerObject } from './scalers.ts';

const REFUSED: [string, object, RegExp][] = [
  [
    'min above max replicas',
    { replicas: { min: 5, max: 4 } },
    /spec\.replicas\.min.*min must not be above max/,
  ],
  ['min above max shards', { shards: { min: 5, max: 4 } }, /spec\.shards\.min.*min must not be above max/],
  ['more shards than an account has', { shards: { min: 1, max: 10_001 } }, /shards\.max.*10000/],
  ['no shard', { shards: { min: 0, max: 1 } }, /shards\.min.*greater than or equal to 1/],
  ['negative replicas', { replicas: { min: -1, max: 1 } }, /replicas\.min.*greater than or equal to 0/],
  ['no name and no arn', { stream: {} }, /either stream\.name or stream\.arn/],
  [
    'name and arn',
    { stream: { name: 'a', arn: 'arn:aws:kinesis:eu-west-1:123456789012:stream/a' } },
    /either stream\.name or stream\.arn/,
  ],
  [
    'an arn of another region',
    { stream: { arn: 'arn:aws:kinesis:eu-west-1:123456789012:stream/a', region: 'us-east-1' } },
    /stream\.region is not the region of stream\.arn/,
  ],
  [
    'a queue as the stream',
    { stream: { arn: 'arn:aws:sqs:eu-west-1:123456789012:a' } },
    /stream\.arn.*should match/,
  ],
  [
    'an endpoint that is no URL',
    { stream: { name: 'a', endpoint: 'file:///etc' } },
    /endpoint.*should match/,
  ],
  ['utilization above 1', { objective: { utilization: 1.1 } }, /utilization.*less than or equal to 1/],
  ['utilization of nothing', { objective: { utilization: 0 } }, /utilization.*greater than or equal to 0.1/],
  [
    'no time to catch up',
    { objective: { catchUpSeconds: 1 } },
    /catchUpSeconds.*greater than or equal to 10/,
  ],
  ['an unknown mode', { mode: 'Auto' }, /mode.*supported values: "Recommend", "ReplicasOnly", "Full"/],
  ['mode Full without bounds of shards', { mode: 'Full' }, /mode Full needs the bounds/],
  [
    'fewer shards within the hour',
    { behavior: { reshard: { scaleDownWindowSeconds: 60 } } },
    /scaleDownWindowSeconds/,
  ],
  ['a reserve above the budget', { behavior: { reshard: { reservedCalls: 11 } } }, /reservedCalls/],
  [
    'a policy of an unknown type',
    { behavior: { scaleUp: { policies: [{ type: 'Nodes', value: 1, periodSeconds: 1 }] } } },
    /policies\[0\]\.type/,
  ],
  ['words as a number', { replicas: { max: 'many' } }, /replicas\.max.*must be of type integer/],
];

describeWithCluster('the StreamScaler in a real API server', () => {
  let cluster: Cluster;
  let client: KubeClient;

  beforeAll(async () => {
    cluster = await Cluster.start();
    client = cluster.client();
    await installCrd(client);
  }, 90_000);
  afterAll(() => cluster?.stop());

  it('is accepted, structural, with no warning of the API server', async () => {
    const crd = await client.get<{ status: { conditions: { type: string; status: string }[] } }>(
      {
        group: 'apiextensions.k8s.io',
        version: 'v1',
        plural: 'customresourcedefinitions',
        namespaced: false,
      },
      { name: STREAM_SCALER_CRD.metadata.name },
    );
    const statuses = Object.fromEntries(crd.status.conditions.map((c) => [c.type, c.status]));
    expect(statuses).toMatchObject({ Established: 'True', NamesAccepted: 'True' });
    expect(statuses.NonStructuralSchema).toBeUndefined();
  });

  it('fills in the defaults', async () => {
    const made = await client.create<StreamScaler>(SCALERS, 'default', scalerObject('defaults'));
    expect(made.spec).toMatchObject({
      mode: 'Recommend',
      replicas: { min: 1, max: 10 },
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'consumer' },
      objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
      behavior: { reshard: { scaleDownWindowSeconds: 3_600, reservedCalls: 4 } },
    });
    expect(made.metadata.generation).toBe(1);
  });

  it.each(REFUSED)('refuses %s', async (_what, spec, message) => {
    const made = client.create(SCALERS, 'default', scalerObject('refused', spec));
    await expect(made).rejects.toMatchObject({
      code: 'kube-invalid',
      message: expect.stringMatching(message),
    });
  });

  it('does not let the stream be changed, but everything else', async () => {
    await client.create(SCALERS, 'default', scalerObject('moving'));
    const at = { namespace: 'default', name: 'moving' };
    const patch = (spec: object) => client.patch<StreamScaler>(SCALERS, at, 'merge', { spec });
    await expect(patch({ stream: { name: 'another' } })).rejects.toThrow(/stream is immutable/);
    await expect(patch({ stream: { region: 'us-east-1' } })).rejects.toThrow(/stream is immutable/);
    expect((await patch({ replicas: { max: 3 } })).metadata.generation).toBe(2);
  });

  it('keeps spec and status apart', async () => {
    const at = { namespace: 'default', name: 'apart' };
    await client.create(SCALERS, 'default', {
      ...scalerObject('apart'),
      status: { shards: { open: 1, desired: 1 } },
    });
    expect((await client.get<StreamScaler>(SCALERS, at)).status).toBeUndefined();
    const status = { shards: { open: 3, desired: 4 }, memory: { anything: [{ at: 1 }] } };
    const written = await client.patch<StreamScaler>(
      SCALERS,
      at,
      'merge',
      { status, spec: { mode: 'Full' } },
      { subresource: 'status' },
    );
    expect(written).toMatchObject({ metadata: { generation: 1 }, spec: { mode: 'Recommend' }, status });
  });

  describe('with kubectl', () => {
    const kubectl = async (...args: string[]) => {
      const program = findTool('kubectl') ?? 'kubectl';
      const { stdout } = await promisify(execFile)(program, args, {
        env: { PATH: process.env.PATH, KUBECONFIG: cluster.kubeConfigFile(), HOME: '/nonexistent' },
      });
      return stdout;
    };

    it('explains itself', async () => {
      let text = '';
      // The OpenAPI of a new kind is published a moment after the kind itself.
      for (let i = 0; i < 100 && text === ''; i++, await sleep(100)) {
        text = await kubectl('explain', 'ssc.spec.objective').catch(() => '');
      }
      expect(text).toContain('What is to be held.');
      expect(text).toMatch(/maxLagSeconds\s+<integer>\s+How far the furthest shard may be behind/);
    });

    it('shows what counts in a table', async () => {
      const at = { namespace: 'default', name: 'shown' };
      await client.create(SCALERS, 'default', scalerObject('shown'));
      const now = new Date().toISOString();
      const status = {
        conditions: [
          { type: 'Ready', status: 'True', reason: 'OnTarget', message: 'It is.', lastTransitionTime: now },
        ],
        lag: { observedAt: now, maxSeconds: 2.5, shards: 4, unknownShards: 0, undrainedParents: 0 },
        replicas: { current: 2, desired: 3 },
        shards: { open: 4, desired: 4 },
      };
      await client.patch(SCALERS, at, 'merge', { status }, { subresource: 'status' });
      const [head = '', row = ''] = (await kubectl('get', 'streamscalers', 'shown')).split('\n');
      expect(head.split(/\s+/)).toEqual([
        'NAME',
        'READY',
        'MODE',
        'LAG',
        'REPLICAS',
        'SHARDS',
        'REASON',
        'AGE',
      ]);
      expect(row.split(/\s+/).slice(0, 7)).toEqual([
        'shown',
        'True',
        'Recommend',
        '2.5',
        '2',
        '4',
        'OnTarget',
      ]);
      expect(await kubectl('get', 'weir')).toContain('shown');
    });
  });
});
