import { fullJitter, type Random } from '../../../shared/backoff.ts';
import type { Clock } from '../../../shared/clock.ts';
import { errorCode } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Progress } from '../../../shared/progress.ts';
import type { KubeClient, KubeObject, Resource } from '../api/client.ts';
import { ApiError, isApiError } from '../api/errors.ts';
import type { RuntimeMetrics } from '../metrics.ts';
import { Store } from './store.ts';

export interface ReflectorOptions {
  client: KubeClient;
  resource: Resource;
  /** Left out: all namespaces. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  progress: Progress;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: RuntimeMetrics;
  /** Objects a page. Default 500. */
  pageSize?: number;
  /** The server ends a watch after this to twice this, in ms. Default 5 min, as client-go. */
  watchTimeoutMs?: number;
  /**
   * A watch without a byte for this long is dead, in ms: the API server sends a bookmark each minute, so two were missed.
   * Default 150 s.
   */
  stallMs?: number;
  /** Time between two resyncs, in ms; 0 for none. Default 10 min, with jitter. */
  resyncMs?: number;
}

const DEFAULT_PAGE = 500;
const PAGE_TIMEOUT_MS = 60_000;
const DEFAULT_WATCH_TIMEOUT_MS = 300_000;
const DEFAULT_STALL_MS = 150_000;
const DEFAULT_RESYNC_MS = 600_000;
const BACKOFF = { baseMs: 800, maxMs: 30_000 };
/** A watch that lived this long was a good one: the next failure is a first one again. */
const GOOD_WATCH_MS = 30_000;

/**
 * Keeps a `Store` equal to what the API server has: list page by page, then watch from there; again from the last seen
 * version when a watch ends, breaks or stalls; list anew when the version is too old (410). Never gives up, and never
 * empties the store for a failure: an old view is better than none.
 *
 * Source: client-go's tools/cache/reflector.go; kubernetes.io, "API concepts: Efficient detection of changes".
 */
