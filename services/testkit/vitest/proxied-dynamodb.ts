import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, inject } from 'vitest';
import { createDynamoDBClient } from '../../shared/aws.ts';
import { EMULATOR_CREDENTIALS } from '../emulators.ts';
import { type FaultProxy, startFaultProxy } from '../fault-proxy.ts';

/** The emulator of DynamoDB behind a proxy that makes calls fail as planned. */
export interface ProxiedDynamoDB {
  readonly proxy: FaultProxy;
  readonly client: DynamoDBClient;
}

/** Gives one to the tests of the file that calls it. @param maxAttempts of the client's calls; left out: its default. */
export function proxiedDynamoDB(maxAttempts?: number): ProxiedDynamoDB {
  let proxy: FaultProxy;
  let client: DynamoDBClient;
  beforeAll(async () => {
    proxy = await startFaultProxy(inject('dynamodbEndpoint'));
    client = createDynamoDBClient({
      region: 'us-east-1',
      credentials: EMULATOR_CREDENTIALS,
      dynamodbEndpoint: proxy.endpoint,
      ...(maxAttempts === undefined ? {} : { maxAttempts }),
    });
  });
  afterAll(async () => {
    client.destroy();
    await proxy.stop();
  });
  return {
    get proxy() {
      return proxy;
    },
    get client() {
      return client;
    },
  };
}
