import {
  type KinesisClient,
  ResourceInUseException,
  ResourceNotFoundException,
  SubscribeToShardCommand,
  type SubscribeToShardEvent,
  type SubscribeToShardEventStream,
} from '@aws-sdk/client-kinesis';
import type { Clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import { StoppedError } from '../errors.ts';
import { SubscriptionStalledError, SubscriptionTakenError } from './errors.ts';
import type { FanOutConsumer } from './fan-out-consumer.ts';
import { childrenOf } from './polling-source.ts';
import { type Position, type RawBatch, type ShardSource, toApi } from './shard-source.ts';

/** A subscription lives 5 min: it is renewed before, at a moment of ours. */
const RENEW_AFTER_MS = 280_000;
/** Kinesis sends an event every 5 s, an empty one if need be: after two that didn't come the connection is dead. */
const STALL_MS = 12_000;
/** Times that long at most, when nothing came before: below the minute after which a shard's loop counts as stuck. */
const MAX_PATIENCE = 4;

export interface FanOutDeps {
  /** Speaks HTTP/2: `createSubscribingClient`. */
  client: KinesisClient;
  consumer: FanOutConsumer;
  clock: Clock;
  /** Without an event for this long, in ms, a subscription is opened anew. Default 12 s. */
  stallMs?: number;
  /** Age at which a subscription is renewed, in ms. Default 280 s. */
  renewAfterMs?: number;
}

/**
 * Has a shard's records pushed by SubscribeToShard (enhanced fan-out): 2 MiB a second for this application alone,
 * some 70 ms after they arrived. Events that nobody asks for stay in the connection's flow-control window, so Kinesis
 * waits for the slowest part of the pipeline.
 */
export class FanOutSource implements ShardSource {
  readonly #deps: FanOutDeps;
  readonly #shardId: string;
  /**
   * How long nothing may come. It doubles when nothing did: an event of 2 MiB over a slow line, or to a busy machine, may take
   * longer than Kinesis is silent, and would be begun again and again for ever.
   */
  #patienceMs: number;

  constructor(deps: FanOutDeps, shardId: string) {
    this.#deps = deps;
    this.#shardId = shardId;
    this.#patienceMs = deps.stallMs ?? STALL_MS;
  }

  async *read(position: Position, signal: AbortSignal, progress: () => void): AsyncGenerator<RawBatch> {
    const { clock, renewAfterMs = RENEW_AFTER_MS, stallMs = STALL_MS } = this.#deps;
    // Its own: nothing but an abort ends the SDK's HTTP/2 session when the events are not read to their end.
    const connection = new AbortController();
    const abort = () => connection.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const events = await this.#subscribe(position, connection, progress);
      const renewAt = clock.monotonic() + renewAfterMs;
      while (clock.monotonic() < renewAt) {
        const askedAt = clock.monotonic();
        const { done, value } = await this.#inTime(events.next(), connection);
        progress();
        // The end of the subscription's time; a broken connection looks the same to the SDK.
        if (done) return;
        if (clock.monotonic() - askedAt < stallMs / 2) this.#patienceMs = stallMs;
        const event = value.SubscribeToShardEvent;
        if (event) yield toBatch(event);
        if (event?.ChildShards?.length) return;
      }
    } catch (error) {
      if (error instanceof ResourceNotFoundException) this.#deps.consumer.forget();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      connection.abort();
    }
  }

  async #subscribe(
    position: Position,
    connection: AbortController,
    progress: () => void,
  ): Promise<AsyncIterator<SubscribeToShardEventStream>> {
    const { client, consumer } = this.#deps;
    const ConsumerARN = await consumer.arn();
    // At each step: all of them together may take longer than the time after which a shard's loop counts as stuck.
    progress();
    const answer = await this.#inTime(
      client.send(
        new SubscribeToShardCommand({
          ConsumerARN,
          ShardId: this.#shardId,
          StartingPosition: toApi(position),
        }),
        { abortSignal: connection.signal },
      ),
      connection,
    );
    progress();
    const events = answer.EventStream?.[Symbol.asyncIterator]();
    if (!events)
      throw new WeirError('subscription-empty', `SubscribeToShard gave no events`, { retryable: true });
    return {
      next: () =>
        events.next().catch((error: unknown) => {
          throw error instanceof ResourceInUseException
            ? new SubscriptionTakenError(this.#shardId, error)
            : error;
        }),
    };
  }

  /** @throws SubscriptionStalledError when nothing came in time; StoppedError when the connection was ended. */
  async #inTime<T>(coming: Promise<T>, connection: AbortController): Promise<T> {
    const { clock, stallMs = STALL_MS } = this.#deps;
    const patienceMs = this.#patienceMs;
    const over = new AbortController();
    const end = () => over.abort();
    connection.signal.addEventListener('abort', end, { once: true });
    const late = clock.sleep(patienceMs, over.signal).then(() => {
      if (over.signal.aborted) throw new StoppedError();
      this.#patienceMs = Math.min(patienceMs * 2, stallMs * MAX_PATIENCE);
      throw new SubscriptionStalledError(this.#shardId, patienceMs);
    });
    try {
      return await Promise.race([coming, late]);
    } finally {
      connection.signal.removeEventListener('abort', end);
      over.abort();
    }
  }
}

function toBatch(event: SubscribeToShardEvent): RawBatch {
  const ended = (event.ChildShards?.length ?? 0) > 0;
  return {
    records: event.Records ?? [],
    millisBehindLatest: event.MillisBehindLatest ?? 0,
    continueAfter: event.ContinuationSequenceNumber ?? event.Records?.at(-1)?.SequenceNumber,
    children: ended ? childrenOf(event.ChildShards) : undefined,
  };
}
