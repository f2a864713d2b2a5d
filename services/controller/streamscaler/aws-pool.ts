import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import type { StreamScalerSpec } from '../../../cdk8s/crd/stream-scaler.ts';
import {
  type AwsOptions,
  clientSettings,
  createDynamoDBClient,
  createKinesisClient,
} from '../../shared/aws.ts';
import { streamIdentity } from './conflicts.ts';

/** The clients of one region and endpoint. */
export interface AwsClients {
  /** For reading. */
  kinesis: KinesisClient;
  /** For reshard calls: tries once, see `reshard`. */
  kinesisOnce: KinesisClient;
  dynamodb: DynamoDBClient;
  cloudwatch: CloudWatchClient;
}

/** The endpoints and credentials of all clients. */
export interface PoolOptions extends AwsOptions {
  cloudwatchEndpoint?: string | undefined;
}

export function createCloudWatchClient(options: PoolOptions): CloudWatchClient {
  return new CloudWatchClient(clientSettings(options, options.cloudwatchEndpoint));
}

/** Clients by region and endpoint, so that a hundred StreamScalers of one region share their connections. */
export class AwsPool {
  readonly #base: PoolOptions;
  readonly #clients = new Map<string, AwsClients>();

  /** @param base what counts where a StreamScaler says nothing. */
  constructor(base: PoolOptions) {
    this.#base = base;
  }

  get region(): string {
    return this.#base.region;
  }

  for(stream: StreamScalerSpec['stream']): AwsClients {
    const { region, key } = this.#place(stream);
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
        cloudwatch: createCloudWatchClient(options),
      };
      this.#clients.set(key, clients);
    }
    return clients;
  }

  /** Ends the clients that none of these streams needs. */
  keepOnly(streams: readonly StreamScalerSpec['stream'][]): void {
    const needed = new Set(streams.map((stream) => this.#place(stream).key));
    for (const [key, clients] of this.#clients) {
      if (needed.has(key)) continue;
      for (const client of Object.values(clients)) client.destroy();
      this.#clients.delete(key);
    }
  }

  close(): void {
    this.keepOnly([]);
  }

  #place(stream: StreamScalerSpec['stream']): { region: string; key: string } {
    const [region = this.#base.region] = streamIdentity(stream, this.#base.region).split('/');
    return { region, key: `${region} ${stream.endpoint ?? ''}` };
  }
}
