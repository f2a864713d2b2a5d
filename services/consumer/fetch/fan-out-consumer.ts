import {
  DescribeStreamConsumerCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  LimitExceededException,
  RegisterStreamConsumerCommand,
  ResourceInUseException,
  ResourceNotFoundException,
} from '@aws-sdk/client-kinesis';
import type { Clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import { FanOutUnavailableError } from './errors.ts';

const ACTIVE_POLL_MS = 500;
const ACTIVE_POLLS = 60;

export interface FanOutConsumerDeps {
  client: KinesisClient;
  stream: string;
  /** Name or ARN of the registered consumer. */
  consumer: string;
  /** Registers a name that isn't. */
  register: boolean;
  clock: Clock;
}

/**
 * The registered consumer that this application's workers share. It is looked up, and registered if need be, at first
 * use; it is never deregistered, since other workers use it.
 */
export class FanOutConsumer {
  readonly #deps: FanOutConsumerDeps;
  #arn: Promise<string> | undefined;

  constructor(deps: FanOutConsumerDeps) {
    this.#deps = deps;
  }

  /** @throws FanOutUnavailableError, or what a call failed with; the next call tries again. */
  arn(): Promise<string> {
    this.#arn ??= this.#find().catch((error: unknown) => {
      this.#arn = undefined;
      throw error;
    });
    return this.#arn;
  }

  /** It is looked up anew at the next use: somebody may have deregistered it. */
  forget(): void {
    this.#arn = undefined;
  }

  async #find(): Promise<string> {
    const { client, stream, consumer, clock } = this.#deps;
    if (consumer.startsWith('arn:')) return consumer;
    const { StreamDescriptionSummary } = await client.send(
      new DescribeStreamSummaryCommand({ StreamName: stream }),
    );
    const StreamARN = StreamDescriptionSummary?.StreamARN;
    for (let poll = 0; poll < ACTIVE_POLLS; poll++) {
      if (poll > 0) await clock.sleep(ACTIVE_POLL_MS);
      const found = await this.#describe(StreamARN);
      if (found?.ConsumerStatus === 'ACTIVE' && found.ConsumerARN !== undefined) return found.ConsumerARN;
      if (found === undefined) await this.#register(StreamARN);
    }
    throw new WeirError('fan-out-not-active', `consumer ${consumer} of ${stream} did not become ACTIVE`, {
      retryable: true,
    });
  }

  async #describe(StreamARN: string | undefined) {
    const { client, consumer } = this.#deps;
    try {
      const answer = await client.send(
        new DescribeStreamConsumerCommand({ StreamARN, ConsumerName: consumer }),
      );
      return answer.ConsumerDescription;
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  }

  async #register(StreamARN: string | undefined): Promise<void> {
    const { client, stream, consumer, register } = this.#deps;
    if (!register) {
      throw new FanOutUnavailableError(
        `stream ${stream} has no registered consumer ${consumer}: register it, or set FANOUT_REGISTER=true`,
      );
    }
    try {
      await client.send(new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: consumer }));
    } catch (error) {
      if (error instanceof LimitExceededException) {
        throw new FanOutUnavailableError(`${consumer} can't be registered with ${stream}: ${error.message}`);
      }
      // Another worker was quicker: it is there, or about to be.
      if (!(error instanceof ResourceInUseException)) throw error;
    }
  }
}
