import type { Request, RequestHandler, Response } from 'express';
import type { Clock } from '../../shared/clock.ts';
import type { NotStoredError } from '../errors.ts';
import type { Ingest, RequestContext } from '../ingest/ingest.ts';
import type { Outcome, StoredEvent } from '../ingest/outcome.ts';
import type { RawEvent } from '../ingest/raw-event.ts';
import type { ProducerMetrics } from '../metrics.ts';
import { type BodyBudget, readBody } from './body-reader.ts';
import { fromBinaryMode, fromCloudEvent, isBinaryMode } from './cloud-events.ts';
import { parseJson } from './json-body.ts';
import { bodyKind } from './media-type.ts';
import { HttpProblem } from './problems.ts';
import { idempotencyKeyOf, requestContext } from './request-context.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

export interface SendDeps {
  ingest: Pick<Ingest, 'accept'>;
  /** Why nothing can be taken now; asked before a body is read. */
  refusal: (bytes: number) => NotStoredError | undefined;
  /** True from the first signal on: a connection is closed with its next answer. */
  draining: () => boolean;
  budget: BodyBudget;
  maxEventBytes: number;
  clock: Clock;
  metrics: ProducerMetrics;
}

/** What a request takes while it waits for its answer, beside its event; measured, with Node's and express's objects. */
const REQUEST_BYTES = 8 * 1024;

const HINT =
  'send the event as JSON in UTF-8, with the header "Content-Type: application/json", or as a CloudEvent';

/** `POST /send`: checks, enriches and stores one event, and answers once Kinesis has it. */
export function send(deps: SendDeps): RequestHandler {
  const { clock, metrics } = deps;
  return async (request, response) => {
    const { answer, readAt } = await accept(request, response, deps);
    const stored = await answer;
    metrics.events.inc({ outcome: 'stored' });
    metrics.requestSeconds.observe((clock.monotonic() - readAt) / 1000);
    closeWhenDraining(response, deps);
    answerJson(response, 200, answerOf(stored));
  };
}

/**
 * Takes the event in. What waits for its answer doesn't hold it any more: parsed, it may take many times the bytes that
 * the buffer counts for it.
 *
 * @returns when the last byte of the request was there, monotonic in ms.
 */
async function accept(
  request: Request,
  response: Response,
  deps: SendDeps,
): Promise<{ answer: Promise<StoredEvent>; readAt: number }> {
  const { budget, clock } = deps;
  const raw = await readEvent(request, deps);
  const readAt = clock.monotonic();
  // Also when a client sends its requests without waiting for answers: connections alone would not bound them.
  budget.take(REQUEST_BYTES);
  const context = requestContext(request, response, clock.now());
  const answer = store(raw, context, deps).finally(() => budget.give(REQUEST_BYTES));
  return { answer, readAt };
}

async function readEvent(request: Request, deps: SendDeps): Promise<RawEvent> {
  const { headers } = request;
  const kind = bodyKind(headers['content-type'], ['json', 'cloudevent'], HINT);
  const refused = deps.refusal(Number(headers['content-length'] ?? 0));
  if (refused) throw refused;
  const body = await readBody(request, { limit: deps.maxEventBytes, budget: deps.budget });
  // Parsed, the bytes are of no more use.
  body.release();
  const value = parseJson(body.bytes);
  const header = idempotencyKeyOf(request);
  if (kind === 'cloudevent' || isBinaryMode(headers)) {
    const event = kind === 'cloudevent' ? fromCloudEvent(value) : fromBinaryMode(headers, value);
    return { ...event, idempotencyKey: header ?? event.idempotencyKey };
  }
  return { value, idempotencyKey: header };
}

function store(raw: RawEvent, context: RequestContext, { ingest }: SendDeps): Promise<StoredEvent> {
  const { promise, resolve, reject } = Promise.withResolvers<StoredEvent>();
  const settled = (_: number, outcome: Outcome) =>
    outcome instanceof HttpProblem ? reject(outcome) : resolve(outcome);
  ingest.accept(raw, context, { settled }, 0);
  return promise;
}

function answerOf({ data, position: { shardId, sequenceNumber, subSequenceNumber } }: StoredEvent): string {
  const position = {
    shard_id: shardId,
    sequence_number: sequenceNumber,
    ...(subSequenceNumber === undefined ? {} : { sub_sequence_number: subSequenceNumber }),
  };
  return `{"status":"sent","payload":${data.toString()},"kinesis_response":${JSON.stringify(position)}}\n`;
}

const JSON_HEADERS = [...SECURITY_HEADERS, 'content-type', 'application/json; charset=utf-8'];

/** All headers in one go: with `SECURITY_HEADERS` made once, that saves about a twentieth of what a request costs. */
export function answerJson(response: Response, status: number, body: string): void {
  response.writeHead(status, [...JSON_HEADERS, 'content-length', String(Buffer.byteLength(body))]);
  response.end(body);
}

/** Decided with the answer, not with the request: the signal may come in between. */
export function closeWhenDraining(response: Response, { draining }: Pick<SendDeps, 'draining'>): void {
  if (draining()) response.setHeader('connection', 'close');
}
