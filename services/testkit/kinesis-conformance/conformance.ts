import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateStreamCommand,
  GetRecordsCommand,
  type GetRecordsCommandOutput,
  GetShardIteratorCommand,
  type GetShardIteratorCommandInput,
  type KinesisClient,
  type _Record as KinesisRecord,
  ListShardsCommand,
  PutRecordCommand,
  type Shard,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createKinesisClient, isThrottle } from '../../shared/aws.ts';
import { EMULATOR_CREDENTIALS } from '../emulators.ts';
import { streamActive } from '../provision.ts';

/** Something that says it is Kinesis. */
export interface Target {
  /** Known when the tests run. */
  endpoint: () => string;
  /** Rules that it breaks, by name, and in what. The suite fails when it keeps one after all. */
  differences: Readonly<Record<string, string>>;
  /** Rules that it breaks now and then, or that would take long to see broken, and in what. They are not tried. */
  skipped: Readonly<Record<string, string>>;
}

/** A shard by its essentials. */
export type ListedShard = Shard & { ShardId: string };

export const HASH_SPACE = 2n ** 128n;
/** What a size may be off where the hash keys don't divide. */
export const NEARLY = 9n;
const SETUP_ATTEMPTS = 12;
const READ_PAUSE_MS = 60;
const EMPTY_READS = 5;

/** What the rules of one target share: its clients, and streams of their own. */
export class Bench {
  readonly #target: Target;
  #client: KinesisClient | undefined;
  #patient: KinesisClient | undefined;

  constructor(target: Target) {
    this.#target = target;
    const settings = { region: 'us-east-1', credentials: EMULATOR_CREDENTIALS };
    beforeAll(() => {
      const kinesisEndpoint = target.endpoint();
      this.#client = createKinesisClient({ ...settings, kinesisEndpoint, maxAttempts: 1 });
      this.#patient = createKinesisClient({ ...settings, kinesisEndpoint, maxAttempts: SETUP_ATTEMPTS });
    });
    afterAll(() => {
      this.#client?.destroy();
      this.#patient?.destroy();
    });
  }

  /** Makes each call once, so that a rule sees what was answered. */
  get client(): KinesisClient {
    if (!this.#client) throw new TypeError('the client is there once the tests run');
    return this.#client;
  }

  /** Calls again what was throttled: for what a rule only needs to have done. */
  get patient(): KinesisClient {
    if (!this.#patient) throw new TypeError('the client is there once the tests run');
    return this.#patient;
  }

  /** A rule: a test, or where it is a known difference, the proof that it still is one. */
  rule(name: string, check: () => Promise<void>): void {
    const { differences, skipped } = this.#target;
    const difference = differences[name];
    if (difference !== undefined) it.fails(`${name} (known difference: ${difference})`, check);
    else if (skipped[name] !== undefined) it.skip(`${name} (known difference: ${skipped[name]})`, check);
    else it(name, check);
  }

  /** An ACTIVE stream with a name of its own. */
  async stream(shards: number): Promise<string> {
    const StreamName = `conformance-${randomUUID()}`;
    await this.patient.send(new CreateStreamCommand({ StreamName, ShardCount: shards }));
    await streamActive(this.patient, StreamName);
    return StreamName;
  }

  async shards(StreamName: string): Promise<ListedShard[]> {
    const { Shards = [] } = await this.patient.send(new ListShardsCommand({ StreamName }));
    return Shards.map((shard) => ({ ...shard, ShardId: shard.ShardId ?? '' }));
  }

  /** Splits a shard in the middle. @returns when the stream is ACTIVE again. */
  async split(StreamName: string, shard: ListedShard): Promise<void> {
    const [start, end] = rangeOf(shard);
    await this.patient.send(
      new SplitShardCommand({
        StreamName,
        ShardToSplit: shard.ShardId,
        NewStartingHashKey: String((start + end) / 2n + 1n),
      }),
    );
    await streamActive(this.patient, StreamName);
  }

  /** Puts records with the numbers 0 to n - 1 as data into the shard that a hash key belongs to, one after the other. */
  async put(StreamName: string, n: number, ExplicitHashKey = '0'): Promise<string[]> {
    const numbers: string[] = [];
    for (let i = 0; i < n; i++) {
      const { SequenceNumber = '' } = await this.patient.send(
        new PutRecordCommand({
          StreamName,
          PartitionKey: `k${i}`,
          ExplicitHashKey,
          Data: Buffer.from(`${i}`),
        }),
      );
      numbers.push(SequenceNumber);
    }
    return numbers;
  }

  async iterator(
    StreamName: string,
    ShardId: string,
    from: Omit<GetShardIteratorCommandInput, 'StreamName' | 'ShardId'>,
  ): Promise<string> {
    const input = { StreamName, ShardId, ...from };
    const { ShardIterator = '' } = await this.patient.send(new GetShardIteratorCommand(input));
    return ShardIterator;
  }

  /** One GetRecords call, made again while it is throttled. */
  async read(ShardIterator: string | undefined, Limit?: number): Promise<GetRecordsCommandOutput> {
    for (;;) {
      try {
        return await this.client.send(new GetRecordsCommand({ ShardIterator, Limit }));
      } catch (error) {
        if (!isThrottle(error)) throw error;
        await sleep(READ_PAUSE_MS);
      }
    }
  }

  /** Reads on until a shard ends, or until it has nothing more. */
  async readOn(
    from: string,
    Limit?: number,
  ): Promise<{ records: KinesisRecord[]; last: GetRecordsCommandOutput }> {
    const records: KinesisRecord[] = [];
    let empty = 0;
    for (let at: string | undefined = from; ; ) {
      const answer: GetRecordsCommandOutput = await this.read(at, Limit);
      records.push(...(answer.Records ?? []));
      empty = answer.Records?.length ? 0 : empty + 1;
      at = answer.NextShardIterator;
      // A shard that is not at its end may give nothing and go on.
      if (at === undefined || (empty > 0 && answer.MillisBehindLatest === 0) || empty > EMPTY_READS)
        return { records, last: answer };
    }
  }
}

export function rangeOf({ HashKeyRange }: Shard): [bigint, bigint] {
  return [BigInt(HashKeyRange?.StartingHashKey ?? -1), BigInt(HashKeyRange?.EndingHashKey ?? -1)];
}

export function textOf(records: readonly KinesisRecord[]): string[] {
  return records.map(({ Data = Buffer.alloc(0) }) => Buffer.from(Data).toString());
}

/** Expects a call to be refused with one of these errors of the API. */
export async function refused(call: Promise<unknown>, ...names: string[]): Promise<void> {
  const outcome = await call.then(
    () => 'done',
    (error: unknown) => (error as Error).name,
  );
  expect(names).toContain(outcome);
}
