import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { createKinesisClient } from '../../shared/aws.ts';
import { close, listen } from '../../shared/server.ts';
import { EMULATOR_CREDENTIALS } from '../../testkit/emulators.ts';
import { createStream } from '../../testkit/provision.ts';
import { KinesisSink } from './kinesis-sink.ts';

const RECORDS = ['a', 'b', 'c'].map((key) => ({ partitionKey: key, data: Buffer.from(`{"key":"${key}"}`) }));
const TIMEOUT_MS = 300;
const PLACE = { ShardId: 'shardId-000000000000', SequenceNumber: '1' };

describe('the Kinesis sink, by what Kinesis answers', () => {
  let server: Server;
  let client: ReturnType<typeof createKinesisClient>;
  let sink: KinesisSink;
  let requests: number;
  let answer: { status: number; body: object } | 'silence';

  beforeEach(async () => {
    requests = 0;
    server = createServer((request, response) => {
      requests++;
      request.resume();
      if (answer === 'silence') return;
      response.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify(answer.body));
    });
    const port = await listen(server, 0, '127.0.0.1');
    client = createKinesisClient({
      region: 'us-east-1',
      credentials: EMULATOR_CREDENTIALS,
      kinesisEndpoint: `http://127.0.0.1:${port}`,
      requestTimeoutMs: 100,
      maxAttempts: 1,
    });
    sink = new KinesisSink(client, 'stream', TIMEOUT_MS);
  });

  afterEach(async () => {
    client.destroy();
    server.closeAllConnections();
    await close(server);
  });

  it('tells throttled records from those that failed inside, and stored ones from both', async () => {
    const Records = [
      PLACE,
      { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded' },
      { ErrorCode: 'InternalFailure', ErrorMessage: 'Internal Service Failure' },
    ];
    answer = { status: 200, body: { FailedRecordCount: 2, Records } };
    expect(await sink.put(RECORDS)).toEqual([
      { shardId: 'shardId-000000000000', sequenceNumber: '1' },
      { failure: 'throttled' },
      { failure: 'unavailable' },
    ]);
  });

  it('gives up on credentials that do not come, as on an answer', async () => {
    const hanging = createKinesisClient({ region: 'us-east-1', kinesisEndpoint: 'http://127.0.0.1:1' });
    hanging.config.credentials = () => new Promise(() => {});
    const waiting = new KinesisSink(hanging, 'stream', 50);
    await expect(waiting.put(RECORDS)).rejects.toMatchObject({ failure: 'unavailable' });
    hanging.destroy();
  });

  it('takes nothing for stored that has no position', async () => {
    answer = { status: 200, body: { FailedRecordCount: 0, Records: [PLACE, {}, PLACE] } };
    expect((await sink.put(RECORDS))[1]).toEqual({ failure: 'unavailable' });
    answer = { status: 200, body: { FailedRecordCount: 0, Records: [PLACE] } };
    await expect(sink.put(RECORDS)).rejects.toMatchObject({ failure: 'unavailable' });
  });

  it.each([
    [400, 'ProvisionedThroughputExceededException', 'throttled'],
    [400, 'LimitExceededException', 'throttled'],
    [500, 'InternalFailure', 'unavailable'],
    [503, 'ServiceUnavailable', 'unavailable'],
    [400, 'ResourceNotFoundException', 'rejected'],
    [400, 'AccessDeniedException', 'rejected'],
    [400, 'ValidationException', 'rejected'],
  ])('calls %i %s %s, after one attempt', async (status, __type, failure) => {
    answer = { status, body: { __type, message: 'as AWS says it' } };
    await expect(sink.put(RECORDS)).rejects.toMatchObject({ failure });
    expect(requests).toBe(1);
  });

  it('gives up a call that is not answered, and calls it unavailable: it may have been stored', async () => {
    answer = 'silence';
    await expect(sink.put(RECORDS)).rejects.toMatchObject({ failure: 'unavailable', retryable: true });
    expect(requests).toBe(1);
  });

  it.each([
    ['ACTIVE', true],
    ['UPDATING', true],
    ['CREATING', false],
    ['DELETING', false],
  ])('a stream that is %s counts as there: %s', async (StreamStatus, there) => {
    answer = { status: 200, body: { StreamDescriptionSummary: { StreamStatus } } };
    const check = sink.check();
    await (there ? check : expect(check).rejects.toMatchObject({ failure: 'unavailable' }));
  });
});

it('stores in a stream of the emulator, and is told where', async () => {
  const client = createKinesisClient({
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    kinesisEndpoint: inject('kinesisEndpoint'),
    maxAttempts: 1,
  });
  try {
    const stream = `sink-${crypto.randomUUID()}`;
    const sink = new KinesisSink(client, stream, 10_000);
    await expect(sink.put(RECORDS)).rejects.toMatchObject({ failure: 'rejected' });
    await createStream(client, stream, 2);
    await sink.check();
    const outcomes = await sink.put(RECORDS);
    expect(outcomes).toHaveLength(3);
    for (const outcome of outcomes) {
      expect(outcome).toEqual({
        shardId: expect.stringMatching(/^shardId-00000000000[01]$/),
        sequenceNumber: expect.stringMatching(/^\d+$/),
      });
    }
  } finally {
    client.destroy();
  }
});
