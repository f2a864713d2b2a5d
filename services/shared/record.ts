import { InvalidEventError } from './errors.ts';
import type { EnrichedEvent } from './event.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** An event as the bytes of one Kinesis record: UTF-8 JSON. */
export function encodeRecord(event: EnrichedEvent): Buffer {
  return Buffer.from(JSON.stringify(event));
}

/**
 * The JSON value in the bytes of a Kinesis record.
 *
 * @throws InvalidEventError `record-not-utf8` or `record-not-json`.
 */
export function decodeRecord(data: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(data);
  } catch (error) {
    throw new InvalidEventError(
      'record-not-utf8',
      [{ pointer: '', detail: 'the record is not UTF-8' }],
      error,
    );
  }
  try {
    return JSON.parse(text);
  } catch {
    // JSON.parse quotes the text it choked on: what a client wrote stays out of our message and out of logs.
    throw new InvalidEventError('record-not-json', [{ pointer: '', detail: 'the record is not JSON' }]);
  }
}
