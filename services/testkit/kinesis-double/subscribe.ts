import { consumerNotFound, consumerStatus, type StreamConsumer } from './consumers.ts';
import { ACCOUNT, type Input, inUse, isObject, oneOf, serialization, text } from './protocol.ts';
import { ITERATOR_TYPES, startIndex } from './read.ts';
import type { KinesisService } from './service.ts';
import type { Shard } from './shard.ts';
import { Subscription } from './subscription.ts';

/** A second call within this time of a successful one is refused; a later one takes the subscription over. */
const TAKE_OVER_MS = 5_000;

/** Who is subscribed to which shard, and when each pair of consumer and shard was last subscribed. */
export class Subscriptions {
  readonly #last = new Map<string, Subscription>();

  last(consumer: StreamConsumer, shard: Shard): Subscription | undefined {
    return this.#last.get(key(consumer, shard));
  }

  put(subscription: Subscription): void {
    this.#last.set(key(subscription.consumer, subscription.shard), subscription);
  }

  /** Those that are being pushed to. */
  get active(): Subscription[] {
    return [...this.#last.values()].filter((subscription) => !subscription.ended);
  }
}

function key(consumer: StreamConsumer, shard: Shard): string {
  return `${consumer.arn} ${shard.id}`;
}

/**
 * Carries out SubscribeToShard up to its answer; the caller then runs the subscription.
 *
 * @throws KinesisError ResourceNotFoundException, ResourceInUseException, LimitExceededException or
 *   InvalidArgumentException.
 */
export function subscribeToShard(service: KinesisService, input: Input): Subscription {
  const { now } = service;
  const arn = text(input, 'ConsumerARN', 2_048);
  const consumer = service.consumers.byArn(arn, now);
  if (!consumer) throw consumerNotFound(arn);
  const { stream } = consumer;
  const shard = service.shard(stream, text(input, 'ShardId', 128));
  const position = input.StartingPosition;
  if (!isObject(position)) throw serialization('StartingPosition is not an object');
  const status = consumerStatus(consumer, now);
  if (status !== 'ACTIVE')
    throw inUse(`Consumer ${consumer.name} under account ${ACCOUNT} not ACTIVE, instead in state ${status}`);
  service.countCall(`SubscribeToShard of ${arn} ${shard.id}`, service.limits.subscribesPerSecond);
  const index = startIndex(service, stream, shard, oneOf(position, 'Type', ITERATOR_TYPES), {
    StartingSequenceNumber: position.SequenceNumber,
    Timestamp: position.Timestamp,
  });
  const before = service.subscriptions.last(consumer, shard);
  if (before && now - before.startedAt < TAKE_OVER_MS) {
    throw inUse(
      `Another active subscription exists for this consumer: ${ACCOUNT}:${consumer.name}:${shard.id}`,
    );
  }
  before?.takeOver();
  const subscription = new Subscription(service, consumer, shard, index);
  service.subscriptions.put(subscription);
  return subscription;
}
