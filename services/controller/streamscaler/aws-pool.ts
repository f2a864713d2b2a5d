import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import type { StreamScalerSpec } from '../../../cdk8s/crd/stream-scaler.ts';
import { type AwsOptions, createDynamoDBClient, createKinesisClient } from '../../shared/aws.ts';
import { streamIdentity } from './conflicts.ts';

/** The clients of one region and endpoint. */
export interface AwsClients {
  /** For reading. */
  kinesis: KinesisClient;
  /** For reshard calls: tries once, see `reshard`. */
  kinesisOnce: KinesisClient;
  dynamodb: DynamoDBClient;
}

/** Clients by region and endpoint, so that a hundred StreamScalers of one region share their connections. */
export class AwsPool {
  readonly #base: AwsOptions;
  readonly #clients = new Map<string, AwsClients>();

  /** @param base what counts where a StreamScaler says nothing. */
  constructor(base: AwsOptions) {
    this.#base = base;
  }

  get region(): string {
    return this.#base.region;
  }

  for(stream: StreamScalerSpec['stream']): AwsClients {
    const [region = this.#base.region] = streamIdentity(stream, this.#base.region).split('/');
    const key = `${region} ${stream.endpoint ?? ''}`;
    let clients = this.#clients.get(key);
    if (!clients) {
      const options = {
        ...this.#base,
        region,
        ...(stream.endpoint === undefined ? {} : { kinesisEndpoint: stream.endpoint }),
      };
      clients = {
        kinesis: createKinesisClient(options),
        kinesisOnce: createKinesisClient({ ...options, maxAttempts: 1 }),
        dynamodb: createDynamoDBClient(options),
      };
      this.#clients.set(key, clients);
    }
    return clients;
  }

  close(): void {
    for (const { kinesis, kinesisOnce, dynamodb } of this.#clients.values()) {
      kinesis.destroy();
      kinesisOnce.destroy();
      dynamodb.destroy();
    }
    this.#clients.clear();
  }
}
