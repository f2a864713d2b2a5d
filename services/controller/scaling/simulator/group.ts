import type { SimShard, SimStream } from './stream.ts';

export interface GroupOptions {
  /** Records a second that a pod does when it is busy all the time. */
  podRate: number;
  /** Records a second that can be read of one shard. */
  shardReadRate: number;
  /** From creation until a pod works, in seconds. */
  startSeconds: number;
  /** How long a shard stands still when it goes to another pod, in seconds. */
  handoffSeconds: number;
}

interface Pod {
  id: string;
  createdAt: number;
}

/** What a shard's work came to in the second before. */
export interface Work {
  pod: string;
  processed: number;
  busy: number;
}

/** The consumer's pods: each has its even share of the shards, and its rate is shared by them. */
export class SimGroup {
  readonly #options: GroupOptions;
  readonly #owners = new Map<SimShard, { pod: Pod; from: number }>();
  #assigned: { pods: readonly Pod[]; shards: readonly SimShard[] } = { pods: [], shards: [] };
  #held: ReadonlyMap<Pod, readonly SimShard[]> = new Map();
  #pods: Pod[] = [];
  #made = 0;
  readonly work = new Map<SimShard, Work>();
  /** CPU that all ready pods used in the second before, in pods. */
  cpu = 0;
  changes = 0;
  flaps = 0;
  #lastChange: { at: number; up: boolean } | undefined;

  constructor(options: GroupOptions, replicas: number) {
    this.#options = options;
    for (let i = 0; i < replicas; i++) this.#add(-options.startSeconds);
  }

  get replicas(): number {
    return this.#pods.length;
  }

  ready(t: number): number {
    return this.#readyPods(t).length;
  }

  /** Pods come and go at once; new ones work after their start. A change of direction within 10 min is a flap. */
  scale(replicas: number, t: number): void {
    if (replicas === this.replicas) return;
    const up = replicas > this.replicas;
    this.changes++;
    if (this.#lastChange && this.#lastChange.up !== up && t - this.#lastChange.at < 600) this.flaps++;
    this.#lastChange = { at: t, up };
    while (this.replicas < replicas) this.#add(t);
    this.#pods = this.#pods.slice(0, replicas);
  }

  /** A second of work. */
  step(t: number, stream: SimStream, podSpeed: number, sinkLimit: number): void {
    this.work.clear();
    const pods = this.#readyPods(t);
    const shards = stream.shards.filter((shard) => shard.parents.length === 0);
    if (!sameItems(pods, this.#assigned.pods) || !sameItems(shards, this.#assigned.shards)) {
      this.#assign(t, pods, shards);
      this.#assigned = { pods, shards };
    }
    const rate = this.#options.podRate * podSpeed;
    const wanted = new Map<SimShard, number>();
    for (const pod of pods) this.#share(pod, t, rate, wanted);
    const total = sum(wanted.values());
    const allowed = total > sinkLimit ? sinkLimit / total : 1;
    this.cpu = 0;
    for (const [shard, amount] of wanted) {
      const { pod } = this.#owners.get(shard) ?? {};
      const processed = amount * allowed;
      const available = Math.min(shard.queue.records, this.#options.shardReadRate);
      shard.queue.take(processed);
      // Waiting for a sink is being busy, but it takes no CPU.
      const busy = rate > 0 ? (allowed < 1 ? Math.min(1, available / rate) : amount / rate) : 0;
      this.cpu += processed / this.#options.podRate;
      this.work.set(shard, { pod: pod?.id ?? '', processed, busy });
    }
  }

  /** Each shard of a pod gets what it needs, until the rate is used up: then even shares. */
  #share(pod: Pod, t: number, rate: number, wanted: Map<SimShard, number>): void {
    const mine = (this.#held.get(pod) ?? [])
      .filter((shard) => (this.#owners.get(shard)?.from ?? 0) <= t)
      .map((shard) => ({ shard, need: Math.min(shard.queue.records, this.#options.shardReadRate) }))
      .sort((a, b) => a.need - b.need);
    let left = rate;
    for (const [i, { shard, need }] of mine.entries()) {
      const amount = Math.min(need, left / (mine.length - i));
      wanted.set(shard, amount);
      left -= amount;
    }
  }

  /** Moves as few shards as an even deal needs; a moved one stands still for the handoff. */
  #assign(t: number, pods: readonly Pod[], shards: readonly SimShard[]): void {
    const held = new Map<Pod, SimShard[]>(pods.map((pod) => [pod, []]));
    const free: SimShard[] = [];
    for (const shard of this.#owners.keys()) if (!shards.includes(shard)) this.#owners.delete(shard);
    const most = Math.ceil(shards.length / Math.max(1, pods.length));
    for (const shard of shards) {
      const owner = this.#owners.get(shard);
      const list = owner && held.get(owner.pod);
      if (list && list.length < most) list.push(shard);
      else free.push(shard);
    }
    for (const shard of free) {
      const [pod, list] = [...held].reduce<[Pod | undefined, SimShard[]]>(
        (best, entry) => (best[0] === undefined || entry[1].length < best[1].length ? entry : best),
        [undefined, []],
      );
      const known = this.#owners.has(shard);
      this.#owners.delete(shard);
      if (!pod) continue;
      list.push(shard);
      this.#owners.set(shard, { pod, from: known || t > 0 ? t + this.#options.handoffSeconds : t });
    }
    this.#held = held;
  }

  #readyPods(t: number): Pod[] {
    return this.#pods.filter((pod) => pod.createdAt + this.#options.startSeconds <= t);
  }

  #add(t: number): void {
    this.#pods.push({ id: `pod-${this.#made++}`, createdAt: t });
  }
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
