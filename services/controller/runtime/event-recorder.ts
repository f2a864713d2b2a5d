import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { KubeClient, KubeObject, Resource } from './api/client.ts';
import { isApiError } from './api/errors.ts';
import { isoSeconds } from './conditions.ts';
import type { RuntimeMetrics } from './metrics.ts';

const EVENTS: Resource = { group: '', version: 'v1', plural: 'events', namespaced: true };

/** The bounds of client-go's correlator. */
const KNOWN_EVENTS = 4_096;
const BURST = 25;
const REFILL_MS = 300_000;
/** Tries of one Event, so long apart at least, in ms. */
const TRIES = 10;
const RETRY_MS = 1_000;
const QUEUE = 1_000;
const MAX_MESSAGE = 1_024;

interface Pending {
  object: KubeObject;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  at: number;
}

interface Known {
  name: string;
  count: number;
}

export interface EventRecorderOptions {
  client: KubeClient;
  /** `source.component` of the Events. */
  component: string;
  clock: Clock;
  log: Logger;
  metrics: RuntimeMetrics;
}

/**
 * Tells people of what happened to an object, as `kubectl describe` shows it. Never waits and never throws: an Event is a
 * courtesy. The same Event again counts up the first one; an object that has a lot to tell is cut short (25 at once, then
 * one in 5 min); what can't be sent is dropped, with a metric.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #queue: Pending[] = [];
  /** Least recently used first. */
  readonly #known = new Map<string, Known>();
  readonly #buckets = new Map<string, { tokens: number; at: number }>();
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** @param reason CamelCase, one of a fixed few; @param message a sentence. */
  record(object: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { clock, metrics } = this.#options;
    if (this.#stop.signal.aborted) return;
    if (!this.#allowed(object)) {
      metrics.events.inc({ outcome: 'limited' });
      return;
    }
    if (this.#queue.length >= QUEUE) {
      this.#queue.shift();
      metrics.events.inc({ outcome: 'dropped' });
    }
    this.#queue.push({ object, type, reason, message: message.slice(0, MAX_MESSAGE), at: clock.now() });
    this.#sending ??= this.#drain().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Sends what waits, for at most `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const sent = new AbortController();
    const sending = (this.#sending ?? Promise.resolve()).then(() => sent.abort());
    await this.#options.clock.sleep(graceMs, sent.signal);
    this.#stop.abort();
    await sending;
  }

  async #drain(): Promise<void> {
    const { metrics } = this.#options;
    for (let next = this.#queue.shift(); next && !this.#stop.signal.aborted; next = this.#queue.shift()) {
      metrics.events.inc({ outcome: await this.#deliver(next) });
    }
  }

  /** Tries again while the API server is not well, as late as it asks for; the others wait behind it, in their order. */
  async #deliver(event: Pending): Promise<'created' | 'counted' | 'failed'> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#send(event);
      } catch (error) {
        const passing = isApiError(error, 'too-many-requests', 'unavailable', 'timeout', 'network');
        if (!passing || tries === TRIES || signal.aborted) {
          log.warn({ err: error, reason: event.reason }, 'an Event could not be written');
          return 'failed';
        }
        await clock.sleep(Math.max(error.retryAfterMs ?? 0, RETRY_MS), signal);
      }
    }
  }

  async #send(event: Pending): Promise<'created' | 'counted'> {
    const { client } = this.#options;
    const { signal } = this.#stop;
    const id = identityOf(event);
    const namespace = event.object.metadata.namespace ?? 'default';
    const known = this.#known.get(id);
    if (known) {
      const patch = { count: known.count + 1, lastTimestamp: isoSeconds(event.at) };
      try {
        await client.patch(EVENTS, { namespace, name: known.name }, 'merge', patch, { signal });
        this.#remember(id, { name: known.name, count: known.count + 1 });
        return 'counted';
      } catch (error) {
        // The API server forgets Events after an hour: tell it as a new one.
        if (!isApiError(error, 'not-found')) throw error;
      }
    }
    const name = `${event.object.metadata.name.slice(0, 200)}.${id.slice(0, 12)}${event.at.toString(36)}`;
    await client.create(EVENTS, namespace, this.#body(event, namespace, name), { signal }).catch((error) => {
      // Of an earlier try whose answer was lost.
      if (!isApiError(error, 'already-exists')) throw error;
    });
    this.#remember(id, { name, count: 1 });
    return 'created';
  }

  #body({ object, type, reason, message, at }: Pending, namespace: string, name: string): object {
    const { apiVersion, kind, metadata } = object;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: {
        apiVersion,
        kind,
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resourceVersion: metadata.resourceVersion,
      },
      type,
      reason,
      message,
      source: { component: this.#options.component },
      firstTimestamp: isoSeconds(at),
      lastTimestamp: isoSeconds(at),
      count: 1,
    };
  }

  #remember(id: string, known: Known): void {
    this.#known.delete(id);
    this.#known.set(id, known);
    trim(this.#known);
  }

  #allowed(object: KubeObject): boolean {
    const now = this.#options.clock.monotonic();
    const key = object.metadata.uid ?? object.metadata.name;
    const bucket = this.#buckets.get(key) ?? { tokens: BURST, at: now };
    bucket.tokens = Math.min(BURST, bucket.tokens + (now - bucket.at) / REFILL_MS);
    bucket.at = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    trim(this.#buckets);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}

function trim(map: Map<string, unknown>): void {
  if (map.size > KNOWN_EVENTS) for (const oldest of map.keys()) return void map.delete(oldest);
}

function identityOf({ object, type, reason, message }: Pending): string {
  const parts = [object.metadata.uid ?? object.metadata.name, type, reason, message];
  return createHash('sha256').update(parts.join('\0')).digest('hex');
}
