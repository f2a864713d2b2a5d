import { hash } from 'node:crypto';
import type { Outcome, StoredEvent } from './outcome.ts';

/** What an entry costs besides the event's bytes: ids, position, map slot. */
const OVERHEAD_BYTES = 512;

interface Entry {
  fingerprint: string;
  expiresAt: number;
  /** The answer; undefined while the first request with the key still waits for it. */
  stored: StoredEvent | undefined;
  waiting: ((outcome: Outcome) => void)[];
  bytes: number;
}

export interface WindowLimits {
  maxBytes: number;
  maxAgeMs: number;
}

/** What a key turned out to be. */
export type Lookup =
  /** Nobody is at it: the caller is, until `finish`. */
  | 'first'
  /** Another request with this key and event has an answer, or will have one: the caller gets it too. */
  | 'again'
  /** The key was used for another event. */
  | 'reused';

/**
 * Remembers answers by request id, which the idempotency key determines, so that a retry to the same pod gets the same
 * answer. Only successes are remembered: after a failure the retry is a try. Bounded by bytes, the oldest go first; past
 * it, and across pods, the deterministic `request_id` makes the event count once all the same.
 */
export class IdempotencyWindow {
  readonly #limits: WindowLimits;
  readonly #now: () => number;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** @param now monotonic, in ms. */
  constructor(limits: WindowLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param id of the event: UUID of its source and key.
   * @param event as it was posted, so that the same key with another event is found out.
   * @param answer called, now or later, when the result is `again`.
   */
  enter(id: string, event: unknown, answer: (outcome: Outcome) => void): Lookup {
    const fingerprint = hash('sha1', JSON.stringify(event), 'base64');
    const known = this.#entries.get(id);
    if (known && (!known.stored || known.expiresAt > this.#now())) {
      if (known.fingerprint !== fingerprint) return 'reused';
      if (known.stored) answer(known.stored);
      else known.waiting.push(answer);
      return 'again';
    }
    if (known) this.#remove(id, known);
    const entry: Entry = { fingerprint, expiresAt: 0, stored: undefined, waiting: [], bytes: OVERHEAD_BYTES };
    this.#entries.set(id, entry);
    this.#bytes += entry.bytes;
    return 'first';
  }

  /** The answer for who was `first`, and for all who came since. */
  finish(id: string, outcome: Outcome): void {
    const entry = this.#entries.get(id);
    if (!entry || entry.stored) return;
    for (const answer of entry.waiting) answer(outcome);
    this.#remove(id, entry);
    if (!('position' in outcome)) return;
    entry.waiting = [];
    entry.stored = ownCopy(outcome);
    entry.expiresAt = this.#now() + this.#limits.maxAgeMs;
    entry.bytes = OVERHEAD_BYTES + outcome.data.byteLength;
    this.#entries.set(id, entry);
    this.#bytes += entry.bytes;
    this.#trim();
  }

  #trim(): void {
    for (const [id, entry] of this.#entries) {
      const expired = entry.stored && entry.expiresAt <= this.#now();
      if (this.#bytes <= this.#limits.maxBytes && !expired) return;
      // One without an answer is in the buffer, which bounds how many there are.
      if (entry.stored) this.#remove(id, entry);
    }
  }

  #remove(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
  }
}

/**
 * An answer without what hangs on it. The outcome itself knows who waited for it, and through that a whole batch and its
 * parsed events; its bytes are a part of a slab that Node shares between many buffers. All that would stay in memory with
 * it and be counted nowhere.
 */
function ownCopy({ requestId, data, position }: StoredEvent): StoredEvent {
  const own = Buffer.allocUnsafeSlow(data.byteLength);
  data.copy(own);
  return { requestId, data: own, position: { ...position } };
}
