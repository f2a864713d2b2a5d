import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createDynamoDBClient } from '../../shared/aws.ts';
import { systemClock as clock } from '../../shared/clock.ts';
import { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { type FaultProxy, startFaultProxy } from '../../testkit/fault-proxy.ts';
import { TestStack } from '../../testkit/stack.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { AdaptiveLimit } from '../sinks/adaptive-limit.ts';
import type { SourceState } from './source-state.ts';
import { StateStore } from './state-store.ts';

let proxy: FaultProxy;
let client: ReturnType<typeof createDynamoDBClient>;
let dynamodb: DynamoDBJson;
let stack: TestStack;
let store: StateStore;
beforeAll(async () => {
  proxy = await startFaultProxy(inject('dynamodbEndpoint'));
  client = createDynamoDBClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    dynamodbEndpoint: proxy.endpoint,
  });
  dynamodb = new DynamoDBJson(client);
});
afterAll(async () => {
  dynamodb.close();
  client.destroy();
  await proxy.stop();
});
beforeEach(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  store = new StateStore({
    dynamodb,
    table: stack.resources.stateTable,
    ttlDays: 0,
    limit: new AdaptiveLimit(4, clock),
    clock,
    random: () => 0.01,
    log: pino({ level: 'silent' }),
    metrics: createConsumerMetrics(createRegistry('test')),
  });
});
afterEach(() => stack.close());

const { signal } = new AbortController();
const save = (series: string) =>
  store.save(
    { series, watermark: 'w', arrivedAt: 0, hasMinute: false } as SourceState,
    new Map([['a', '{"N":"1"}']]),
    signal,
    () => {},
  );
const load = async (series: readonly string[]) => [...(await store.load(series, signal, () => {})).keys()];

describe('the state store, when something else answers with status 200', () => {
  it.each(['{}', 'null', '<html>', '{"Responses":{}}', '{"Responses":null,"UnprocessedKeys":null}'])(
    'does not take %s for a table without the states',
    async (text) => {
      await save('a');
      proxy.plan('BatchGetItem', { kind: 'answer', text }, { kind: 'answer', text });
      expect(await load(['a', 'new'])).toEqual(['a']);
    },
  );

  it('does not take a page for a state that is written', async () => {
    proxy.plan(
      'UpdateItem',
      { kind: 'answer', text: '<html>' },
      { kind: 'answer', text: '{"message":"ok"}' },
    );
    expect(await save('a')).toBe(true);
    expect(await load(['a'])).toEqual(['a']);
  });
});
