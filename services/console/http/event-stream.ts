import type { ServerResponse } from 'node:http';
import type { Clock } from '../../shared/clock.ts';
import type { ConsoleMetrics } from '../metrics.ts';

/** A page that heard nothing for this long thinks that the connection is dead; proxies do so after 60 s. */
const HEARTBEAT_MS = 10_000;
/** What a browser waits before it connects again. */
const RETRY_MS = 1_000;
/** A page that takes nothing for this long is cut off. */
const STALL_MS = 30_000;

interface Viewer {
  response: ServerResponse;
  /** Since when it has taken nothing, by the monotonic clock. */
  blockedAt: number | undefined;
  /** Events were left out: it needs everything again. */
  missed: boolean;
  leave: () => void;
}

/**
 * Server-sent events to any number of pages. A page that is slow misses what comes meanwhile and gets everything again
 * once it takes data; so memory is bounded by one answer a page.
 * Source: HTML Living Standard, "Server-sent events".
 */
export class EventStream {
  readonly #viewers = new Set<Viewer>();
  readonly #clock: Clock;
  readonly #metrics: ConsoleMetrics;
  readonly #everything: () => Promise<unknown>;
  #heart: NodeJS.Timeout | undefined;

  /** @param everything what a page starts from, event `everything`. */
  constructor(deps: { clock: Clock; metrics: ConsoleMetrics; everything: () => Promise<unknown> }) {
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#everything = deps.everything;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** Takes a page. @param onLeave called once when it is gone. */
  join(response: ServerResponse, onLeave: () => void): void {
    const viewer: Viewer = {
      response,
      blockedAt: undefined,
      // Until everything was sent there is nothing that the rest could be added to.
      missed: true,
      leave: () => {
        if (!this.#viewers.delete(viewer)) return;
        if (this.#viewers.size === 0) clearInterval(this.#heart);
        this.#metrics.viewers.set(this.#viewers.size);
        onLeave();
      },
    };
    if (this.#viewers.size === 0) this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#viewers.add(viewer);
    this.#metrics.viewers.set(this.#viewers.size);
    response.on('close', viewer.leave);
    response.on('error', viewer.leave);
    response.on('drain', () => {
      viewer.blockedAt = undefined;
      if (viewer.missed) void this.#sendEverything(viewer);
    });
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx would gather it else.
      'x-accel-buffering': 'no',
    });
    this.#write(viewer, `retry: ${RETRY_MS}\n\n`);
    void this.#sendEverything(viewer);
  }

  /** Sends an event to all pages that keep up. */
  publish(event: string, data: unknown): void {
    if (this.#viewers.size === 0) return;
    const text = encode(event, data);
    for (const viewer of this.#viewers) {
      if (viewer.blockedAt !== undefined || viewer.missed) viewer.missed = true;
      else this.#write(viewer, text);
    }
  }

  /** Lets all pages go; they come back by themselves. */
  close(): void {
    clearInterval(this.#heart);
    for (const viewer of [...this.#viewers]) {
      viewer.response.end();
      viewer.leave();
    }
  }

  async #sendEverything(viewer: Viewer): Promise<void> {
    const everything = await this.#everything();
    if (!this.#viewers.has(viewer) || viewer.blockedAt !== undefined) return;
    viewer.missed = false;
    this.#write(viewer, encode('everything', everything));
  }

  #beat(): void {
    const now = this.#clock.monotonic();
    for (const viewer of [...this.#viewers]) {
      if (viewer.blockedAt === undefined) this.#write(viewer, ': still here\n\n');
      else if (now - viewer.blockedAt > STALL_MS) {
        this.#metrics.viewersCut.inc();
        viewer.response.destroy();
        viewer.leave();
      }
    }
  }

  #write(viewer: Viewer, text: string): void {
    if (!viewer.response.write(text)) viewer.blockedAt ??= this.#clock.monotonic();
  }
}

/** JSON has no line breaks outside of its strings, and escapes them inside: one `data` line holds it. */
function encode(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
