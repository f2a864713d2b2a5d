import type { Clock } from '../../shared/clock.ts';
import { InvalidEventError, type WeirError } from '../../shared/errors.ts';
import { type IncomingEvent, parseEvent } from '../../shared/event.ts';
import { newRequestId, requestIdFromKey } from '../../shared/ids.ts';
import type { Quota } from '../admission/quota.ts';
import type { Answerable } from '../batching/batcher.ts';
import { NotStoredError, RecordTooLargeError } from '../errors.ts';
import { HttpProblem } from '../http/problems.ts';
import type { StoredPosition } from '../sink/sink.ts';
import type { Enricher } from './enricher.ts';
import type { IdempotencyWindow } from './idempotency-window.ts';
import type { OutcomeOwner, StoredEvent } from './outcome.ts';
import type { RawEvent } from './raw-event.ts';

/** What the producer adds to an event, at most. */
const ENRICHMENT_BYTES = 1_024;

/** What is the same for all events of a request. */
export interface RequestContext {
  /** Who counts against the quota: the authenticated client, or its address. */
  client: string;
  /** May the client send events of this source? */
  maySend: (source: string) => boolean;
  enricher: Enricher;
}

export interface IngestDeps {
  batcher: {
    offer(partitionKey: string, data: Uint8Array, owner: Answerable, index: number): WeirError | undefined;
  };
  window: IdempotencyWindow;
  clientQuota: Quota;
  sourceQuota: Quota;
  maxEventBytes: number;
  clock: Clock;
}

/** The way of one event from its client's JSON to its outcome: check, admit, enrich, store. Knows nothing of HTTP bodies. */
export class Ingest {
  readonly #deps: IngestDeps;

  constructor(deps: IngestDeps) {
    this.#deps = deps;
  }

  /**
   * @param index `owner` is told this with the outcome.
   */
  accept(raw: RawEvent, context: RequestContext, owner: OutcomeOwner, index: number): void {
    try {
      this.#accept(raw, context, owner, index);
    } catch (error) {
      owner.settled(index, toProblem(error));
    }
  }

  #accept(raw: RawEvent, context: RequestContext, owner: OutcomeOwner, index: number): void {
    const event = parseEvent(raw.value);
    const { source } = event;
    if (!context.maySend(source)) {
      throw new HttpProblem('source-forbidden', 'this client may not send events of this source');
    }
    const { idempotencyKey } = raw;
    if (idempotencyKey === undefined) {
      this.#store(event, newRequestId(), context, owner, index);
      return;
    }
    const { window } = this.#deps;
    const requestId = requestIdFromKey(source, idempotencyKey);
    const lookup = window.enter(requestId, raw.value, (outcome) => owner.settled(index, outcome));
    if (lookup === 'again') return;
    if (lookup === 'reused') {
      throw new HttpProblem(
        'idempotency-key-reused',
        'this key was used for another event; a new event needs a new key',
      );
    }
    const keyed: OutcomeOwner = {
      settled(_, outcome) {
        window.finish(requestId, outcome);
        owner.settled(index, outcome);
      },
    };
    try {
      this.#store(event, requestId, context, keyed, index);
    } catch (error) {
      keyed.settled(index, toProblem(error));
    }
  }

  /** @throws when the event is not taken; then `owner` hears nothing. */
  #store(
    event: IncomingEvent,
    requestId: string,
    { client, enricher }: RequestContext,
    owner: OutcomeOwner,
    index: number,
  ): void {
    this.#takeQuota(client, event.source);
    const data = enricher.encode(event, requestId);
    const { maxEventBytes } = this.#deps;
    if (data.byteLength > maxEventBytes + ENRICHMENT_BYTES) {
      throw new HttpProblem('body-too-large', `an event may have ${maxEventBytes} bytes`);
    }
    const refused = this.#deps.batcher.offer(event.source, data, new Ticket(owner, requestId, data), index);
    if (refused) throw refused;
  }

  #takeQuota(client: string, source: string): void {
    const { clientQuota, sourceQuota, clock } = this.#deps;
    if (!clientQuota.limited && !sourceQuota.limited) return;
    const now = clock.monotonic();
    const clientWaitMs = clientQuota.take(client, now);
    if (clientWaitMs > 0) throw overQuota('this client is', clientWaitMs);
    const sourceWaitMs = sourceQuota.take(source, now);
    if (sourceWaitMs > 0) throw overQuota('this source is', sourceWaitMs);
  }
}

/** Carries an event's answer from the batcher to the request that it came with; then it is the outcome. */
class Ticket implements Answerable, StoredEvent {
  readonly requestId: string;
  readonly data: Buffer;
  readonly #owner: OutcomeOwner;
  #position: StoredPosition | undefined;

  constructor(owner: OutcomeOwner, requestId: string, data: Buffer) {
    this.requestId = requestId;
    this.data = data;
    this.#owner = owner;
  }

  /** @throws TypeError before there is an answer: nobody has it yet. */
  get position(): StoredPosition {
    if (!this.#position) throw new TypeError('the event is not stored yet');
    return this.#position;
  }

  answer(index: number, answer: StoredPosition | NotStoredError): void {
    if (answer instanceof NotStoredError) {
      this.#owner.settled(index, toProblem(answer));
      return;
    }
    this.#position = answer;
    this.#owner.settled(index, this);
  }
}

function overQuota(who: string, waitMs: number): HttpProblem {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1_000));
  return new HttpProblem('quota-exceeded', `${who} over its quota of events a second`, { retryAfterSeconds });
}

/** What a client is told of an error: nothing of one that is our own fault. */
export function toProblem(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof InvalidEventError) {
    return new HttpProblem('event-invalid', error.message, { errors: error.problems });
  }
  if (error instanceof NotStoredError) {
    const { code, message, retryAfterSeconds } = error;
    return new HttpProblem(code, `${message}; send it again later`, { retryAfterSeconds });
  }
  if (error instanceof RecordTooLargeError) {
    return new HttpProblem('body-too-large', 'the event, as the stream would carry it, is over 1 MiB');
  }
  return new HttpProblem(
    'internal',
    'the event may not be stored; send it again with the same Idempotency-Key',
    {
      cause: error,
    },
  );
}
