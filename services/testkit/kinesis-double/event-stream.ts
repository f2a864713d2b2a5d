import { EventStreamCodec } from '@smithy/eventstream-codec';

export const EVENT_STREAM_TYPE = 'application/vnd.amazon.eventstream';
const CONTENT = 'application/x-amz-json-1.1';

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString('utf8'),
  (text) => Buffer.from(text, 'utf8'),
);

/** An event of the `application/vnd.amazon.eventstream` framing: length, headers, payload, and a CRC over each part. */
export function eventFrame(type: string, payload: object): Uint8Array {
  return frame({ ':event-type': type, ':message-type': 'event' }, payload);
}

/** An error of the service in the middle of a stream; the SDK throws it where the next event would have come. */
export function exceptionFrame(type: string, message: string): Uint8Array {
  return frame({ ':exception-type': type, ':message-type': 'exception' }, { message });
}

function frame(headers: Readonly<Record<string, string>>, payload: object): Uint8Array {
  const all = { ...headers, ':content-type': CONTENT };
  return codec.encode({
    headers: Object.fromEntries(
      Object.entries(all).map(([name, value]) => [name, { type: 'string' as const, value }]),
    ),
    body: Buffer.from(JSON.stringify(payload)),
  });
}
