import type { ReshardStep } from '../reshard.ts';
import type { SimGroup, Work } from './group.ts';
import type { SimShard, SimStream } from './stream.ts';

/** What a policy may look at. What it can't see in reality, such as what producers hold back, it leaves alone. */
export interface View {
  /** Seconds since the start. */
  t: number;
  stream: SimStream;
  group: SimGroup;
  /** Of each shard, averages since the last look. */
  work: ReadonlyMap<SimShard, Work>;
  /** CPU of the ready pods since the last look, in pods. */
  cpu: number;
  blackout: boolean;
}

interface Step {
  replicas?: number | undefined;
  reshard?: ReshardStep | undefined;
  /** Why, for people. */
  sentence?: string | undefined;
}

/** An autoscaler: looks every 15 s, as HPA does and as Weir does. */
export interface Policy {
  name: string;
  tick(view: View): Step;
}

export interface Bounds {
  min: number;
  max: number;
}

/** Seconds that a record waits in the stream, as GetRecords tells it. */
export function lagOf(shard: SimShard, t: number): number {
  const head = shard.queue.head;
  return head ? Math.max(0, t - head.acceptedAt) : 0;
}

export function maxLag(stream: SimStream, t: number): number {
  return Math.max(0, ...stream.shards.map((shard) => lagOf(shard, t)));
}
