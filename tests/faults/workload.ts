import { type KinesisClient, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { Aggregator, hashKeyOf } from '../../services/shared/kpl/aggregate.ts';
import { listShards, type ShardInfo } from '../../services/shared/list-shards.ts';
import type { Draw } from '../../services/testkit/seeded-random.ts';

const MAX_RECORDS_PER_PUT = 500;
const MAX_AGGREGATE_BYTES = 1_000_000;
const START = Date.UTC(2026, 0, 1);
/** A producer's retry comes this many events of its source later at most: well within the window of request ids. */
const RETRY_WITHIN = 20;
/** Its events are put into whatever shard, as by a writer with an old shard map. */
const STRAY = 'stray';

/** A record for the stream: a user's, with the key that it has in an aggregate or by itself. */
interface Event {
  key: string;
  data: Buffer;
}

interface Entry {
  PartitionKey: string;
  ExplicitHashKey?: string;
  Data: Uint8Array;
}

export interface WorkloadOptions {
  sources: number;
  /** Whether some events are on the stream twice. */
  retries: boolean;
  /** Share of the puts that are aggregates, 0 to 1. */
  aggregated: number;
}

/**
 * What producers put on the stream of a run, good and bad: plain records and aggregates, retries of what was stored, events
 * without an id, records that are no events, broken aggregates, an item too large for its table. The order within each
 * source is the order of putting.
 */
export class Workload {
  readonly #draw: Draw;
  readonly #client: KinesisClient;
  readonly #stream: string;
  readonly #options: WorkloadOptions;
  readonly #recent = new Map<string, Event[]>();
  #n = 0;

  constructor(draw: Draw, client: KinesisClient, stream: string, options: WorkloadOptions) {
    this.#draw = draw;
    this.#client = client;
    this.#stream = stream;
    this.#options = options;
  }

  /** Puts about so many events; the stream must not be resharding. */
  async put(events: number): Promise<void> {
    const shards = (await listShards(this.#client, this.#stream)).filter(({ open }) => open);
    for (let left = events; left > 0; ) {
      const count = Math.min(left, this.#draw.integer(1, 160));
      left -= count;
      const batch = Array.from({ length: count }, () => this.#event());
      const entries = this.#draw.chance(this.#options.aggregated)
        ? this.#aggregated(batch, shards)
        : batch.map(plain);
      if (this.#draw.chance(0.1)) entries.push(this.#broken());
      for (let i = 0; i < entries.length; i += MAX_RECORDS_PER_PUT) {
        await this.#send(entries.slice(i, i + MAX_RECORDS_PER_PUT));
      }
    }
  }

  async #send(entries: readonly Entry[]): Promise<void> {
    const command = new PutRecordsCommand({ StreamName: this.#stream, Records: [...entries] });
    const { FailedRecordCount } = await this.#client.send(command);
    if (FailedRecordCount) throw new Error(`the double refused ${FailedRecordCount} records`);
  }

  /** Aggregates, as few as Kinesis takes, each shard with its part of the batch in order. */
  #aggregated(batch: readonly Event[], shards: readonly ShardInfo[]): Entry[] {
    const byShard = new Map<ShardInfo, Aggregator[]>();
    for (const { key, data } of batch) {
      const shard = key === STRAY ? this.#draw.of(shards) : shardOf(key, shards);
      const aggregators = byShard.get(shard) ?? [];
      byShard.set(shard, aggregators);
      const record = { partitionKey: key, data };
      const open = aggregators.at(-1);
      const room = open !== undefined && open.sizeWith(record) <= MAX_AGGREGATE_BYTES;
      const aggregator = room ? open : new Aggregator();
      if (!room) aggregators.push(aggregator);
      aggregator.add(record);
    }
    return Array.from(byShard).flatMap(([shard, aggregators]) =>
      aggregators.map((aggregator) => ({
        PartitionKey: 'a',
        ExplicitHashKey: shard.hashKeyRange.starting,
        Data: aggregator.encode(),
      })),
    );
  }

  #event(): Event {
    const draw = this.#draw;
    const n = this.#n++;
    if (draw.chance(0.01))
      return { key: STRAY, data: text({ source: STRAY, amount: n, request_id: `id-${n}` }) };
    // Some sources have most of the events.
    const key = `s${Math.floor(draw.random() ** 2 * this.#options.sources)}`;
    if (draw.chance(0.01)) return { key, data: poison(draw, n) };
    const recent = this.#recent.get(key) ?? [];
    this.#recent.set(key, recent);
    if (this.#options.retries && recent.length > 0 && draw.chance(0.06)) return draw.of(recent);
    const amount = draw.chance(0.05) ? draw.integer(1_000, 90_000) : Math.round(draw.random() * 99_900) / 100;
    const anonymous = draw.chance(0.02);
    const data = text({
      source: key,
      amount,
      timestamp: new Date(START + n * 1_000).toISOString(),
      ...(anonymous ? {} : { request_id: `id-${n}` }),
      n,
      // Over the 400 KB of an item, in a record that Kinesis takes.
      ...(draw.chance(0.0005) ? { pad: 'x'.repeat(420_000) } : {}),
    });
    const event = { key, data };
    if (!anonymous) recent.push(event);
    if (recent.length > RETRY_WITHIN) recent.shift();
    return event;
  }

  /** An aggregate with a byte too many: its checksum is wrong. */
  #broken(): Entry {
    const aggregator = new Aggregator();
    const n = this.#n++;
    aggregator.add({ partitionKey: 's0', data: text({ source: 's0', amount: n, request_id: `id-${n}` }) });
    return { PartitionKey: `b${n}`, Data: Buffer.concat([aggregator.encode(), Buffer.from([0])]) };
  }
}

const plain = ({ key, data }: Event): Entry => ({ PartitionKey: key, Data: data });

function poison(draw: Draw, n: number): Buffer {
  return draw.of([
    Buffer.from(`{"amount": ${n}`),
    text({ source: 's0', n }),
    text({ source: 's0', amount: 'much', n }),
    Buffer.from([0xff, 0xfe, n & 0xff]),
  ]);
}

function text(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function shardOf(key: string, shards: readonly ShardInfo[]): ShardInfo {
  const hash = hashKeyOf({ partitionKey: key });
  const found = shards.find(
    ({ hashKeyRange }) => BigInt(hashKeyRange.starting) <= hash && hash <= BigInt(hashKeyRange.ending),
  );
  if (!found) throw new Error(`no shard has the hash key of ${key}`);
  return found;
}
