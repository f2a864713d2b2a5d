import * as z from 'zod';
import { fullJitter } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';

const REQUEST_TIMEOUT_MS = 60_000;
const BACKOFF = { baseMs: 200, maxMs: 5_000 };

/** An event that the producer refused for good. */
export interface Refusal {
  /** Place in the batch, from 0. */
  index: number;
  code: string;
  detail: string;
}

/** The answer to `POST /send/batch?compact=true`. */
const answerSchema = z.object({
  total: z.int(),
  failures: z.array(
    z.object({ index: z.int(), status: z.int(), code: z.string(), detail: z.string().optional() }),
  ),
});

export interface BatchClientDeps {
  /** Of the producer, without path. */
  url: string;
  /** API key or token. */
  key: string | undefined;
  /** How long one batch is tried again, in ms. */
  giveUpMs: number;
  clock: Clock;
  random: () => number;
  signal: AbortSignal;
}

/** Posts batches to a producer until each event is stored or refused for good. */
export class BatchClient {
  readonly #deps: BatchClientDeps;

  constructor(deps: BatchClientDeps) {
    this.#deps = deps;
  }

  /**
   * @param idempotencyKey of the batch: what is sent again counts once.
   * @returns what was refused; `undefined` when the signal aborted first: then it is not known what was stored.
   * @throws WeirError `send-failed` when the producer refuses the batch as a whole, or does not take it in time.
   */
  async send(lines: readonly Buffer[], idempotencyKey: string): Promise<Refusal[] | undefined> {
    const { clock, giveUpMs, random, signal } = this.#deps;
    const deadline = clock.monotonic() + giveUpMs;
    // A batch of which some events failed for now goes again as a whole: each event has its own key, so what is
    // stored already counts once, and the keys of the others stay what they are.
    for (let attempt = 0; !signal.aborted; attempt++) {
      const { refusals, problem, waitMs } = await this.#post(lines, idempotencyKey);
      if (refusals) return refusals;
      if (signal.aborted) return undefined;
      const wait = waitMs + fullJitter(attempt, BACKOFF, random);
      if (clock.monotonic() + wait > deadline) {
        throw new WeirError('send-failed', `the producer did not take the events: ${problem}`, {
          retryable: true,
        });
      }
      await clock.sleep(wait, signal);
    }
    return undefined;
  }

  async #post(
    lines: readonly Buffer[],
    idempotencyKey: string,
  ): Promise<{ refusals?: Refusal[]; problem: string; waitMs: number }> {
    const { url, key, signal } = this.#deps;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${url}/send/batch?compact=true`, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-ndjson',
          'idempotency-key': idempotencyKey,
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        },
        body: new Uint8Array(Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')]))),
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      });
      text = await response.text();
    } catch (error) {
      const { cause, message } = error as Error;
      return { problem: cause instanceof Error && cause.message ? cause.message : message, waitMs: 0 };
    }
    const retryAfter = Number(response.headers.get('retry-after'));
    const waitMs = retryAfter > 0 ? retryAfter * 1_000 : 0;
    if (response.status !== 200 && response.status !== 207) {
      const problem = `${response.status} ${text.trim().slice(0, 500)}`;
      if (isForNow(response.status)) return { problem, waitMs };
      throw new WeirError('send-failed', `${url} refused the batch: ${problem}`);
    }
    const { failures, total } = answerOf(text, url);
    // At a limit of the producer's there is one outcome more that says why it stopped.
    const cut =
      failures.find(({ index }) => index >= lines.length) ?? (total < lines.length ? failures[0] : undefined);
    if (cut) {
      throw new WeirError(
        'send-failed',
        `${url} took ${total} of ${lines.length} events of a batch (${cut.code}): use a smaller --batch`,
      );
    }
    const again = failures.find(({ status }) => isForNow(status));
    if (again) return { problem: `${again.code} ${again.detail ?? ''}`, waitMs };
    return {
      refusals: failures.map(({ index, code, detail = '' }) => ({ index, code, detail })),
      problem: '',
      waitMs,
    };
  }
}

function answerOf(text: string, url: string): z.output<typeof answerSchema> {
  try {
    return answerSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new WeirError('send-failed', `${url} does not answer as a producer of Weir: is the URL right?`, {
      cause: error,
    });
  }
}

function isForNow(status: number): boolean {
  return status === 429 || status >= 500 || status === 408;
}
