import { describe, expect, it } from 'vitest';
import { tableNames } from '../../services/shared/tables.ts';
import { environments } from './environments.ts';
import { consumerGroups, mainGroup } from './names.ts';
import { prod } from './prod.ts';
import { defineEnvironment, type EnvironmentInput } from './schema.ts';
import { staging } from './staging.ts';

const lambda = staging.consumers.lambda;

describe('environments', () => {
  it('live in accounts of their own, so names may be equal in all', () => {
    expect(new Set(environments.map((e) => e.account)).size).toBe(environments.length);
    expect(environments.map((e) => e.name)).toEqual(['dev', 'staging', 'prod']);
  });

  it("name the main group's tables as services do by default", () => {
    expect(tableNames(mainGroup(prod))).toEqual({
      records: 'anomaly-stream-records',
      leases: 'anomaly-stream-leases',
      state: 'anomaly-stream-state',
      deadLetters: 'anomaly-stream-dead-letters',
    });
  });

  it('give two groups no table in common', () => {
    const tables = consumerGroups(staging).flatMap((group) => Object.values(tableNames(group)));
    expect(tables).toHaveLength(8);
    expect(new Set(tables).size).toBe(8);
  });

  it.each<[string, Partial<EnvironmentInput>, RegExp]>([
    ['nobody reads', { consumers: {} }, /consumers: nobody would read the stream/],
    [
      'pods and lambda read as one group',
      { consumers: { ...staging.consumers, lambda: { ...lambda!, group: 'anomaly-stream' } } },
      /consumers: pods and lambda with the same group would both score each event/,
    ],
    [
      'a batch outlives its records',
      { consumers: { lambda: { ...lambda!, maxRecordAgeSeconds: 86_400 } } },
      /maxRecordAgeSeconds: must be less than the retention/,
    ],
    ['a function has no VPC', { consumers: { lambda: { ...lambda!, inVpc: true } } }, /network: is needed/],
    [
      'two set the shards of one stream',
      { stream: { ...staging.stream, mode: { kind: 'on-demand' } } },
      /scaling: an on-demand stream sets its own shards/,
    ],
    ['min exceeds max', { shards: { min: 3, max: 2 } }, /shards: min must not exceed max/],
    ['shards are out of bounds', { shards: { min: 3, max: 5 } }, /stream.mode.shards: must be within/],
    [
      'a replica is at home',
      {
        records: {
          store: 'all',
          replicas: [
            {
              region: 'ap-south-1',
              keyArn: `arn:aws:kms:ap-south-1:222222222222:key/mrk-${'0'.repeat(32)}`,
            },
          ],
        },
      },
      /is the region itself/,
    ],
    ['the account is not one', { account: '123' }, /account: expected the 12 digits/],
    ['a key is unknown', { streams: 1 } as never, /Unrecognized key: "streams"/],
  ])('are refused when %s', (_, change, message) => {
    expect(() => defineEnvironment({ ...(staging as EnvironmentInput), ...change })).toThrow(message);
  });
});