export class Reflector<T extends KubeObject> {
  readonly store: Store<T>;
  readonly #options: ReflectorOptions;
  readonly #stop = new AbortController();
  readonly #label: { resource: string };
  /** As liveness names it. */
  readonly #loop: string;
  #running: Promise<void> | undefined;
  #version: string | undefined;
  #failures = 0;
  #synced = false;
  #lastContact: number;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#label = { resource: options.resource.plural };
    this.#loop = `cache ${options.resource.plural}`;
    this.#lastContact = options.clock.monotonic();
    this.store = new Store<T>((error) => {
      options.metrics.handlerErrors.inc(this.#label);
      options.log.error({ err: error, ...this.#label }, 'a handler of the cache threw');
    });
  }

  /** True once a first list is in the store and its handlers were told. */
  get hasSynced(): boolean {
    return this.#synced;
  }

  /** Ms since the API server was last heard of on this list or watch. */
  get silentMs(): number {
    return this.#options.clock.monotonic() - this.#lastContact;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends list and watch; settles when no handler will be called any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#options.progress.forget(this.#loop);
  }

  /** Waits for the first list. @returns false when `signal` or the stop came first. */
  async synced(signal: AbortSignal): Promise<boolean> {
    while (!this.#synced && !signal.aborted && !this.#stop.signal.aborted) {
      await this.#options.clock.sleep(10, signal);
    }
    return this.#synced;
  }

  async #run(): Promise<void> {
    await Promise.all([this.#follow(), this.#resync()]);
  }

  async #follow(): Promise<void> {
    const { clock, log, random, metrics } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      try {
        if (this.#version === undefined) await this.#list();
        await this.#watch();
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        metrics.watchErrors.inc({ ...this.#label, reason: errorCode(error) });
        if (isApiError(error, 'gone')) {
          // Compacted away: what was missed can only be had by a new list.
          this.#version = undefined;
          log.info({ ...this.#label }, 'the watched version is too old, listing anew');
        } else log.warn({ err: error, ...this.#label }, 'list or watch failed, will go on');
        if (clock.monotonic() - startedAt > GOOD_WATCH_MS) this.#failures = 0;
        const asked = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
        const pause = asked + fullJitter(this.#failures++, BACKOFF, random);
        this.#gotOn(pause);
        await clock.sleep(pause, signal);
      }
    }
  }

  async #list(): Promise<void> {
    const { client, resource, namespace, labelSelector, pageSize = DEFAULT_PAGE, metrics } = this.#options;
    const objects: T[] = [];
    let token: string | undefined;
    let version = '';
    do {
      this.#gotOn(PAGE_TIMEOUT_MS);
      const page = await client.list<T>(resource, {
        namespace,
        labelSelector,
        limit: pageSize,
        continue: token,
        timeoutMs: PAGE_TIMEOUT_MS,
        signal: this.#stop.signal,
      });
      this.#heard();
      objects.push(...page.items);
      version = page.metadata.resourceVersion ?? '';
      token = page.metadata.continue || undefined;
    } while (token !== undefined);
    if (this.#stop.signal.aborted) return;
    metrics.lists.inc(this.#label);
    this.store.replace(objects);
    this.#version = version;
    this.#synced = true;
    metrics.cachedObjects.set(this.#label, this.store.size);
  }

  /** One watch, until the server ends it. @throws ApiError when it breaks, stalls or is told off. */
  async #watch(): Promise<void> {
    const { client, resource, namespace, labelSelector, clock, random, metrics } = this.#options;
    const { watchTimeoutMs = DEFAULT_WATCH_TIMEOUT_MS, stallMs = DEFAULT_STALL_MS } = this.#options;
    const cut = new AbortController();
    const ended = AbortSignal.any([cut.signal, this.#stop.signal]);
    let stalled = false;
    this.#heard();
    const guard = (async () => {
      while (!ended.aborted) {
        const left = stallMs - this.silentMs;
        if (left <= 0) {
          stalled = true;
          cut.abort();
        } else await clock.sleep(left, ended);
      }
    })();
    try {
      const events = client.watch<T>(
        resource,
        {
          namespace,
          labelSelector,
          resourceVersion: this.#version ?? '',
          // Spread, so that the watches of many controllers don't all come again at once.
          timeoutSeconds: Math.ceil((watchTimeoutMs / 1_000) * (1 + random())),
          signal: ended,
        },
        () => this.#heard(),
      );
      for await (const event of events) {
        if (this.#stop.signal.aborted) return;
        if (event.type === 'DELETED') this.store.delete(event.object);
        else if (event.type !== 'BOOKMARK') this.store.upsert(event.object);
        this.#version = event.object.metadata.resourceVersion;
        // Events prove that the server is well: after them a cut is no reason to wait long.
        this.#failures = 0;
        metrics.watchEvents.inc({ ...this.#label, type: event.type });
        metrics.cachedObjects.set(this.#label, this.store.size);
      }
    } catch (error) {
      if (!stalled) throw error;
    } finally {
      cut.abort();
      await guard;
    }
    if (stalled) throw new ApiError('timeout', `watch of ${resource.plural}: silent for ${stallMs} ms`);
  }

  async #resync(): Promise<void> {
    const { clock, random, resyncMs = DEFAULT_RESYNC_MS } = this.#options;
    if (resyncMs <= 0) return;
    const { signal } = this.#stop;
    for (;;) {
      await clock.sleep(resyncMs * (1 + random() * 0.2), signal);
      if (signal.aborted) return;
      if (this.#synced) this.store.resync();
    }
  }

  #heard(): void {
    this.#lastContact = this.#options.clock.monotonic();
    // The next step is to hear again, or to find the watch dead.
    this.#gotOn(this.#options.stallMs ?? DEFAULT_STALL_MS);
  }

  #gotOn(withinMs: number): void {
    this.#options.progress.tick(this.#loop, withinMs);
  }
}
