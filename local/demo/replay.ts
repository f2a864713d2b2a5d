import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { DemoEvent } from './dataset.ts';

/** Requests in flight over all sources. */
const CONCURRENCY = 40;
/** How long one event is tried again before the replay gives it up. */
const GIVE_UP_MS = 60_000;
const REQUEST_TIMEOUT_MS = 10_000;

/** What the producer answered for an event. */
export interface Receipt {
  requestId: string;
  sequenceNumber: string;
}

export interface ReplayOptions {
  producerUrl: string;
  /** Prefix of the idempotency keys: a request that is made again counts once. */
  run: string;
  /** Events a second; undefined means as fast as they are answered. */
  rate: number | undefined;
  onSent: () => void;
  signal: AbortSignal;
}

/** An event was refused for good. */
class ReplayError extends Error {
  override readonly name = 'ReplayError';
}

/**
 * Posts the events in their order, as a client of each source would: the next event of a source leaves when the
 * one before it is stored. Throttles, 5xx and broken connections are tried again with the same idempotency key.
 *
 * @returns the receipts, in the order of the events. Ends early, with fewer, when `signal` aborts.
 * @throws ReplayError when an event is refused, or not taken within a minute.
 */
export async function replay(events: readonly DemoEvent[], options: ReplayOptions): Promise<Receipt[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const limit = pLimit(CONCURRENCY);
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const startedAt = performance.now();
  const lastOfSource = new Map<string, Promise<unknown>>();
  const receipts: Promise<Receipt | undefined>[] = [];
  try {
    for (const [i, event] of events.entries()) {
      while (limit.pendingCount > 0 && !signal.aborted) await sleep(1);
      if (options.rate !== undefined) await pace(startedAt + (i * 1000) / options.rate, signal);
      if (signal.aborted) break;
      const before = lastOfSource.get(event.source);
      const receipt = limit(async () => {
        await before;
        if (signal.aborted) return undefined;
        const stored = await send(event, `${options.run}:${i}`, agent, options, signal);
        if (stored) options.onSent();
        return stored;
      });
      receipt.catch(() => failure.abort());
      lastOfSource.set(event.source, receipt);
      receipts.push(receipt);
    }
    return (await Promise.all(receipts)).filter((receipt) => receipt !== undefined);
  } finally {
    await Promise.allSettled(receipts);
    agent.destroy();
  }
}

async function pace(at: number, signal: AbortSignal): Promise<void> {
  const ms = at - performance.now();
  if (ms > 1) await sleep(ms, undefined, { signal }).catch(() => {});
}

async function send(
  event: DemoEvent,
  idempotencyKey: string,
  agent: Agent,
  { producerUrl }: ReplayOptions,
  signal: AbortSignal,
): Promise<Receipt | undefined> {
  const body = JSON.stringify(event);
  const deadline = performance.now() + GIVE_UP_MS;
  for (let attempt = 0; ; attempt++) {
    let problem: string;
    let waitMs = Math.random() * Math.min(2_000, 100 * 2 ** attempt);
    try {
      const { response, text } = await post(`${producerUrl}/send`, body, idempotencyKey, agent);
      if (response.statusCode === 200) return receiptOf(text);
      problem = `${response.statusCode} ${text.trim()}`;
      const again = response.statusCode === 429 || (response.statusCode ?? 0) >= 500;
      if (!again) throw new ReplayError(`the producer refused ${body}: ${problem}`);
      const retryAfter = Number(response.headers['retry-after']);
      if (retryAfter > 0) waitMs += retryAfter * 1000;
    } catch (error) {
      if (error instanceof ReplayError) throw error;
      problem = String(error);
    }
    if (signal.aborted) return undefined;
    if (performance.now() + waitMs > deadline)
      throw new ReplayError(`the producer did not take ${body}: ${problem}`);
    await sleep(waitMs, undefined, { signal }).catch(() => {});
  }
}

function receiptOf(text: string): Receipt {
  const answer = JSON.parse(text) as {
    payload: { request_id: string };
    kinesis_response: { sequence_number: string };
  };
  return { requestId: answer.payload.request_id, sequenceNumber: answer.kinesis_response.sequence_number };
}

function post(url: string, body: string, idempotencyKey: string, agent: Agent) {
  return new Promise<{ response: IncomingMessage; text: string }>((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: 'POST',
        agent,
        timeout: REQUEST_TIMEOUT_MS,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'idempotency-key': idempotencyKey,
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ response, text }));
        response.on('error', reject);
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
