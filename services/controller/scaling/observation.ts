/** Records and bytes a second. */
export interface Throughput {
  /** User records: what a pod works on. */
  records: number;
  /** Kinesis records, an aggregate being one: what a shard's write limit counts. Left out: as many as `records`. */
  puts?: number | undefined;
  bytes: number;
}

export function putsOf({ puts, records }: Throughput): number {
  return puts ?? records;
}

/** Ends of a shard's hash key range, decimal, both included. */
export interface HashKeyRange {
  starting: string;
  ending: string;
}

/** One shard that still has, or may get, records for the consumer group. Finished shards are left out. */
export interface ShardObservation {
  shardId: string;
  /** False once it was split or merged: then it is there to be drained. */
  open: boolean;
  /** False while a parent isn't finished: nobody may read it yet. */
  startable: boolean;
  hashKeyRange: HashKeyRange;
  /** Age of the oldest record that isn't processed, in seconds; 0 when there is none, `undefined` when not known. */
  lagSeconds: number | undefined;
  /** The worker that holds its lease. */
  owner: string | undefined;
  /** What comes in, as the consumer's progress shows it; `undefined` when not known. */
  arrival: Throughput | undefined;
  /** What the owner gets done; `undefined` when there is no fresh report. */
  processed: Throughput | undefined;
  /** Share of the time in which the owner was processing this shard, 0-1. */
  busyShare: number | undefined;
  /** Utilization of the owner, 0-1; `undefined` too when its consumer is one that doesn't tell. */
  workerUtilization?: number | undefined;
}

/** All that a decision is made from, at one moment. What could not be read is `undefined`, never zero. */
export interface Observation {
  /** ms since the epoch. */
  at: number;
  /** The scale target: replicas that are asked for, and pods that are ready. */
  target: { replicas: number; ready: number } | undefined;
  stream: StreamObservation | undefined;
  /** For people: what could not be read and why, one phrase each. */
  problems: readonly string[];
}

export interface StreamObservation {
  /** StreamStatus of DescribeStreamSummary: only an ACTIVE stream can be resharded. */
  status: string;
  /** False for an on-demand stream, whose shards AWS sets. */
  provisioned: boolean;
  shards: readonly ShardObservation[];
  /**
   * The consumers tell no rates, as KCL's don't: `arrival` and `processed` are in thousandths of what arrives in the whole
   * stream, worked out from the movement of the lag alone. Left out: they are in records and bytes.
   */
  relative?: boolean;
  /** `undefined` when nobody says. */
  throttled: WriteThrottle | undefined;
}

/** What producers were refused in a minute, for lack of write throughput. */
export interface WriteThrottle {
  /** When the minute began, in ms since the epoch. */
  from: number;
  /** Refused of what was sent, 0-1. What is tried again is counted each time. */
  share: number;
}

/** Space of partition keys' hashes. */
export const HASH_KEYS = 1n << 128n;

/** Share of the hash key space that a range covers, 0-1. */
export function rangeShare({ starting, ending }: HashKeyRange): number {
  return Number(((BigInt(ending) - BigInt(starting) + 1n) * 1_000_000_000n) / HASH_KEYS) / 1e9;
}
