import { describe, expect, it } from 'vitest';
import { givenUpRecords } from './given-up.ts';

const record = {
  eventID: 'shardId-000000000000:7',
  eventSourceARN: 'arn:aws:kinesis:eu-west-1:000000000000:stream/stream',
  kinesis: {
    sequenceNumber: '7',
    partitionKey: 'a',
    data: Buffer.from('{"source":"a","amount":1}').toString('base64'),
    approximateArrivalTimestamp: 1_700_000_000.123,
  },
};
const batch = (...records: unknown[]) => JSON.stringify({ payload: JSON.stringify({ Records: records }) });

describe('what a mapping gave up', () => {
  it('is read by stream, with its places and times', () => {
    const elsewhere = { ...record, eventSourceARN: `${record.eventSourceARN}-2` };
    const pushed = { ...record, eventSourceARN: `${record.eventSourceARN}/consumer/group:1700000000` };
    const found = givenUpRecords(batch(record, elsewhere, pushed));
    expect(found.map(({ stream, letters }) => [stream, letters.length])).toEqual([
      ['stream', 2],
      ['stream-2', 1],
    ]);
    expect(found[0]?.letters[0]?.record).toMatchObject({ sequenceNumber: '7', arrivedAt: 1_700_000_000_123 });
  });

  it('is told where it is when the destination got no records', () => {
    const KinesisBatchInfo = {
      shardId: 'shardId-000000000001',
      startSequenceNumber: '17',
      endSequenceNumber: '19',
      streamArn: record.eventSourceARN,
    };
    const given = JSON.stringify({
      requestContext: { condition: 'RetryAttemptsExhausted' },
      KinesisBatchInfo,
    });
    expect(() => givenUpRecords(given)).toThrow(/SQS and SNS.*shardId-000000000001 .*from 17 to 19/);
  });

  it.each([
    ['half an object', batch(record).slice(0, -20)],
    ['half a payload', JSON.stringify({ payload: '{"Records":[' })],
    ['null', 'null'],
    ['no record', batch()],
    ['another source', batch({ ...record, eventSourceARN: 'arn:aws:sqs:eu-west-1:000000000000:queue' })],
    ['no bytes', batch({ ...record, kinesis: { ...record.kinesis, data: '*' } })],
    [
      'a time beyond all',
      batch({ ...record, kinesis: { ...record.kinesis, approximateArrivalTimestamp: 1e300 } }),
    ],
    [
      'a key that Kinesis does not take',
      batch({ ...record, kinesis: { ...record.kinesis, partitionKey: 'k'.repeat(257) } }),
    ],
    ['a place of its own making', batch({ ...record, eventID: 'shardId-000000000000/../x:7' })],
    [
      'one bad record among good ones',
      batch(record, { ...record, kinesis: { ...record.kinesis, partitionKey: '' } }),
    ],
  ])('is refused whole with %s', (_, text) => {
    expect(() => givenUpRecords(text)).toThrow(expect.objectContaining({ code: 'batch-unreadable' }));
  });
});
