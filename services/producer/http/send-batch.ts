import type { Request, RequestHandler } from 'express';
import type { Logger } from '../../shared/log.ts';
import { OUTCOME_BYTES } from '../config.ts';
import { NotStoredError } from '../errors.ts';
import { type RequestContext, toProblem } from '../ingest/ingest.ts';
import type { RawEvent } from '../ingest/raw-event.ts';
import { BatchOutcomes } from './batch-outcomes.ts';
import { eachChunk, readBody, tooLarge } from './body-reader.ts';
import { fromCloudEvent } from './cloud-events.ts';
import { checkedPieces, isLarge, parseArray, parseJson, parsePiece, tooMany } from './json-body.ts';
import { Lines } from './lines.ts';
import { type BodyKind, bodyKind } from './media-type.ts';
import { OneAtATime } from './one-at-a-time.ts';
import { HttpProblem } from './problems.ts';
import { idempotencyKeyOf, requestContext } from './request-context.ts';
import { answerJson, closeWhenDraining, type SendDeps } from './send.ts';
import { Turns } from './turns.ts';

export interface SendBatchDeps extends SendDeps {
  maxBatchBytes: number;
  maxBatchEvents: number;
  log: Logger;
}

const HINT =
  'send a JSON array ("application/json"), one event a line ("application/x-ndjson"), or CloudEvents ("application/cloudevents-batch+json")';
/** How often a batch looks at the clock whether its slice is over. */
const SLICE_EVENTS = 16;

/**
 * `POST /send/batch`: as `/send` for many events, each with an outcome of its own. NDJSON is taken while it comes in; the
 * other forms are checked as a whole first, so that one that is not JSON leaves nothing behind.
 */
export function sendBatch(deps: SendBatchDeps): RequestHandler {
  const oneLarge = new OneAtATime();
  const turns = new Turns();
  return async (request, response) => {
    const kind = bodyKind(request.headers['content-type'], ['json', 'ndjson', 'cloudevents-batch'], HINT);
    const refused = deps.refusal(0);
    if (refused) throw refused;
    const batch = new Batch(request, requestContext(request, response, deps.clock.now()), turns, deps);
    // Also when the client takes its time to read the answer, or leaves without it.
    response.once('close', () => batch.release());
    if (kind === 'ndjson') await batch.takeLines(request);
    else await batch.takeArray(request, kind, oneLarge);
    const { outcomes, readAt } = batch;
    await outcomes.all();
    deps.metrics.requestSeconds.observe((deps.clock.monotonic() - readAt) / 1000);
    if (outcomes.internal) {
      deps.log.error({ err: outcomes.internal.cause }, 'events of a batch failed');
    }
    const { status, retryAfterSeconds, body } = outcomes.answer();
    batch.hold(body.length);
    if (retryAfterSeconds > 0) response.setHeader('retry-after', String(retryAfterSeconds));
    if (!request.complete) response.setHeader('connection', 'close');
    closeWhenDraining(response, deps);
    answerJson(response, status, body);
  };
}

class Batch {
  readonly outcomes: BatchOutcomes;
  /** When the last byte of the request was there, monotonic in ms. */
  readAt = 0;
  readonly #deps: SendBatchDeps;
  readonly #context: RequestContext;
  readonly #key: string | undefined;
  readonly #turns: Turns;
  /** Of the budget, for the answer. */
  #held = 0;
  #released = false;

  constructor(request: Request, context: RequestContext, turns: Turns, deps: SendBatchDeps) {
    this.#turns = turns;
    this.#deps = deps;
    this.#context = context;
    this.#key = idempotencyKeyOf(request);
    this.outcomes = new BatchOutcomes(isCompact(request), deps.metrics);
  }

  /** Makes room for outcomes before there are any. @throws NotStoredError `buffer-full`. */
  #reserve(bytes: number): void {
    if (this.#released) return;
    this.#deps.budget.take(bytes);
    this.#held += bytes;
  }

