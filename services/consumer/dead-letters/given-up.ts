import type { KinesisStreamRecord } from 'aws-lambda';
import * as z from 'zod';
import { WeirError } from '../../shared/errors.ts';
import { fromEvent } from '../lambda/kinesis-event.ts';
import type { DeadLetter } from '../sinks/dead-letters.ts';
import { GIVEN_UP } from './dead-letter-queue.ts';

/** Of a stream, or where the mapping has fan-out of its consumer: the event source is that then. */
const SOURCE_ARN = /^arn:[^:]+:kinesis:[^/]+\/([\w.-]+)(?:\/consumer\/[\w.-]+:\d+)?$/;

const event = z.object({
  Records: z
    .array(
      z.object({
        eventID: z.string().regex(/^shardId-\d+:\d+$/),
        eventSourceARN: z.string().regex(SOURCE_ARN),
        kinesis: z.object({
          sequenceNumber: z.string().regex(/^\d+$/),
          partitionKey: z.string().min(1).max(256),
          data: z.base64(),
          // Seconds; to the end of the year 9999.
          approximateArrivalTimestamp: z.number().nonnegative().max(253_402_300_799),
        }),
      }),
    )
    .min(1),
});
const condition = z.object({ requestContext: z.object({ condition: z.string() }) });
/** All that a destination other than a bucket is sent. */
const place = z.object({
  KinesisBatchInfo: z.object({
    streamArn: z.string(),
    shardId: z.string(),
    startSequenceNumber: z.string(),
    endSequenceNumber: z.string(),
  }),
});

/** Records that never came to their end in the function, by stream. */
export interface GivenUp {
  stream: string;
  letters: DeadLetter[];
}

/**
 * The user records of a batch that an event source mapping gave up, out of what it wrote to its on-failure destination in S3,
 * or of an invocation's event. They have no result, and the records after them do: invoking the function with them again would take them for
 * done where a state is kept of their sources. As dead letters they can be redriven.
 *
 * @param text JSON as the object in the bucket has it. @throws WeirError `batch-unreadable`.
 * Source: AWS Lambda developer guide, "Retaining discarded batch records for a Kinesis data stream", 2026.
 */
export function givenUpRecords(text: string): GivenUp[] {
  const found = payloadOf(text);
  const parsed = event.safeParse(found.payload);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new WeirError(
      'batch-unreadable',
      withoutRecords(found.payload) ??
        `this is no batch of a Kinesis event source: ${issue?.path.join('.')} ${issue?.message}`,
    );
  }
  const byStream = new Map<string, DeadLetter[]>();
  for (const record of parsed.data.Records) {
    const [, stream = ''] = SOURCE_ARN.exec(record.eventSourceARN) ?? [];
    const letters = byStream.get(stream) ?? [];
    byStream.set(stream, letters);
    const records = fromEvent(
      record as KinesisStreamRecord,
      { corrupt: 'quarantine', stray: 'accept' },
      undefined,
    );
    for (const one of records) {
      const { reason = GIVEN_UP, message = found.why } = one.refused ?? {};
      letters.push({ record: one, reason, errorCode: reason, message });
    }
  }
  return Array.from(byStream, ([stream, letters]) => ({ stream, letters }));
}

/** What to do with an object that has no payload. */
function withoutRecords(object: unknown): string | undefined {
  const found = place.safeParse(object).data?.KinesisBatchInfo;
  if (!found) return undefined;
  const { streamArn, shardId, startSequenceNumber: from, endSequenceNumber: to } = found;
  return (
    'this says where the batch was and has none of its records, as destinations in SQS and SNS get it: give the mapping a ' +
    `bucket. Until the stream's retention is over they are in ${shardId} of ${streamArn}, from ${from} to ${to}`
  );
}

function payloadOf(text: string): { payload: unknown; why: string } {
  try {
    const object = JSON.parse(text) as { payload?: unknown } | null;
    const why = condition.safeParse(object).data?.requestContext.condition ?? 'the batch was given up';
    const payload = object?.payload ?? object;
    return { payload: typeof payload === 'string' ? JSON.parse(payload) : payload, why };
  } catch (error) {
    throw new WeirError('batch-unreadable', 'this is no JSON', { cause: error });
  }
}
