import {
  ACCOUNT,
  decodeToken,
  encodeToken,
  type Input,
  inUse,
  invalidArgument,
  KinesisError,
  limitExceeded,
  optionalInteger,
  optionalText,
  streamArn,
  text,
} from './protocol.ts';
import type { KinesisService } from './service.ts';
import type { Stream } from './stream.ts';

const CONSUMER_NAME = /^[a-zA-Z0-9_.-]{1,128}$/;
const MAX_RESULTS = { default: 100, max: 10_000 };

/** A registered consumer of enhanced fan-out. */
export interface StreamConsumer {
  readonly name: string;
  readonly arn: string;
  readonly stream: Stream;
  /** ms since the epoch. */
  readonly createdAt: number;
  /** CREATING until then; ms since the epoch. */
  readonly activeAt: number;
  /** DELETING until then, and gone afterwards; undefined when it is to stay. */
  deletedAt: number | undefined;
}

/** The registered consumers of all streams. */
export class Consumers {
  readonly #byArn = new Map<string, StreamConsumer>();

  /** Those of a stream, by name. */
  of(stream: Stream, now: number): StreamConsumer[] {
    return [...this.#byArn.values()]
      .filter((consumer) => consumer.stream === stream && !this.#isGone(consumer, now))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  byArn(arn: string, now: number): StreamConsumer | undefined {
    const consumer = this.#byArn.get(arn);
    return consumer && !this.#isGone(consumer, now) ? consumer : undefined;
  }

  add(stream: Stream, name: string, now: number, changeMs: number): StreamConsumer {
    const consumer: StreamConsumer = {
      name,
      arn: `${streamArn(stream.settings.name)}/consumer/${name}:${Math.floor(now / 1000)}`,
      stream,
      createdAt: now,
      activeAt: now + changeMs,
      deletedAt: undefined,
    };
    this.#byArn.set(consumer.arn, consumer);
    return consumer;
  }

  #isGone(consumer: StreamConsumer, now: number): boolean {
    if (!consumer.stream.deleted && (consumer.deletedAt === undefined || now < consumer.deletedAt))
      return false;
    this.#byArn.delete(consumer.arn);
    return true;
  }
}

export function consumerStatus({ activeAt, deletedAt }: StreamConsumer, now: number): string {
  if (deletedAt !== undefined) return 'DELETING';
  return now < activeAt ? 'CREATING' : 'ACTIVE';
}

export function registerStreamConsumer(service: KinesisService, input: Input): object {
  service.countCall('RegisterStreamConsumer', service.limits.controlPerSecond);
  const stream = service.usableStream({ StreamARN: text(input, 'StreamARN', 2_048) });
  const name = consumerName(text(input, 'ConsumerName', 128));
  const { now } = service;
  const existing = service.consumers.of(stream, now);
  if (existing.some((consumer) => consumer.name === name)) {
    throw inUse(`Consumer ${name} under stream ${stream.settings.name} already exists.`);
  }
  if (existing.length >= service.limits.consumersPerStream) {
    throw limitExceeded(
      `This request would exceed the limit of ${service.limits.consumersPerStream} consumers of stream ${stream.settings.name} under account ${ACCOUNT}.`,
    );
  }
  const consumer = service.consumers.add(stream, name, now, service.options.changeMs);
  return { Consumer: describe(consumer, now) };
}

export function describeStreamConsumer(service: KinesisService, input: Input): object {
  service.countCall('DescribeStreamConsumer', service.limits.describePerSecond);
  const consumer = namedConsumer(service, input);
  return {
    ConsumerDescription: {
      ...describe(consumer, service.now),
      StreamARN: streamArn(consumer.stream.settings.name),
    },
  };
}

export function deregisterStreamConsumer(service: KinesisService, input: Input): void {
  service.countCall('DeregisterStreamConsumer', service.limits.controlPerSecond);
  const consumer = namedConsumer(service, input);
  consumer.deletedAt ??= service.now + service.options.changeMs;
}

export function listStreamConsumers(service: KinesisService, input: Input): object {
  service.countCall('ListStreamConsumers', service.limits.controlPerSecond);
  const stream = service.stream({ StreamARN: text(input, 'StreamARN', 2_048) });
  const limit = optionalInteger(input, 'MaxResults', 1, MAX_RESULTS.max) ?? MAX_RESULTS.default;
  const token = optionalText(input, 'NextToken', 1_048_576);
  const after = token === undefined ? '' : decodeToken(token)?.[0];
  if (typeof after !== 'string') throw invalidArgument('NextToken is invalid.');
  const rest = service.consumers.of(stream, service.now).filter(({ name }) => name > after);
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  return {
    Consumers: page.map((consumer) => describe(consumer, service.now)),
    ...(last && rest.length > page.length ? { NextToken: encodeToken([last.name]) } : {}),
  };
}

/** The consumer that an input names by its ARN, or by its name and the stream's ARN. @throws KinesisError */
function namedConsumer(service: KinesisService, input: Input): StreamConsumer {
  const arn = optionalText(input, 'ConsumerARN', 2_048);
  if (arn !== undefined) {
    const consumer = service.consumers.byArn(arn, service.now);
    if (!consumer) throw consumerNotFound(arn);
    return consumer;
  }
  const stream = service.stream({ StreamARN: text(input, 'StreamARN', 2_048) });
  const name = consumerName(text(input, 'ConsumerName', 128));
  const consumer = service.consumers.of(stream, service.now).find((known) => known.name === name);
  if (!consumer) throw consumerNotFound(name);
  return consumer;
}

export function consumerNotFound(consumer: string): KinesisError {
  return new KinesisError(
    'ResourceNotFoundException',
    `Consumer ${consumer} under account ${ACCOUNT} not found.`,
  );
}

function consumerName(name: string): string {
  if (CONSUMER_NAME.test(name)) return name;
  throw new KinesisError(
    'ValidationException',
    `Value '${name}' at 'consumerName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+`,
  );
}

function describe(consumer: StreamConsumer, now: number): object {
  return {
    ConsumerARN: consumer.arn,
    ConsumerCreationTimestamp: consumer.createdAt / 1000,
    ConsumerName: consumer.name,
    ConsumerStatus: consumerStatus(consumer, now),
  };
}
