import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lease } from '../../shared/kcl/lease-row.ts';
import type { WorkerPresence } from '../../shared/kcl/worker-row.ts';
import { type GroupState, GroupView } from './group-view.ts';
import type { WorkerRef } from './lease-store.ts';
import { ownPart, succession } from './own-part.ts';

const LEASE_MS = 10_000;
const LOOK_MS = 1_000;

interface Step {
  /** After the step before, in ms. */
  afterMs: number;
  act: 'start' | 'kill' | 'stop';
  pick: number;
}

/**
 * Workers of one group in virtual time, on a table that is right: what each reads is old by the time it acts, its
 * writes are conditional, and processing takes up to 1.5 s to come to an end. Only what decides is real code.
 */
class Simulation {
  readonly #events: { at: number; run: () => void }[] = [];
  readonly #workers: SimulatedWorker[] = [];
  readonly rows = new Map<string, Lease>();
  readonly idle = new Map<string, WorkerPresence>();
  readonly pokes: boolean;
  moves: number[] = [];
  doubles = 0;
  now = 0;
  #seed: number;

  constructor(leases: number, seed: number, pokes: boolean) {
    this.#seed = seed;
    this.pokes = pokes;
    for (let n = 0; n < leases; n++) {
      const leaseKey = `s${String(n).padStart(2, '0')}`;
      this.rows.set(leaseKey, {
        leaseKey,
        leaseOwner: undefined,
        leaseCounter: 0,
        checkpoint: { sequenceNumber: 'TRIM_HORIZON', subSequenceNumber: 0 },
        ownerSwitchesSinceCheckpoint: 0,
        parentShardIds: [],
        childShardIds: [],
        hashKeyRange: undefined,
        startedAt: undefined,
        workerAddress: undefined,
        tenure: undefined,
        report: undefined,
      });
    }
  }

  /** Between `from` and `to` ms from now. */
  after(from: number, to: number, run: () => void): void {
    this.#events.push({ at: this.now + from + this.random() * (to - from), run });
  }

  random(): number {
    this.#seed = (this.#seed * 48271) % 2147483647;
    return this.#seed / 2147483647;
  }

  runUntil(end: number): void {
    for (;;) {
      const next = this.#events.reduce<{ at: number; run: () => void } | undefined>(
        (first, event) => (event.at <= end && (!first || event.at < first.at) ? event : first),
        undefined,
      );
      if (!next) break;
      this.#events.splice(this.#events.indexOf(next), 1);
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  get alive(): SimulatedWorker[] {
    return this.#workers.filter(({ state }) => state === 'up');
  }

  find(workerId: string | undefined): SimulatedWorker | undefined {
    return this.#workers.find((worker) => worker.id === workerId);
  }

  start(): void {
    this.#workers.push(new SimulatedWorker(this, `w${this.#workers.length}`));
  }

  /** Replaces the row if it is still as `seen`. */
  write(seen: Lease, change: Partial<Lease>): Lease | undefined {
    const row = this.rows.get(seen.leaseKey);
    if (row?.leaseCounter !== seen.leaseCounter || row.leaseOwner !== seen.leaseOwner) return undefined;
    const next = { ...row, ...change, leaseCounter: row.leaseCounter + 1 };
    this.rows.set(seen.leaseKey, next);
    return next;
  }

  /** Called when a worker begins to process. */
  begun(leaseKey: string, by: SimulatedWorker): void {
    this.moves.push(this.now);
    if (this.alive.some((other) => other !== by && other.running.has(leaseKey))) this.doubles++;
  }
}

class SimulatedWorker {
  readonly id: string;
  readonly running = new Map<string, Lease>();
  readonly #leaving = new Set<string>();
  readonly #view = new GroupView(LEASE_MS, LOOK_MS * 1.5);
  readonly #sim: Simulation;
  state: 'up' | 'stopping' | 'down' = 'up';
  #group: GroupState | undefined;
  #looksAt = 0;
  #announcedAt = Number.NEGATIVE_INFINITY;

  constructor(sim: Simulation, id: string) {
    this.#sim = sim;
    this.id = id;
    this.#looksAt = sim.now;
    this.#look(sim.now);
    this.#renew();
  }

  kill(): void {
    this.state = 'down';
  }

  stop(): void {
    this.state = 'stopping';
    const { now } = this.#sim;
    this.#sim.idle.set(this.id, { workerId: this.id, address: this.id, seenAt: now, leaving: true });
    const heirs = this.#group ? succession(this.#group, this.id, this.running) : new Map<string, WorkerRef>();
    for (const lease of this.running.values()) this.#giveUp(lease, heirs.get(lease.leaseKey));
    if (this.running.size === 0) this.#sim.idle.delete(this.id);
  }

