import type { ProblemCode } from '../../services/producer/http/problems.ts';

/** What a client can do about each problem: no schema says it. */
export const ADVICE: Readonly<Record<ProblemCode, string>> = {
  'request-invalid':
    'no: its header, or how its body is cut, is not HTTP/1.1, or it has no `Host`; the connection is closed',
  'body-invalid': 'no: not JSON, not UTF-8, empty, or cut off',
  'idempotency-key-invalid': 'no',
  unauthenticated: 'no: with another key or token; `WWW-Authenticate` says how',
  'source-forbidden': 'no: a key or token may send the sources that it names',
  'not-found': 'no',
  'method-not-allowed': 'no: `Allow` names the methods',
  'request-timeout':
    'yes: it was not whole within `REQUEST_TIMEOUT_MS`, its header within 10 s; the connection is closed',
  'body-too-large': 'no',
  'media-type-unsupported': 'no',
  'expectation-unsupported': 'no: `Expect` may be `100-continue`',
  'event-invalid': 'no: `errors` says why',
  'idempotency-key-reused': 'no: a new event needs a new key',
  'quota-exceeded': 'yes, after `Retry-After`',
  throttled: 'yes, after `Retry-After`: the shard of this source is over its limits',
  'header-too-large': 'no: it may have 16 KiB; the connection is closed',
  internal: 'yes, with the same `Idempotency-Key`',
  'sink-unavailable':
    'yes, after `Retry-After`: Kinesis did not store it in time; it may have, so use an `Idempotency-Key`',
  'auth-unavailable': "yes, after `Retry-After`: the issuer's keys are not to be had",
  'buffer-full': 'yes, after `Retry-After`',
  draining: 'yes, after `Retry-After`: another pod takes it',
};

/** Who may send, besides the schemes that the document has. */
export const WHO = `Without a good key or token the answer is \`401\` with \`WWW-Authenticate\`. A key or token may send the sources that it names,
\`sensor-*\` being all that begin with \`sensor-\`: an event of another one is answered \`403\`, in a batch that event alone.
[How to make keys](../how-to/send-with-a-key.md).

Web pages may send events when their origin is in \`CORS_ORIGINS\`.`;

/** What is to be known of an operation, by its method and path. */
export const OPERATIONS: Readonly<Record<string, string>> = {
  'POST /send': `The body may have a \`Content-Encoding\`: \`gzip\`, \`deflate\` or \`br\`. It is at most \`MAX_EVENT_BYTES\` after decompression. Each
\`+json\` type is taken as \`application/json\`; a CloudEvent in binary mode has its \`ce-\` headers.`,
  'POST /send/batch': `Up to \`MAX_BATCH_EVENTS\` events and \`MAX_BATCH_BYTES\` after decompression. NDJSON is taken while it comes in: at a limit or a
broken connection the events before it have been taken, and one more outcome says why there are no more.

\`Retry-After\` is the longest of the events' waits; send the failed ones again, not the whole batch.`,
};

/** What is to be known of a body, by the name of its schema. */
export const BODIES: Readonly<Record<string, string>> = {
  Event: `Other fields are kept as they are: 20 levels; 2,000 keys, objects in arrays and arrays in arrays; no empty keys, no
\`__proto__\`. The producer sets \`ingestion_timestamp\`, \`source_ip\`, \`request_id\` and, when the request has one, \`traceparent\`; what a client puts there is overwritten.`,
  CloudEvent: 'Its context attributes are kept in the field `cloudevent` of the event.',
  Sent: 'Whether events share a Kinesis record is said by `AGGREGATION`.',
};

export const IDEMPOTENCY = `\`Idempotency-Key\` makes a retry count once: the same source and key give the same \`request_id\`, which is the key of the
result, in every pod. In one pod and within \`IDEMPOTENCY_WINDOW_MS\` and \`IDEMPOTENCY_WINDOW_BYTES\`, the retry also gets the
same answer, and the key with another event is refused. In a batch, the key of the n-th event is the header's with \`/n\` (from
0), so that a whole batch can be sent again; a CloudEvent keeps its own.`;
