import { describe, expect, it } from 'vitest';
import { isRetryable } from '../../shared/aws.ts';
import { checkUpdated, foundItems, unprocessedItems } from './answers.ts';

const row = (series: string) => ({ series: { S: series }, part: { S: 'state' } });
const batchGet = (answer: object) =>
  foundItems(JSON.stringify(answer), { table: 't', by: 'series', asked: ['a', 'b'] });
/** What the error of `work` tells. */
function refusalOf(work: () => unknown): { name: string; message: string; retryable: boolean } | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message, retryable: isRetryable(error) };
  }
}
const unexpected = (operation: string) => ({
  name: 'UnexpectedAnswer',
  message: expect.stringContaining(operation),
  retryable: true,
});

describe('an answer of BatchWriteItem', () => {
  it.each([
    ['{"UnprocessedItems":{}}', 0],
    ['{ "ConsumedCapacity": [], "UnprocessedItems": {} }', 0],
    // An old LocalStack (localstack/localstack#3968)
    ['{"UnprocessedItems":{"t":[]}}', 0],
    ['{"UnprocessedItems":{"t":[{},{}],"other":[{}]}}', 3],
  ])('%s leaves %d', (answer, count) => {
    expect(unprocessedItems(answer)).toHaveLength(count);
  });
});

describe('an answer of BatchGetItem', () => {
  it('accounts for each key: found, left, or not there', () => {
    expect(batchGet({ Responses: { t: [row('b')] }, UnprocessedKeys: {} })).toEqual({
      found: new Map([['b', row('b')]]),
      left: [],
    });
    expect(batchGet({ Responses: { t: [] }, UnprocessedKeys: { t: { Keys: [row('b')] } } })).toEqual({
      found: new Map(),
      left: ['b'],
    });
  });

  it('may say nothing of a table that looked up none of the keys', () => {
    const UnprocessedKeys = { t: { Keys: [row('b'), row('a')] } };
    expect(batchGet({ Responses: {}, UnprocessedKeys }).left).toEqual(['b', 'a']);
  });

  it.each([
    ['nothing', {}],
    ['no table', { Responses: {}, UnprocessedKeys: {} }],
    ['another table', { Responses: { other: [] }, UnprocessedKeys: {} }],
    ['no list', { Responses: { t: { a: row('a') } }, UnprocessedKeys: {} }],
    ['nothing of unprocessed keys', { Responses: { t: [row('a'), row('b')] } }],
    ['unprocessed keys without keys', { Responses: { t: [] }, UnprocessedKeys: { t: null } }],
    ['a table that is silent on a key', { UnprocessedKeys: { t: { Keys: [row('a')] } } }],
    ['an item that nobody asked for', { Responses: { t: [row('c')] }, UnprocessedKeys: {} }],
    ['an item twice', { Responses: { t: [row('a'), row('a')] }, UnprocessedKeys: {} }],
    ['an item that is none', { Responses: { t: [null] }, UnprocessedKeys: {} }],
    ['a key that nobody asked for', { Responses: { t: [] }, UnprocessedKeys: { t: { Keys: [row('c')] } } }],
  ])('is none with %s', (_, answer) => {
    expect(refusalOf(() => batchGet(answer))).toEqual(unexpected('BatchGetItem'));
  });
});

describe('an answer of UpdateItem', () => {
  it.each(['{}', '{"ConsumedCapacity":{"TableName":"t","CapacityUnits":1}}'])('may be %s', (answer) => {
    expect(refusalOf(() => checkUpdated(answer))).toBeUndefined();
  });
});

describe.each([
  ['BatchWriteItem', unprocessedItems],
  ['BatchGetItem', (answer: string) => foundItems(answer, { table: 't', by: 'series', asked: ['a'] })],
  ['UpdateItem', checkUpdated],
])('no answer of %s', (operation, read) => {
  it.each(['', 'null', '""', '[]', '<html>', '{"message":"ok"}', '{"Responses":{"t":[{"ser'])(
    'is %s',
    (answer) => {
      expect(refusalOf(() => read(answer))).toEqual(unexpected(operation));
    },
  );

  it('is told in full in the error', () => {
    const refusal = refusalOf(() => read(`<html>${'\u001b[2J'.repeat(100)}`));
    expect(refusal?.message.length).toBeLessThan(500);
    expect(refusal?.message).not.toContain('\u001b');
  });
});
