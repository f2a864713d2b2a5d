import type { ServerHttp2Stream } from 'node:http2';
import type { StreamConsumer } from './consumers.ts';
import { eventFrame, exceptionFrame } from './event-stream.ts';
import type { Fault } from './faults.ts';
import { Rate } from './limits.ts';
import { childShards, recordOnTheWire, take } from './read.ts';
import type { KinesisService } from './service.ts';
import type { KeptRecord, Shard } from './shard.ts';

/** An event comes at least this often, an empty one if need be. */
const HEARTBEAT_MS = 5_000;
const EVENT_BYTES = 1024 * 1024;
/** How long a subscription that is over its rate waits before it looks again. */
const RATE_WAIT_MS = 20;

type SubscriptionFault = Extract<Fault, { kind: 'subscription' }>;

/** Pushes one shard's records to one consumer, from an index on. */
export class Subscription {
  readonly consumer: StreamConsumer;
  readonly shard: Shard;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly #service: KinesisService;
  readonly #rate: Rate;
  #next: number;
  #sentAt: number;
  #ended = false;
  #takenOver = false;
  #waiting = new AbortController();

  constructor(service: KinesisService, consumer: StreamConsumer, shard: Shard, index: number) {
    this.#service = service;
    this.consumer = consumer;
    this.shard = shard;
    this.startedAt = service.now;
    this.#sentAt = service.now;
    this.#next = index;
    this.#rate = new Rate(service.limits.fanOutBytesPerSecond, service.now);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Another call of the same consumer got the shard: this one ends with ResourceInUseException. */
  takeOver(): void {
    this.#takenOver = true;
    this.#waiting.abort();
  }

  /** Pushes until the shard ends, the subscription's time is over, it is taken over, or `out` is closed. */
  async run(out: ServerHttp2Stream, fault?: SubscriptionFault): Promise<void> {
    const stopWatching = this.shard.watch(() => this.#waiting.abort());
    const closed = () => {
      this.#ended = true;
      this.#waiting.abort();
    };
    out.once('close', closed);
    try {
      await this.#write(out, eventFrame('initial-response', {}));
      await this.#push(out, fault);
    } finally {
      stopWatching();
      out.off('close', closed);
      this.#ended = true;
    }
  }

  async #push(out: ServerHttp2Stream, fault: SubscriptionFault | undefined): Promise<void> {
    const { subscriptionMs } = this.#service.options;
    for (let events = 0; !this.#ended; ) {
      if (fault && events >= (fault.afterEvents ?? 0)) return this.#befall(out, fault);
      // Before looking: what happens from here on ends the wait.
      this.#waiting = new AbortController();
      const { now } = this.#service;
      this.consumer.stream.settle(now);
      if (this.#takenOver) {
        await this.#write(
          out,
          exceptionFrame('ResourceInUseException', 'Another subscription has taken over.'),
        );
        break;
      }
      if (now - this.startedAt >= subscriptionMs || this.consumer.stream.deleted) break;
      const event = this.#event(now);
      if (event) {
        await this.#write(out, eventFrame('SubscribeToShardEvent', event.payload));
        this.#sentAt = now;
        events++;
        if (event.last) break;
      } else await this.#service.options.clock.sleep(this.#idleMs(now), this.#waiting.signal);
    }
    out.end();
  }

  /** What is to be pushed now, if anything is. */
  #event(now: number): { payload: object; last: boolean } | undefined {
    const { shard } = this;
    this.consumer.stream.trim([shard], now);
    const from = Math.max(this.#next, shard.begin);
    const records = this.#rate.allows(1, now) ? this.#ripe(from, now) : [];
    this.#next = from + records.length;
    this.#rate.take(
      records.reduce((sum, { size }) => sum + size, 0),
      now,
    );
    const last = shard.closedAt !== undefined && this.#next >= shard.end;
    if (records.length === 0 && !last && now - this.#sentAt < HEARTBEAT_MS) return undefined;
    const behind = records.at(-1);
    return {
      payload: {
        ...(last
          ? { ChildShards: childShards(shard) }
          : { ContinuationSequenceNumber: shard.numbers.at(this.#next - 1, now) }),
        MillisBehindLatest: behind && this.#next < shard.end ? Math.max(1, now - behind.arrivedAt) : 0,
        Records: records.map(recordOnTheWire),
      },
      last,
    };
  }

  /** Records that are old enough to be pushed. */
  #ripe(from: number, now: number): KeptRecord[] {
    const { pushDelayMs } = this.#service.options;
    const { readRecordsPerCall } = this.#service.limits;
    const records = take(this.shard, from, readRecordsPerCall, EVENT_BYTES);
    if (pushDelayMs === 0) return records;
    const unripe = records.findIndex(({ arrivedAt }) => arrivedAt + pushDelayMs > now);
    return unripe < 0 ? records : records.slice(0, unripe);
  }

  /** How long nothing will happen unless the shard changes, in ms. */
  #idleMs(now: number): number {
    const { pushDelayMs, subscriptionMs } = this.#service.options;
    const nextRecord = this.shard.at(Math.max(this.#next, this.shard.begin));
    const ripeAt = nextRecord ? nextRecord.arrivedAt + pushDelayMs : Number.POSITIVE_INFINITY;
    const at = Math.min(
      this.#sentAt + HEARTBEAT_MS,
      this.startedAt + subscriptionMs,
      this.consumer.stream.changeDueAt ?? Number.POSITIVE_INFINITY,
      ripeAt <= now ? now + RATE_WAIT_MS : ripeAt,
    );
    return Math.max(1, at - now);
  }

  async #befall(out: ServerHttp2Stream, fault: SubscriptionFault): Promise<void> {
    switch (fault.does) {
      case 'cut':
        out.session?.destroy();
        return;
      case 'stall':
        await closing(out);
        return;
      case 'error':
        await this.#write(
          out,
          exceptionFrame(fault.type ?? 'InternalFailureException', 'Injected by the test.'),
        );
        break;
      case 'garble': {
        const bytes = Buffer.from(eventFrame('SubscribeToShardEvent', { Records: [] }));
        bytes.writeUInt32BE(0, bytes.length - 4);
        await this.#write(out, bytes);
      }
    }
    out.end();
  }

  /** Resolves when the client has room for more: it is the client's reading that sets the pace. */
  async #write(out: ServerHttp2Stream, bytes: Uint8Array): Promise<void> {
    if (this.#ended || out.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const goOn = () => {
        out.off('drain', goOn);
        out.off('close', goOn);
        resolve();
      };
      out.on('drain', goOn);
      out.on('close', goOn);
    });
  }
}

async function closing(out: ServerHttp2Stream): Promise<void> {
  if (out.closed) return;
  await new Promise<void>((resolve) => out.once('close', resolve));
}
