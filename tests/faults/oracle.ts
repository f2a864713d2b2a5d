import type { Detector } from '../../services/detectors/detector.ts';
import { idFromPosition } from '../../services/shared/ids.ts';
import { deaggregate, hashKeyOf } from '../../services/shared/kpl/aggregate.ts';
import type { ShardInfo } from '../../services/shared/list-shards.ts';
import type { RunConfig } from './schedule.ts';

const MINUTE_MS = 60_000;
const MAX_ITEM_BYTES = 400 * 1024;

type Plain = Record<string, unknown>;

/** A Kinesis record as the double keeps it. */
interface Stored {
  shardId: string;
  sequenceNumber: string;
  partitionKey: string;
  data: Buffer;
  arrivedAt: number;
}

interface User extends Stored {
  sub: number | undefined;
}

interface Series {
  detector: unknown;
  /** The last ids, oldest first. */
  window: string[];
  rollup:
    | {
        minute: number;
        count: number;
        sum: number;
        min: number;
        max: number;
        scores: number;
        anomalies: number;
      }
    | undefined;
  last: User;
}

/** What the tables must hold, by key; numbers are numbers, bytes hexadecimal. */
export interface Tables {
  records: Map<string, Plain>;
  /** Rollups and states, by `series part`. */
  states: Map<string, Plain>;
  deadLetters: Map<string, Plain>;
}

/**
 * Replays a stream offline: every record once, in order, parents before their children, on one machine that never fails.
 * Written from the contracts (docs/explanation/exactly-once.md), not from the pipeline: of the consumer's code it uses none.
 */
export class Oracle {
  readonly tables: Tables = { records: new Map(), states: new Map(), deadLetters: new Map() };
  readonly #series = new Map<string, Series>();
  readonly #config: RunConfig;
  readonly #stream: string;
  readonly #detector: Detector;
  readonly #stateful: boolean;

  constructor(config: RunConfig, stream: string, detector: Detector) {
    this.#config = config;
    this.#stream = stream;
    this.#detector = detector;
    this.#stateful = !detector.stateless || config.store === 'anomalies' || config.dedupeWindow > 0;
  }

  /** @param records of the whole stream, in order within each shard; @param shards all there were. */
  replay(records: readonly Stored[], shards: readonly ShardInfo[]): Tables {
    // Kinesis numbers shards in the order of their creation.
    for (const shard of [...shards].sort((a, b) => (a.shardId < b.shardId ? -1 : 1))) {
      for (const record of records) {
        if (record.shardId === shard.shardId) this.#kinesisRecord(record, shard);
      }
    }
    if (this.#stateful) for (const [name, series] of this.#series) this.#state(name, series);
    return this.tables;
  }

  #kinesisRecord(record: Stored, shard: ShardInfo): void {
    const read = deaggregate(record.data);
    if (read.kind === 'corrupt') this.#dead({ ...record, sub: undefined }, 'aggregate-corrupt');
    else if (read.kind === 'plain') this.#userRecord({ ...record, sub: undefined }, shard);
    else {
      for (const [sub, { partitionKey, data }] of [...read.records].entries()) {
        this.#userRecord({ ...record, partitionKey, data: Buffer.from(data), sub }, shard);
      }
    }
  }

