import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import pLimit from 'p-limit';
import { bucketsOf, parseMetrics, sumOf } from '../../shared/prometheus.ts';
import { type Counts, Totals } from '../view/totals.ts';

/** Pods that are read at most, those of both kinds together. */
const MAX_TARGETS = 64;
const CONCURRENT = 16;
const TIMEOUT_MS = 2_000;
const MAX_PAGE_BYTES = 2 * 1024 * 1024;

export interface Scrape {
  totals: Counts;
  /** Pods that answered, of those that there are. */
  producers: { answered: number; of: number };
  consumers: { answered: number; of: number };
}

/**
 * Reads the counters of the producers and consumers from their `/metrics`: it costs no AWS call, and it is where
 * the latency is. Keeps each pod's last counters, so that a restart doesn't count backwards.
 */
export class RatesReader {
  readonly #producerUrls: readonly string[];
  readonly #consumers: () => readonly string[];
  readonly #totals = new Totals();

  /** @param consumers `host:port` of the admin servers of the consumers. */
  constructor(producerUrls: readonly string[], consumers: () => readonly string[]) {
    this.#producerUrls = producerUrls;
    this.#consumers = consumers;
  }

  async read(signal: AbortSignal): Promise<Scrape> {
    const producers = (await Promise.all(this.#producerUrls.map(eachAddress))).flat();
    const consumers = this.#consumers().map((address) => `http://${address}/metrics`);
    const limit = pLimit(CONCURRENT);
    const scrape = (urls: readonly string[], counts: (page: string) => Counts) =>
      Promise.all(
        urls.map((url) =>
          limit(async () => {
            const page = await fetchPage(url, signal);
            if (page !== undefined) this.#totals.take(url, counts(page));
            return page !== undefined;
          }),
        ),
      );
    const [fromProducers, fromConsumers] = await Promise.all([
      scrape(producers.slice(0, MAX_TARGETS / 2), producerCounts),
      scrape(consumers.slice(0, MAX_TARGETS / 2), consumerCounts),
    ]);
    this.#totals.keep(new Set([...producers, ...consumers]));
    const tally = (answers: readonly boolean[], of: number) => ({
      answered: answers.filter(Boolean).length,
      of,
    });
    return {
      totals: this.#totals.sum(),
      producers: tally(fromProducers, producers.length),
      consumers: tally(fromConsumers, consumers.length),
    };
  }
}

function producerCounts(page: string): Counts {
  return { in: sumOf(parseMetrics(page), 'weir_producer_events_total', { outcome: 'stored' }) };
}

function consumerCounts(page: string): Counts {
  const samples = parseMetrics(page);
  const records = (outcome: string) => sumOf(samples, 'weir_consumer_records_total', { outcome });
  const counts: Record<string, number> = {
    scored: records('stored') + records('rolled_up'),
    dead: records('dead_letter'),
    anomalies: sumOf(samples, 'weir_consumer_verdicts_total', { role: 'champion', verdict: 'anomaly' }),
  };
  for (const { bound, count } of bucketsOf(samples, 'weir_consumer_end_to_end_seconds'))
    counts[`le:${bound}`] = count;
  return counts;
}

/** The page, or `undefined` when there is none to be had: a pod that is starting or gone. */
async function fetchPage(url: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(url, {
      // The address comes from a table: it must not send us elsewhere.
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > MAX_PAGE_BYTES) return undefined;
      chunks.push(chunk);
    }
    return response.ok ? Buffer.concat(chunks).toString('utf8') : undefined;
  } catch {
    return undefined;
  }
}

/** The URL with each address that its host has. */
async function eachAddress(url: string): Promise<string[]> {
  const parsed = new URL(url);
  if (parsed.protocol !== 'http:') return [url];
  const addresses = await lookup(parsed.hostname.replace(/^\[|\]$/g, ''), { all: true }).catch(() => []);
  return addresses
    .map(({ address }) => {
      parsed.hostname = isIPv6(address) ? `[${address}]` : address;
      return parsed.href;
    })
    .sort();
}
