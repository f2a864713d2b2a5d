import { isIP } from 'node:net';
import type { Request, RequestHandler, Response } from 'express';
import type { Clock } from '../../shared/clock.ts';
import { InvalidEventError } from '../../shared/errors.ts';
import { enrichEvent, type IncomingEvent, parseEvent } from '../../shared/event.ts';
import { newRequestId, requestIdFromKey } from '../../shared/ids.ts';
import { encodeRecord } from '../../shared/record.ts';
import type { ProducerMetrics } from '../metrics.ts';
import type { StoredPosition } from '../sink/sink.ts';
import { parseBody } from './body.ts';
import { HttpProblem } from './problems.ts';

export interface SendDeps {
  batcher: { submit(partitionKey: string, data: Uint8Array): Promise<StoredPosition> };
  /** True from the first signal on: a connection is closed with its next answer. */
  draining: () => boolean;
  clock: Clock;
  metrics: ProducerMetrics;
}

/** 1 to 255 visible ASCII characters, as a quoted string (draft-ietf-httpapi-idempotency-key-header) or bare. */
const IDEMPOTENCY_KEY = /^(?:"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))$/;

/** `POST /send`: checks, enriches and stores one event, and answers once Kinesis has it. */
export function send(deps: SendDeps): RequestHandler {
  const { batcher, clock, metrics } = deps;
  return async (request, response) => {
    const startedAt = clock.monotonic();
    const event = toEvent(parseBody(request));
    const idempotencyKey = keyOf(request.headers['idempotency-key']);
    const data = encodeRecord(
      enrichEvent(event, {
        ingestion_timestamp: new Date(clock.now()).toISOString(),
        source_ip: sourceIp(request),
        request_id:
          idempotencyKey === undefined ? newRequestId() : requestIdFromKey(event.source, idempotencyKey),
      }),
    );
    const { shardId, sequenceNumber } = await batcher.submit(event.source, data);
    metrics.events.inc({ outcome: 'stored' });
    metrics.requestSeconds.observe((clock.monotonic() - startedAt) / 1000);
    const position = JSON.stringify({ shard_id: shardId, sequence_number: sequenceNumber });
    const body = `{"status":"sent","payload":${data.toString()},"kinesis_response":${position}}\n`;
    closeWhenDraining(response, deps);
    response.statusCode = 200;
    response.setHeader('content-type', 'application/json; charset=utf-8');
    response.end(body);
  };
}

/** Decided with the answer, not with the request: the signal may come in between. */
export function closeWhenDraining(response: Response, { draining }: Pick<SendDeps, 'draining'>): void {
  if (draining()) response.setHeader('connection', 'close');
}

/**
 * The client's address: as the trusted proxies tell it, else the connection's. What a proxy passed on that is no
 * address is not believed; an IPv4 address in IPv6 clothes (a dual-stack socket's) is shown as IPv4.
 */
function sourceIp(request: Request): string {
  const told = (request.ip ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(told) === 0 ? (request.socket.remoteAddress ?? '') : told;
}

function toEvent(value: unknown): IncomingEvent {
  try {
    return parseEvent(value);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    throw new HttpProblem('event-invalid', error.message, error.problems);
  }
}

function keyOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const match = typeof header === 'string' ? IDEMPOTENCY_KEY.exec(header) : null;
  const key = match?.[1] ?? match?.[2];
  if (key !== undefined) return key;
  throw new HttpProblem(
    'idempotency-key-invalid',
    'Idempotency-Key takes 1 to 255 visible ASCII characters, sent once',
  );
}