  #userRecord(user: User, shard: ShardInfo): void {
    const { data, partitionKey, sequenceNumber, sub, arrivedAt } = user;
    const event = parse(data);
    if (typeof event === 'string') {
      this.#dead(user, event);
      return;
    }
    const {
      source = partitionKey,
      amount,
      timestamp,
      request_id,
      redriven_from,
      ...payload
    } = event as Plain & { source?: string };
    if (typeof amount !== 'number') {
      this.#dead(user, 'event-invalid');
      return;
    }
    const id = (request_id as string | undefined) ?? idFromPosition(this.#stream, sequenceNumber, sub ?? 0);
    const name = seriesName(source, user, shard);
    const series = this.#series.get(name) ?? {
      detector: this.#detector.initial(),
      window: [],
      rollup: undefined,
      last: user,
    };
    this.#series.set(name, series);
    series.last = user;
    const { dedupeWindow, store } = this.#config;
    if (dedupeWindow > 0) {
      // A redrive is no retry of the record that it was, but of another redrive of it.
      const known = redriven_from === undefined ? id : `${redriven_from} ${id}`;
      if (series.window.includes(known)) return;
      series.window.push(known);
      if (series.window.length > dedupeWindow) series.window.shift();
    }
    const time = (timestamp as string | undefined) ?? new Date(arrivedAt).toISOString();
    const verdict = this.#detector.score(series.detector, { source, amount, timestamp: Date.parse(time) });
    if (store === 'anomalies') this.#rollUp(name, source, series, arrivedAt, amount, verdict);
    if (store === 'anomalies' && !verdict.isAnomaly) return;
    // Of what the workload makes, only a record that is itself nearly as large comes to an item that is too large.
    if (data.length > MAX_ITEM_BYTES) {
      this.#dead(user, 'item-refused');
      return;
    }
    this.tables.records.set(id, {
      id,
      source,
      amount,
      timestamp: time,
      kinesis_metadata: {
        partition_key: partitionKey,
        sequence_number: sequenceNumber,
        approximate_arrival_timestamp: arrivedAt / 1000,
        shard_id: user.shardId,
        ...(sub === undefined ? {} : { sub_sequence_number: sub }),
      },
      anomaly_score: verdict.score,
      is_anomaly: verdict.isAnomaly,
      detection_method: verdict.method,
      payload,
      ...(verdict.isAnomaly
        ? { anomaly_day: iso(arrivedAt).slice(0, 10), anomaly_time: iso(arrivedAt) }
        : {}),
    });
  }

  #rollUp(
    name: string,
    source: string,
    series: Series,
    arrivedAt: number,
    amount: number,
    verdict: { score: number; isAnomaly: boolean },
  ): void {
    const minute = Math.floor(arrivedAt / MINUTE_MS) * MINUTE_MS;
    const open = series.rollup;
    if (open && minute > open.minute) {
      const part = `minute#${iso(open.minute).slice(0, 16)}Z`;
      this.tables.states.set(`${name} ${part}`, { series: name, part, source, ...figures(open) });
      series.rollup = undefined;
    }
    series.rollup ??= { minute, count: 0, sum: 0, min: amount, max: amount, scores: 0, anomalies: 0 };
    const { rollup } = series;
    rollup.count++;
    rollup.sum += amount;
    rollup.min = Math.min(rollup.min, amount);
    rollup.max = Math.max(rollup.max, amount);
    rollup.scores += verdict.score;
    if (verdict.isAnomaly) rollup.anomalies++;
  }

  #state(name: string, { detector, rollup, window, last }: Series): void {
    const { stateless, stateVersion, name: detectorName } = this.#detector;
    this.tables.states.set(`${name} state`, {
      series: name,
      part: 'state',
      watermark: `${last.shardId}/${digits(last.sequenceNumber)}/${digits(String(last.sub ?? 0))}`,
      ids: window.length,
      ...(stateless
        ? {}
        : { [`detector:${detectorName}@${stateVersion}`]: hex(this.#detector.encode(detector)) }),
      ...(rollup ? { rollup: figures(rollup) } : {}),
    });
  }

  #dead({ shardId, sequenceNumber, sub, partitionKey, data }: User, reason: string): void {
    const id = `${this.#stream}/${shardId}/${sequenceNumber}${sub === undefined ? '' : `.${sub}`}`;
    this.tables.deadLetters.set(id, { id, reason, partition_key: partitionKey, data: hex(data) });
  }
}

/** The event in a record, or the reason why there is none. */
function parse(data: Buffer): Plain | string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch {
    return 'record-not-utf8';
  }
  try {
    return JSON.parse(text);
  } catch {
    return 'record-not-json';
  }
}

/** All sources of the workload are their own partition key. */
function seriesName(source: string, { partitionKey, shardId }: User, { hashKeyRange }: ShardInfo): string {
  const hash = hashKeyOf({ partitionKey });
  const home = hash >= BigInt(hashKeyRange.starting) && hash <= BigInt(hashKeyRange.ending);
  return home ? source : JSON.stringify([source, partitionKey, shardId]);
}

function figures({ minute, count, sum, min, max, scores, anomalies }: NonNullable<Series['rollup']>): Plain {
  const mean_score = scores / count;
  return {
    minute: `${iso(minute).slice(0, 16)}Z`,
    count,
    sum,
    min,
    max,
    score_sum: scores,
    mean_score,
    anomalies,
  };
}

const iso = (ms: number) => new Date(ms).toISOString();
const digits = (text: string) => `${String(text.length).padStart(3, '0')}:${text}`;
export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
