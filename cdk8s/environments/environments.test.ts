import { describe, expect, it } from 'vitest';
import { tableNames } from '../../services/shared/tables.ts';
import { environments } from './environments.ts';
import { consumerGroups, mainGroup, STAGES } from './names.ts';
import { prod } from './prod.ts';
import { defineEnvironment, type EnvironmentInput } from './schema.ts';
import { staging } from './staging.ts';

const lambda = staging.consumers.lambda;
const MODEL = { threshold: 1, params: { onnx: { model: 'models/pump.onnx' } } };
const SOURCES = Array.from({ length: 300 }, (_, i) => `boiler-${i}`);

describe('environments', () => {
  const distinct = (words: readonly string[]) => expect(new Set(words).size, words.join()).toBe(words.length);

  it('begin with the stages, and each has an account and region of its own, so that names may be equal in all', () => {
    expect(environments.map((e) => e.name).slice(0, 3)).toEqual(STAGES);
    distinct(environments.map((e) => e.name));
    distinct(environments.map((e) => e.cluster));
    distinct(environments.map((e) => `${e.account} ${e.region}`));
  });

  it('make the one OIDC provider of an account once', () => {
    distinct(environments.filter((e) => e.github.oidcProvider === 'create').map((e) => e.account));
  });

  it('let in by keys, no web page, and trace nothing unless they say otherwise', () => {
    const { auth, corsOrigins } = prod.producer;
    expect({ auth, corsOrigins }).toEqual({ auth: { kind: 'api-key' }, corsOrigins: [] });
    expect(prod).not.toHaveProperty('tracing');
    expect(prod.consumers.pods?.cloudWatchMetrics).toBe(false);
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
    ['no stage gives images', { name: 'prod-2' }, /stage: is needed: dev, staging, prod have images/],
    ['a stage names another', { stage: 'prod' }, /stage: staging has images of its own/],
    [
      'a collector wants a password',
      { tracing: { endpoint: 'http://weir:secret@collector.observability.svc:4318', ratio: 1 } },
      /tracing.endpoint: nothing secret stands in git/,
    ],
    ['a folder of charts/ is taken', { name: 'argocd', stage: 'prod' }, /name: is the name of something/],
    [
      "a replica's key is elsewhere",
      {
        records: {
          store: 'all',
          replicas: [],
          replicaKeyArn: `arn:aws:kms:us-east-1:222222222222:key/mrk-${'0'.repeat(32)}`,
        },
      },
      /replicaKeyArn: must be a key in ap-south-1/,
    ],
    ['a detector is mistyped', { detection: { detector: 'adaptve', threshold: 1 } }, /no detector "adaptve"/],
    [
      'a challenger is mistyped',
      { detection: { detector: 'adaptive', threshold: 1, challengers: ['kean'] } },
      /detection: there is no detector "kean"; there are: threshold, adaptive, onnx/,
    ],
    [
      'the champion is its own challenger',
      { detection: { detector: 'adaptive', threshold: 1, challengers: ['adaptive'] } },
      /name a detector twice: adaptive,adaptive/,
    ],
    [
      'a parameter is mistyped',
      { detection: { detector: 'adaptive', threshold: 1, params: { adaptive: { sensitivty: 0.8 } } } },
      /parameters of detector adaptive:[\s\S]*sensitivty/,
    ],
    [
      'a name of parameters is mistyped',
      { detection: { detector: 'adaptive', threshold: 1, params: { adaptve: { sensitivity: 0.8 } } } },
      /no detector "adaptve"/,
    ],
    ['the threshold is none', { detection: { detector: 'threshold', threshold: -1 } }, /THRESHOLD="-1"/],
    [
      'a function would need a model',
      { detection: { ...MODEL, detector: 'onnx' } },
      /detection.params: consumers.lambda has no ONNX Runtime/,
    ],
    [
      'a model has no file',
      { detection: { detector: 'onnx', threshold: 1 }, consumers: { pods: staging.consumers.pods! } },
      /parameters of detector onnx:[\s\S]*model/,
    ],
    [
      'parameters are too much for a function',
      {
        detection: {
          ...staging.detection,
          params: { threshold: { perSource: Object.fromEntries(SOURCES.map((source) => [source, 1])) } },
        },
      },
      /a function takes variables of 4 KB/,
    ],
    ...['http://collector:4318', 'http://collector.example', 'https://collector.example:4318'].map(
      (endpoint): [string, Partial<EnvironmentInput>, RegExp] => [
        `the network would not let traces out to ${endpoint}`,
        { tracing: { endpoint, ratio: 1 } },
        /tracing.endpoint: expected http:\/\/<service>/,
      ],
    ),
    [
      'keys of tokens could be changed on their way',
      {
        producer: {
          ...staging.producer,
          auth: { kind: 'jwt', issuer: 'i', audience: 'a', jwksUrl: 'http://login.example/jwks' },
        },
      },
      /producer.auth.jwksUrl/,
    ],
    ['the account is not one', { account: '123' }, /account: expected the 12 digits/],
    ['a key is unknown', { streams: 1 } as never, /Unrecognized key: "streams"/],
  ])('are refused when %s', (_, change, message) => {
    expect(() => defineEnvironment({ ...(staging as EnvironmentInput), ...change })).toThrow(message);
  });
});
