import {
  GetRecordsCommand,
  type GetRecordsOutput,
  GetShardIteratorCommand,
  type KinesisClient,
} from '@aws-sdk/client-kinesis';
import { isThrottle } from '../../shared/aws.ts';
import type { Clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import { Pace } from './pace.ts';
import { type Position, type RawBatch, type ShardSource, toApi } from './shard-source.ts';

export interface PollingDeps {
  client: KinesisClient;
  stream: string;
  /** Pause between reads of a shard where nothing comes, in ms. */
  pollIntervalMs: number;
  clock: Clock;
}

/** Reads a shard by GetRecords, at a pace that leaves room for other readers of the shard. */
export class PollingSource implements ShardSource {
  readonly #deps: PollingDeps;
  readonly #shardId: string;
  readonly #pace: Pace;
  #nextReadAt = Number.NEGATIVE_INFINITY;

  constructor(deps: PollingDeps, shardId: string) {
    this.#deps = deps;
    this.#shardId = shardId;
    this.#pace = new Pace(deps.pollIntervalMs);
  }

  async *read(position: Position, signal: AbortSignal, progress: () => void): AsyncGenerator<RawBatch> {
    const { client, clock } = this.#deps;
    let after = position.type === 'AFTER_SEQUENCE_NUMBER' ? position.sequenceNumber : undefined;
    let iterator = await this.#iterator(position, signal);
    while (iterator !== undefined) {
      await clock.sleep(this.#nextReadAt - clock.monotonic(), signal);
      progress();
      const startedAt = clock.monotonic();
      const answer = await client
        .send(new GetRecordsCommand({ ShardIterator: iterator }), { abortSignal: signal })
        .catch((error: unknown) => {
          if (isThrottle(error)) this.#pace.throttled();
          this.#nextReadAt = startedAt + this.#pace.answered(0, 0, 1);
          throw error;
        });
      progress();
      const records = answer.Records ?? [];
      const millisBehindLatest = answer.MillisBehindLatest ?? 0;
      const bytes = records.reduce((sum, { Data }) => sum + (Data?.byteLength ?? 0), 0);
      this.#nextReadAt = startedAt + this.#pace.answered(records.length, bytes, millisBehindLatest);
      checkAnswer(answer, this.#shardId);
      iterator = answer.NextShardIterator;
      after = records.at(-1)?.SequenceNumber ?? after;
      yield {
        records,
        millisBehindLatest,
        continueAfter: after,
        children: iterator === undefined ? childrenOf(answer.ChildShards) : undefined,
      };
    }
  }

  async #iterator(position: Position, signal: AbortSignal): Promise<string | undefined> {
    const { client, stream } = this.#deps;
    const { Type, SequenceNumber, Timestamp } = toApi(position);
    const answer = await client.send(
      new GetShardIteratorCommand({
        StreamName: stream,
        ShardId: this.#shardId,
        ShardIteratorType: Type,
        StartingSequenceNumber: SequenceNumber,
        Timestamp,
      }),
      { abortSignal: signal },
    );
    return answer.ShardIterator;
  }
}

/**
 * An answer without an iterator ends the shard for good, so it must be the one that Kinesis gives then: it names the children. KCL
 * refuses another one too (`DataFetcher.isValidResult`).
 *
 * @throws WeirError `answer-incomplete`, to be asked again.
 */
function checkAnswer({ NextShardIterator, ChildShards, Records }: GetRecordsOutput, shardId: string): void {
  const ended = NextShardIterator === undefined || NextShardIterator === null;
  const missing =
    ended && childrenOf(ChildShards).length === 0
      ? 'neither an iterator nor child shards'
      : Records?.every(({ SequenceNumber, Data }) => SequenceNumber && Data) !== true
        ? 'records without a sequence number or data'
        : undefined;
  if (missing === undefined) return;
  throw new WeirError('answer-incomplete', `GetRecords of ${shardId} gave ${missing}`, { retryable: true });
}

/** @param shards as the last answer of a shard names them; empty when it doesn't. */
export function childrenOf(shards: readonly { ShardId?: string | undefined }[] | undefined): string[] {
  return (shards ?? []).flatMap(({ ShardId }) => ShardId ?? []);
}
