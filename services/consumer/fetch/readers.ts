import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { awsOptions, createSubscribingClient } from '../../shared/aws.ts';
import type { EnvOf } from '../../shared/config.ts';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { consumerEnv } from '../config.ts';
import type { ReadFrom } from '../lineage/lineage.ts';
import { ByteBudget } from './byte-budget.ts';
import { FanOutConsumer } from './fan-out-consumer.ts';
import { ShardReader, type ShardReaderDeps } from './shard-reader.ts';
import { createSources } from './sources.ts';

/** The readers of a process. */
export interface Readers {
  /** A reader of a lease's shard; to be closed when it is no longer read. */
  open(lease: Lease, from: ReadFrom): ShardReader;
  /** Ends the client of the subscriptions. */
  close(): void;
}

/** Wires how shards are read by the consumer's configuration. */
export function createReaders(
  config: EnvOf<typeof consumerEnv>,
  client: KinesisClient,
  deps: Omit<ShardReaderDeps, 'budget' | 'aggregates'>,
): Readers {
  const { clock, log } = deps;
  const stream = config.STREAM_NAME;
  const subscriber = createSubscribingClient(awsOptions(config));
  const consumer = new FanOutConsumer({
    client,
    stream,
    consumer: config.FANOUT_CONSUMER || config.LEASE_TABLE.replace(/-leases$/, ''),
    register: config.FANOUT_REGISTER === 'true',
    clock,
  });
  const source = createSources(
    config.FETCH,
    { client, stream, pollIntervalMs: config.POLL_INTERVAL_MS, clock },
    { client: subscriber, consumer, clock },
    deps.random,
    log,
  );
  const all: ShardReaderDeps = {
    ...deps,
    budget: new ByteBudget(config.PREFETCH_BYTES),
    aggregates: { corrupt: config.CORRUPT_AGGREGATES, stray: config.STRAY_RECORDS },
  };
  return {
    open: ({ leaseKey: shardId, hashKeyRange }, from) =>
      new ShardReader(all, source(shardId), {
        shardId,
        from,
        hashKeyRange: hashKeyRange && {
          starting: BigInt(hashKeyRange.starting),
          ending: BigInt(hashKeyRange.ending),
        },
      }),
    close: () => subscriber.destroy(),
  };
}
