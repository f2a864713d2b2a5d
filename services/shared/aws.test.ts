import { createServer, type Server } from 'node:http';
import { ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { ListShardsCommand } from '@aws-sdk/client-kinesis';
import { NodeHttp2Handler, NodeHttpHandler } from '@smithy/node-http-handler';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EMULATOR_CREDENTIALS } from '../testkit/emulators.ts';
import {
  type AwsOptions,
  createDynamoDBClient,
  createKinesisClient,
  createSubscribingClient,
  isRetryable,
} from './aws.ts';
import { close, listen } from './server.ts';

/** Takes requests and answers none. */
let server: Server;
let options: AwsOptions;
let requests: number;

beforeEach(async () => {
  requests = 0;
  server = createServer((request) => {
    requests++;
    request.resume();
  });
  const endpoint = `http://127.0.0.1:${await listen(server, 0, '127.0.0.1')}`;
  options = {
    region: 'us-east-1',
    credentials: EMULATOR_CREDENTIALS,
    kinesisEndpoint: endpoint,
    dynamodbEndpoint: endpoint,
    requestTimeoutMs: 100,
    maxAttempts: 1,
  };
});
afterEach(async () => {
  server.closeAllConnections();
  await close(server);
});

const kinesis = () => {
  const client = createKinesisClient(options);
  return { client, call: () => client.send(new ListShardsCommand({ StreamName: 's' })) };
};
const dynamodb = () => {
  const client = createDynamoDBClient(options);
  return { client, call: () => client.send(new ListTablesCommand({})) };
};

describe.each([
  ['Kinesis', kinesis],
  ['DynamoDB', dynamodb],
])('the client of %s', (_, create) => {
  it('gives up a call that is not answered in its time, as one to be tried again', {
    timeout: 5_000,
  }, async () => {
    const { client, call } = create();
    const error = await call().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'TimeoutError' });
    expect(isRetryable(error)).toBe(true);
    expect(requests).toBe(1);
    client.destroy();
  });

  it('makes as many attempts as it was told', { timeout: 5_000 }, async () => {
    options.maxAttempts = 2;
    const { client, call } = create();
    await expect(call()).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(requests).toBe(2);
    client.destroy();
  });

  it('speaks HTTP/1.1 over kept connections, and has the SDK format nothing for a log', () => {
    const { client } = create();
    expect(client.config.requestHandler).toBeInstanceOf(NodeHttpHandler);
    // A method that does nothing costs as much as one that logs: its argument is made all the same.
    expect(client.config.logger).toMatchObject({ warn: expect.any(Function), debug: expect.any(Function) });
    expect(client.config.logger).not.toHaveProperty('info');
    expect(client.config.logger).not.toHaveProperty('error');
    client.destroy();
  });
});

it('subscribes over HTTP/2, the one call that needs it', () => {
  const client = createSubscribingClient(options);
  expect(client.config.requestHandler).toBeInstanceOf(NodeHttp2Handler);
  expect(client.config.logger).not.toHaveProperty('info');
  client.destroy();
});