  /** The answer is there: what it really has counts from now on, also when the budget is used up. */
  hold(bytes: number): void {
    if (this.#released) return;
    this.#deps.budget.give(this.#held - bytes);
    this.#held = bytes;
  }

  /** The answer is sent, or nobody is there to read it. */
  release(): void {
    this.#released = true;
    this.#deps.budget.give(this.#held);
    this.#held = 0;
  }

  async takeArray(request: Request, kind: BodyKind, oneLarge: OneAtATime): Promise<void> {
    const { maxBatchBytes, budget } = this.#deps;
    const body = await readBody(request, { limit: maxBatchBytes, budget });
    this.readAt = this.#deps.clock.monotonic();
    try {
      const { bytes } = body;
      // Several large ones at once would be no faster.
      await (isLarge(bytes)
        ? oneLarge.run(() => this.#takeLarge(bytes, kind))
        : this.#takeSmall(bytes, kind));
    } finally {
      body.release();
    }
  }

  async #takeSmall(bytes: Buffer, kind: BodyKind): Promise<void> {
    await this.#turns.next();
    const values = parseArray(bytes, this.#deps.maxBatchEvents);
    this.#expect(values.length);
    await this.#takeValues(values, kind);
  }

  async #takeLarge(bytes: Buffer, kind: BodyKind): Promise<void> {
    const { maxBatchEvents, maxEventBytes } = this.#deps;
    const { pieces, elements } = await checkedPieces(bytes, maxBatchEvents, maxEventBytes, this.#turns);
    this.#expect(elements);
    for (const piece of pieces) {
      await this.#turns.next();
      await this.#takeValues(parsePiece(piece, maxEventBytes), kind);
    }
  }

  #expect(events: number): void {
    if (events === 0) throw new HttpProblem('body-invalid', 'the batch is empty');
    this.#reserve(events * OUTCOME_BYTES);
  }

  /**
   * To be called in a turn, with what was parsed in it. Parsed, JSON may take twenty times its bytes: who holds some goes
   * on before anybody else parses more.
   */
  async #takeValues(values: readonly unknown[], kind: BodyKind): Promise<void> {
    const read = (value: unknown) => {
      if (value instanceof HttpProblem) throw value;
      return kind === 'json' ? plainEvent(value) : fromCloudEvent(value);
    };
    for (const value of values) {
      this.#take(value, read);
      if (this.outcomes.total % SLICE_EVENTS === 0 && this.#turns.over) await this.#turns.again();
    }
  }

  async takeLines(request: Request): Promise<void> {
    const { maxEventBytes, maxBatchBytes: limit, budget } = this.#deps;
    const lines = new Lines(maxEventBytes, budget);
    try {
      await eachChunk(request, { limit, budget }, (chunk) => this.#takeEach(lines.push(chunk)));
      await this.#takeEach(lines.end());
    } catch (error) {
      // What came before has been taken: its outcomes are told, and then why there are no more.
      const told = error instanceof HttpProblem || error instanceof NotStoredError;
      if (!told || this.outcomes.total === 0) throw error;
      this.outcomes.settled(this.outcomes.expect(undefined), toProblem(error));
    } finally {
      lines.clear();
    }
    if (this.outcomes.total === 0) throw new HttpProblem('body-invalid', 'the batch is empty');
    this.readAt = this.#deps.clock.monotonic();
  }

  async #takeEach(lines: Iterable<Buffer | undefined>): Promise<void> {
    const { maxEventBytes, maxBatchEvents } = this.#deps;
    const read = (line: Buffer | undefined) => {
      if (!line) throw tooLarge(maxEventBytes);
      return plainEvent(parseJson(line));
    };
    await this.#turns.next();
    for (const line of lines) {
      if (this.outcomes.total >= maxBatchEvents) throw tooMany(maxBatchEvents);
      this.#reserve(OUTCOME_BYTES);
      this.#take(line, read);
      if (this.outcomes.total % SLICE_EVENTS === 0 && this.#turns.over) await this.#turns.next();
    }
  }

  /** One event: an envelope that can't be read is an outcome like any other. */
  #take<T>(sent: T, read: (sent: T) => RawEvent): void {
    let raw: RawEvent;
    try {
      raw = read(sent);
    } catch (error) {
      if (!(error instanceof HttpProblem)) throw error;
      this.outcomes.settled(this.outcomes.expect(undefined), error);
      return;
    }
    const index = this.outcomes.expect(raw.clientId);
    // Each event its own key, the same one when the batch is sent again.
    if (this.#key !== undefined) raw.idempotencyKey ??= `${this.#key}/${index}`;
    this.#deps.ingest.accept(raw, this.#context, this.outcomes, index);
  }
}

/** The event itself; its field `id`, if it has one, comes back with its outcome. */
function plainEvent(value: unknown): RawEvent {
  const id = (value as { id?: unknown } | null)?.id;
  const known = typeof id === 'number' || (typeof id === 'string' && id.length <= 1_024);
  return { value, clientId: known ? id : undefined };
}

/** The query is read here alone: express's parser is off. */
function isCompact(request: Request): boolean {
  return new URLSearchParams(request.url.split('?', 2)[1]).get('compact') === 'true';
}
