import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { errorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { FanOutUnavailableError } from './errors.ts';
import { type FanOutDeps, FanOutSource } from './fan-out-source.ts';
import type { FetchMode } from './modes.ts';
import { type PollingDeps, PollingSource } from './polling-source.ts';
import type { Position, RawBatch, ShardSource, ShardSourceFactory } from './shard-source.ts';

/** Makes the sources of a process by `FETCH`. */
export function createSources(
  mode: FetchMode,
  polling: PollingDeps,
  fanOut: FanOutDeps,
  random: Random,
  log: Logger,
): ShardSourceFactory {
  if (mode === 'polling') return (shardId) => new PollingSource(polling, shardId);
  if (mode === 'fanout') return (shardId) => new FanOutSource(fanOut, shardId);
  const choice = new Choice(fanOut.clock, random, log);
  return (shardId) =>
    new AutoSource(choice, new FanOutSource(fanOut, shardId), new PollingSource(polling, shardId));
}

/** How long shards are polled before fan-out is tried again, in ms: doubled by each trial that fails, and up to half less, since all pods failed at once. */
const TRY_AGAIN = { leastMs: 60_000, mostMs: 3_600_000 };

/** Whether the process can have enhanced fan-out, as far as the answers told by now. */
class Choice {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  #state: 'open' | 'fanout' | 'polling' = 'open';
  #failures = 0;
  /** Monotonic ms from which on one shard may try fan-out again, while the others go on polling. */
  #tryAgainAt = 0;

  constructor(clock: Clock, random: Random, log: Logger) {
    this.#clock = clock;
    this.#random = random;
    this.#log = log;
  }

  /** How a shard is to be read next. A trial that is due goes to who asks first. */
  next(): 'fanout' | 'polling' {
    if (this.#state !== 'polling') return 'fanout';
    if (!this.changed) return 'polling';
    this.#postpone();
    return 'fanout';
  }

  /** True when a shard that is polled should ask again. */
  get changed(): boolean {
    return this.#state !== 'polling' || this.#clock.monotonic() >= this.#tryAgainAt;
  }

  fanOutWorks(): void {
    if (this.#state === 'polling') this.#log.info('enhanced fan-out is to be had again (FETCH=auto)');
    this.#state = 'fanout';
    this.#failures = 0;
  }

  /** @returns true when the error means that shards are to be polled for now. */
  falls(error: unknown): boolean {
    if (!isUnavailable(error, this.#state === 'fanout')) return this.#state === 'polling';
    if (this.#state !== 'polling') this.#postpone();
    this.#state = 'polling';
    const again = `${Math.round((this.#tryAgainAt - this.#clock.monotonic()) / 1000)} s`;
    this.#log.warn(
      { err: error, code: errorCode(error), again },
      'enhanced fan-out is not to be had: shards are polled until it is tried again (FETCH=auto)',
    );
    return true;
  }

  #postpone(): void {
    const waitMs = Math.min(TRY_AGAIN.mostMs, TRY_AGAIN.leastMs * 2 ** Math.min(this.#failures++, 30));
    this.#tryAgainAt = this.#clock.monotonic() + waitMs * (1 - this.#random() / 2);
  }
}

class AutoSource implements ShardSource {
  readonly #choice: Choice;
  readonly #fanOut: ShardSource;
  readonly #polling: ShardSource;

  constructor(choice: Choice, fanOut: ShardSource, polling: ShardSource) {
    this.#choice = choice;
    this.#fanOut = fanOut;
    this.#polling = polling;
  }

  async *read(position: Position, signal: AbortSignal, progress: () => void): AsyncGenerator<RawBatch> {
    if (this.#choice.next() === 'fanout') {
      let brought = false;
      try {
        for await (const batch of this.#fanOut.read(position, signal, progress)) {
          // Its first one: a subscription that goes on says nothing about whether another may be opened.
          if (!brought) this.#choice.fanOutWorks();
          brought = true;
          yield batch;
        }
        return;
      } catch (error) {
        // Once it brought something the reader is further on: it asks again from there.
        if (!this.#choice.falls(error) || brought) throw error;
      }
    }
    for await (const batch of this.#polling.read(position, signal, progress)) {
      yield batch;
      if (this.#choice.changed) return;
    }
  }
}

/** What says for sure that there is no fan-out for us. */
const FORBIDDEN = new Set(['AccessDeniedException', 'UnknownOperationException']);
/** What network and service say where nobody speaks HTTP/2; where it did work, they say it of a broken connection. */
const NO_HTTP2 = new Set([
  'ERR_HTTP2_ERROR',
  'ERR_HTTP2_PROTOCOL_ERROR',
  'ERR_HTTP2_STREAM_ERROR',
  'ERR_HTTP2_SESSION_ERROR',
]);

/** @param worked whether fan-out did until now. */
function isUnavailable(error: unknown, worked: boolean): boolean {
  if (error instanceof FanOutUnavailableError) return true;
  if (!(error instanceof Error)) return false;
  const names = [error.name, String((error as NodeJS.ErrnoException).code)];
  return names.some((name) => FORBIDDEN.has(name) || (!worked && NO_HTTP2.has(name)));
}
