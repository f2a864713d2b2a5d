import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BatchWriteItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { decode } from '../consumer/pipeline/decode.ts';
import { toItem } from '../consumer/sinks/item.ts';
import { EMULATOR_CREDENTIALS } from '../testkit/emulators.ts';
import { TestStack } from '../testkit/stack.ts';
import { createDynamoDBClient, isRetryable, isThrottle } from './aws.ts';
import { DynamoDBJson } from './dynamodb-json.ts';

type Answer = { status: number; body: string; headers?: Record<string, string> } | 'silence' | 'reset';

describe('against dynalite', () => {
  let stack: TestStack;
  let lean: DynamoDBJson;
  beforeEach(async () => {
    stack = await TestStack.create({
      kinesis: inject('kinesisEndpoint'),
      dynamodb: inject('dynamodbEndpoint'),
    });
    lean = new DynamoDBJson(stack.dynamodb);
  });
  afterEach(async () => {
    lean.close();
    await stack.close();
  });

  it('writes what the SDK writes, whatever an event holds', async () => {
    const table = stack.resources.recordsTable;
    const events = [
      { amount: 1 },
      { amount: -0.000001, text: 'quotes " \\ \n \u2028 \u0000 ünïcödé 🌊', empty: '' },
      { amount: 1e125, big: 1e300, list: [1, [null, true], {}], nested: { 'a"b': { c: [] } } },
      { amount: 2000, timestamp: '2026-01-02T03:04:05.678Z', source: 's"1' },
    ];
    const items = events.map((event, n) =>
      toItem(
        decode(
          {
            shardId: 'shardId-000000000000',
            sequenceNumber: String(n),
            ...(n > 1 ? { subSequenceNumber: n } : {}),
            partitionKey: 'pk"\\',
            data: Buffer.from(JSON.stringify({ request_id: `id-${n}`, ...event })),
            arrivedAt: 1_700_000_000_123,
          },
          'stream',
        ),
        { score: 0.1 + 0.2, isAnomaly: n === 3, method: 'threshold_based' },
        '2026-01-02T03:04:05.678Z',
      ),
    );
    const requests = items.map(({ json }) => `{"PutRequest":{"Item":${json}}}`);
    await lean.call('BatchWriteItem', `{"RequestItems":{"${table}":[${requests.join()}]}}`);
    const ours = (await stack.records()).sort((a, b) => String(a.id).localeCompare(String(b.id)));
    await stack.dynamodb.send(
      new BatchWriteItemCommand({
        RequestItems: {
          [table]: items.map(({ json }) => ({ PutRequest: { Item: JSON.parse(json) } })),
        },
      }),
    );
    const theirs = (await stack.records()).sort((a, b) => String(a.id).localeCompare(String(b.id)));
    expect(ours).toHaveLength(4);
    expect(ours).toEqual(theirs);
    expect(ours[1]?.payload).toEqual({ text: events[1]?.text, empty: '' });
    expect(ours[2]?.payload).toEqual({ ...events[2], amount: undefined, big: '1e+300' });
  });

  it('names errors as the SDK does', async () => {
    await expect(lean.call('BatchWriteItem', '{"RequestItems":{"nowhere":[]}}')).rejects.toMatchObject({
      name: 'ValidationException',
    });
    const missing = lean.call('GetItem', '{"TableName":"nowhere","Key":{"id":{"S":"a"}}}');
    await expect(missing).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
    expect(isRetryable(await missing.catch((error: unknown) => error))).toBe(false);
  });
});

describe('against a service that misbehaves', () => {
  let server: Server;
  let answer: Answer;
  let seen: { headers: IncomingHttpHeaders; body: string }[] = [];
  let lean: DynamoDBJson;
  let client: ReturnType<typeof createDynamoDBClient>;
  beforeAll(async () => {
    server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => {
        seen.push({ headers: request.headers, body });
        if (answer === 'reset') request.socket.destroy();
        else if (answer !== 'silence') response.writeHead(answer.status, answer.headers).end(answer.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    client = createDynamoDBClient({
      region: 'eu-west-1',
      credentials: { ...EMULATOR_CREDENTIALS, sessionToken: 'token' } as typeof EMULATOR_CREDENTIALS,
      dynamodbEndpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
  });
  beforeEach(() => {
    seen = [];
    lean = new DynamoDBJson(client, { requestTimeoutMs: 100 });
  });
  afterEach(() => lean.close());
  afterAll(async () => {
    client.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('signs the call for its region, with the session token and the hash of the body', async () => {
    answer = { status: 200, body: '{}' };
    expect(await lean.call('GetItem', '{"ü":1}')).toBe('{}');
    const [{ headers, body } = { headers: {}, body: '' }] = seen;
    expect(body).toBe('{"ü":1}');
    expect(headers).toMatchObject({
      'x-amz-target': 'DynamoDB_20120810.GetItem',
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-security-token': 'token',
      'x-amz-content-sha256': createHash('sha256').update('{"ü":1}').digest('hex'),
      authorization: expect.stringMatching(
        /^AWS4-HMAC-SHA256 Credential=local\/\d{8}\/eu-west-1\/dynamodb\/aws4_request, SignedHeaders=[^,]*host[^,]*x-amz-security-token[^,]*, Signature=[0-9a-f]{64}$/,
      ),
    });
  });

  it.each<[string, Answer, object, boolean]>([
    [
      'a throttle',
      failure(400, 'com.amazonaws.dynamodb.v20120810#ThrottlingException'),
      { name: 'ThrottlingException' },
      true,
    ],
    ['an internal error', failure(500, 'InternalServerError'), { name: 'InternalServerError' }, true],
    ['a page of a proxy', { status: 502, body: '<html>' }, { name: 'Http502' }, true],
    ['a broken connection', 'reset', { code: 'ECONNRESET' }, true],
    ['silence', 'silence', { name: 'TimeoutError' }, true],
    ['a refusal', failure(400, 'AccessDeniedException'), { name: 'AccessDeniedException' }, false],
  ])('tells %s', async (what, given, error, retryable) => {
    answer = given;
    const thrown: unknown = await lean.call('GetItem', '{}').catch((e: unknown) => e);
    expect(thrown).toMatchObject(error);
    expect(isRetryable(thrown)).toBe(retryable);
    expect(isThrottle(thrown)).toBe(what === 'a throttle');
  });

  it('gives up at once when it is aborted, before and while it waits', async () => {
    answer = 'silence';
    const stop = new AbortController();
    const call = lean.call('GetItem', '{}', stop.signal);
    setTimeout(() => stop.abort(), 10);
    await expect(call).rejects.toMatchObject({ name: 'AbortError' });
    await expect(lean.call('GetItem', '{}', stop.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });

  it("follows the service's clock after it was told that its own is off", async () => {
    const date = new Date(Date.now() + 3_600_000);
    answer = { ...failure(403, 'InvalidSignatureException'), headers: { date: date.toUTCString() } };
    await expect(lean.call('GetItem', '{}')).rejects.toMatchObject({ name: 'InvalidSignatureException' });
    answer = { status: 200, body: '{}' };
    await lean.call('GetItem', '{}');
    const hour = date.toISOString().slice(0, 13).replaceAll('-', '');
    expect(String(seen[1]?.headers['x-amz-date']).slice(0, 11)).toBe(hour);
  });
});

function failure(status: number, type: string) {
  return { status, body: JSON.stringify({ __type: type, message: 'said so' }) };
}
