import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import { proxiedDynamoDB } from '../../testkit/vitest/proxied-dynamodb.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { AdaptiveLimit } from '../sinks/adaptive-limit.ts';
import type { SourceState } from './source-state.ts';
import { StateStore } from './state-store.ts';

const behind = proxiedDynamoDB();
let dynamodb: DynamoDBJson;
const own = ownStack();
let store: StateStore;
beforeAll(() => {
  dynamodb = new DynamoDBJson(behind.client);
});
afterAll(() => dynamodb.close());
beforeEach(() => {
  store = new StateStore({
    dynamodb,
    table: own.stack.resources.stateTable,
    ttlDays: 0,
    limit: new AdaptiveLimit(4, clock),
    clock,
    random: () => 0.01,
    log: pino({ level: 'silent' }),
    metrics: createConsumerMetrics(createRegistry('test')),
  });
});

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
      behind.proxy.plan('BatchGetItem', { kind: 'answer', text }, { kind: 'answer', text });
      expect(await load(['a', 'new'])).toEqual(['a']);
    },
  );

  it('does not take a page for a state that is written', async () => {
    behind.proxy.plan(
      'UpdateItem',
      { kind: 'answer', text: '<html>' },
      { kind: 'answer', text: '{"message":"ok"}' },
    );
    expect(await save('a')).toBe(true);
    expect(await load(['a'])).toEqual(['a']);
  });
});
