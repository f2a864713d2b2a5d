import type { Chaos } from './chaos.ts';
import type { Fleet } from './fleet.ts';
import type { JumpingClock } from './gate.ts';
import { mayStart, type Write } from './schedule.ts';

/** What befalls a worker at a write of its own: before it arrives, or when the table has it. */
interface Ambushed {
  before?: () => Promise<void>;
  after?: () => void;
}

/** The workers of a run: who runs, who is frozen, and what befalls them. `pick` chooses among those that run, modulo their number. */
export class Crew {
  readonly #fleet: Fleet;
  readonly #chaos: Chaos;
  readonly #time: JumpingClock;
  readonly #leaseMs: number;
  #started = 0;
  /** Those that run and are not frozen. */
  readonly #running: string[] = [];
  readonly #frozen = new Map<string, Promise<void>>();
  readonly #stopping: Promise<void>[] = [];
  /** Resolves when the write came that is lain in wait for. */
  #met: Promise<void> = Promise.resolve();
  /** Lets the worker go on that was frozen at a write until others overtook it. */
  #thawCaught: (() => void) | undefined;

  constructor(fleet: Fleet, chaos: Chaos, time: JumpingClock, leaseMs: number) {
    this.#fleet = fleet;
    this.#chaos = chaos;
    this.#time = time;
    this.#leaseMs = leaseMs;
  }

  async start(): Promise<void> {
    if (!mayStart(this.#running.length + this.#frozen.size)) return;
    const name = `w${this.#started++}`;
    await this.#fleet.start(name);
    this.#running.push(name);
  }

  async kill(pick: number): Promise<void> {
    const name = this.#take(pick);
    if (name !== undefined) await this.#fleet.kill(name);
  }

  /** Begins to stop one, as SIGTERM does. */
  stop(pick: number): void {
    const name = this.#take(pick);
    if (name !== undefined) this.#stopping.push(this.#fleet.stop(name));
  }

  freeze(pick: number, leases: number): void {
    const name = this.#take(pick);
    if (name !== undefined) void this.#freeze(name, this.#time.sleep(leases * this.#leaseMs));
  }

  /** Freezes one at its next write of a kind, for so many lease times or until `thawCaught`. */
  freezeAt(pick: number, write: Write, leases: number | 'until-overtaken'): void {
    this.#lieInWait(pick, write, (name) => ({
      before: () => {
        if (leases !== 'until-overtaken') return this.#freeze(name, this.#time.sleep(leases * this.#leaseMs));
        return this.#freeze(
          name,
          new Promise((thaw) => {
            this.#thawCaught = thaw;
          }),
        );
      },
    }));
  }

  thawCaught(): void {
    this.#thawCaught?.();
    this.#thawCaught = undefined;
  }

  /** Kills one when the table has its next checkpoint, before it hears of that. */
  killAtCheckpoint(pick: number): void {
    this.#lieInWait(pick, 'checkpoint', (name) => ({ after: () => void this.#fleet.kill(name) }));
  }

  /** Resolves when the write came that is lain in wait for. @throws Error when it does not: then the scenario tries nothing. */
  async met(withinLeases: number): Promise<void> {
    const late = new AbortController();
    const came = await Promise.race([
      this.#met.then(() => true),
      this.#time.sleep(withinLeases * this.#leaseMs, late.signal),
    ]);
    late.abort();
    if (!came)
      throw new Error(`a write that was lain in wait for did not come in ${withinLeases} lease times`);
  }

  /** Makes the wall clock of one jump. */
  jump(pick: number, ms: number): void {
    const name = this.#running[pick % Math.max(1, this.#running.length)];
    if (name !== undefined) this.#fleet.jump(name, ms);
  }

  /** Waits for those that are frozen, and stops all. */
  async disband(): Promise<void> {
    await Promise.all(this.#frozen.values());
    await Promise.all(this.#running.map((name) => this.#fleet.stop(name)));
    await Promise.all(this.#stopping);
  }

  #take(pick: number): string | undefined {
    return this.#running.splice(pick % Math.max(1, this.#running.length), 1)[0];
  }

  /** Stops a worker that no longer counts as running, until `over`. */
  async #freeze(name: string, over: Promise<void>): Promise<void> {
    const thawed = over.then(() => {
      this.#fleet.thaw(name);
      this.#running.push(name);
      this.#frozen.delete(name);
    });
    this.#frozen.set(name, thawed);
    this.#fleet.freeze(name);
    await thawed;
  }

  /** Lets something befall a worker at its next write of a kind, if it still runs then. */
  #lieInWait(pick: number, write: Write, what: (name: string) => Ambushed): void {
    const name = this.#running[pick % Math.max(1, this.#running.length)];
    if (name === undefined) return;
    this.#met = new Promise<void>((met) => {
      const { before, after } = what(name);
      const still = () => {
        const at = this.#running.indexOf(name);
        if (at < 0) return false;
        this.#running.splice(at, 1);
        met();
        return true;
      };
      this.#chaos.lieInWait({
        worker: name,
        write,
        ...(before && { before: async () => (still() ? before() : undefined) }),
        ...(after && { after: () => (still() ? after() : undefined) }),
      });
    });
  }
}