  /** @returns whether it is going to look. */
  poked(): boolean {
    if (this.state !== 'up' || !this.#sim.pokes) return false;
    this.#sim.after(1, 60, () => this.#look(this.#looksAt));
    return true;
  }

  #look(planned: number): void {
    if (this.state !== 'up' || planned !== this.#looksAt) return;
    const sim = this.#sim;
    if (this.running.size > 0) sim.idle.delete(this.id);
    else if (sim.now - this.#announcedAt >= LEASE_MS / 3) {
      this.#announcedAt = sim.now;
      sim.idle.set(this.id, { workerId: this.id, address: this.id, seenAt: sim.now, leaving: false });
    }
    const reading = { leases: [...sim.rows.values()], idle: [...sim.idle.values()] };
    const readAt = sim.now;
    sim.after(2, 50, () => {
      if (this.state !== 'up') return;
      this.#group = this.#view.observe(reading, readAt, sim.now);
      const { take, give } = ownPart(this.#group, this.id, this.running);
      for (const lease of take) {
        const taken = sim.write(lease, { leaseOwner: this.id, workerAddress: this.id, tenure: `${sim.now}` });
        if (!taken) continue;
        sim.begun(lease.leaseKey, this);
        this.running.set(lease.leaseKey, taken);
      }
      for (const { lease, to } of give) if (!this.#leaving.has(lease.leaseKey)) this.#giveUp(lease, to);
      this.#looksAt = sim.now + LOOK_MS;
      const next = this.#looksAt;
      sim.after(LOOK_MS, LOOK_MS, () => this.#look(next));
    });
  }

  #giveUp({ leaseKey }: Lease, to: WorkerRef | undefined): void {
    const sim = this.#sim;
    this.#leaving.add(leaseKey);
    sim.after(0, 1_500, () => {
      const held = this.running.get(leaseKey);
      if (this.state === 'down' || !held) return;
      this.running.delete(leaseKey);
      this.#leaving.delete(leaseKey);
      if (this.state === 'stopping' && this.running.size === 0) sim.idle.delete(this.id);
      const given = sim.write(held, {
        leaseOwner: to?.workerId,
        workerAddress: to?.address,
        tenure: undefined,
      });
      if (!given || !to) return;
      const heard = sim.find(to.workerId)?.poked();
      if (heard) return;
      sim.after(1, 300, () => {
        this.#view.doubt(to.workerId);
        sim.write(given, { leaseOwner: undefined });
      });
    });
  }

  #renew(): void {
    if (this.state === 'down') return;
    for (const [key, lease] of this.running) {
      const renewed = this.#sim.write(lease, {});
      if (renewed) this.running.set(key, renewed);
      else this.running.delete(key);
    }
    this.#sim.after(LEASE_MS / 3, LEASE_MS / 3, () => this.#renew());
  }
}

function simulate({
  leases,
  steps,
  seed,
  pokes,
}: {
  leases: number;
  steps: Step[];
  seed: number;
  pokes: boolean;
}) {
  const sim = new Simulation(leases, seed, pokes);
  sim.start();
  for (const { afterMs, act, pick } of steps) {
    sim.runUntil(sim.now + afterMs);
    const { alive } = sim;
    if (act === 'start') sim.start();
    else if (alive.length > 1) alive[pick % alive.length]?.[act]();
  }
  const lastStepAt = sim.now;
  sim.runUntil(lastStepAt + 60_000);
  return {
    counts: sim.alive.map(({ running }) => running.size),
    doubles: sim.doubles,
    movesSinceLastStep: sim.moves.filter((at) => at >= lastStepAt).length,
    restedAfterMs: Math.max(0, ...sim.moves.map((at) => at - lastStepAt)),
  };
}

describe('a group of workers that each decide by themselves', () => {
  it('comes to rest balanced, with every lease held once, whoever starts, dies or leaves', () => {
    const step = fc.record({
      afterMs: fc.integer({ min: 0, max: 8_000 }),
      act: fc.constantFrom('start', 'start', 'kill', 'stop'),
      pick: fc.nat(100),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 }),
        fc.array(step, { maxLength: 10 }),
        fc.integer({ min: 1, max: 1e6 }),
        fc.boolean(),
        (leases, steps, seed, pokes) => {
          const { counts, doubles, restedAfterMs } = simulate({ leases, steps, seed, pokes });
          expect(doubles).toBe(0);
          expect(counts.reduce((a, b) => a + b)).toBe(leases);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
          // A dead worker's leases are free after their 10 s; then few looks are needed.
          expect(restedAfterMs).toBeLessThanOrEqual(20_000);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('moves as few leases as there must be when one worker joins, leaves or dies', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const settle = { leases: 12, seed, pokes: seed % 2 === 0 };
      const start = (afterMs: number) => ({ afterMs, act: 'start' as const, pick: 0 });
      const three = [start(0), start(20_000)]; // the simulation begins with one
      const joined = simulate({ ...settle, steps: [...three, start(20_000)] });
      expect(joined.counts).toEqual([3, 3, 3, 3]);
      expect(joined.movesSinceLastStep).toBe(3);
      for (const act of ['stop', 'kill'] as const) {
        const left = simulate({ ...settle, steps: [...three, { afterMs: 20_000, act, pick: seed }] });
        expect(left.counts).toEqual([6, 6]);
        expect(left.movesSinceLastStep).toBe(4);
      }
    }
  });
});
