import { WeirError } from '../../shared/errors.ts';

/** Enhanced fan-out can't be had as it is configured; the message says what to do. */
export class FanOutUnavailableError extends WeirError {
  constructor(message: string) {
    super('fan-out-unavailable', message);
  }
}

/** Another call of the same consumer has taken this shard's subscription over. */
export class SubscriptionTakenError extends WeirError {
  constructor(shardId: string, cause: unknown) {
    super('subscription-taken', `the subscription to ${shardId} was taken over`, { retryable: true, cause });
  }
}

/** Nothing came over a subscription for longer than Kinesis is ever silent. */
export class SubscriptionStalledError extends WeirError {
  constructor(shardId: string, ms: number) {
    super('subscription-stalled', `nothing came of ${shardId} in ${ms} ms`, { retryable: true });
  }
}
