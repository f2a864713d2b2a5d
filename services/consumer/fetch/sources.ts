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
  log: Logger,
): ShardSourceFactory {
  if (mode === 'polling') return (shardId) => new PollingSource(polling, shardId);
  if (mode === 'fanout') return (shardId) => new FanOutSource(fanOut, shardId);
  const choice = new Choice(log);
  return (shardId) =>
    new AutoSource(choice, new FanOutSource(fanOut, shardId), new PollingSource(polling, shardId));
}

/** Whether the process can have enhanced fan-out: found out once, by the first answer that tells. */
class Choice {
  readonly #log: Logger;
  #state: 'open' | 'fanout' | 'polling' = 'open';

  constructor(log: Logger) {
    this.#log = log;
  }

  get polling(): boolean {
    return this.#state === 'polling';
  }

  fanOutWorks(): void {
    if (this.#state === 'open') this.#state = 'fanout';
  }

  /** @returns true when the error means that shards are to be polled from now on. */
  falls(error: unknown): boolean {
    if (this.#state === 'open' && isUnavailable(error)) {
      this.#state = 'polling';
      this.#log.warn(
        { err: error, code: errorCode(error) },
        'enhanced fan-out is not to be had: shards are polled (FETCH=auto)',
      );
    }
    return this.polling;
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
    if (!this.#choice.polling) {
      try {
        for await (const batch of this.#fanOut.read(position, signal, progress)) {
          this.#choice.fanOutWorks();
          yield batch;
        }
        return;
      } catch (error) {
        if (!this.#choice.falls(error)) throw error;
      }
    }
    yield* this.#polling.read(position, signal, progress);
  }
}

/** What service and network say when there is no fan-out here: not permitted, too many consumers, no HTTP/2. */
const UNAVAILABLE = new Set([
  'AccessDeniedException',
  'UnknownOperationException',
  'ERR_HTTP2_ERROR',
  'ERR_HTTP2_PROTOCOL_ERROR',
  'ERR_HTTP2_STREAM_ERROR',
  'ERR_HTTP2_SESSION_ERROR',
]);

function isUnavailable(error: unknown): boolean {
  if (error instanceof FanOutUnavailableError) return true;
  if (!(error instanceof Error)) return false;
  return UNAVAILABLE.has(error.name) || UNAVAILABLE.has(String((error as NodeJS.ErrnoException).code));
}
