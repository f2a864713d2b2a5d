import { Draw } from '../../services/testkit/seeded-random.ts';

/** How the application of a run is configured. */
export interface RunConfig {
  detector: 'adaptive' | 'threshold';
  store: 'all' | 'anomalies';
  /** `DEDUPE_WINDOW`; with 0 and a detector without memory nothing is kept of a source. */
  dedupeWindow: 0 | 64;
  shards: number;
  /** `CHECKPOINT_INTERVAL_MS`; with 0 each slice is checkpointed. */
  checkpointMs: number;
  fetch: 'polling' | 'fanout';
  /** So many that their states don't fit the memory, in some runs. */
  sources: number;
  /** Share of the puts that are aggregates, 0 to 1. */
  aggregated: number;
}

/** A kind of write that may be lain in wait for. */
export type Write = 'checkpoint' | 'state';

/** What happens next. Times are in lease times; `pick` chooses among what there is then, modulo its number. */
export type Step =
  | { does: 'put'; events: number }
  | { does: 'start' }
  | { does: 'kill' | 'stop'; pick: number }
  | { does: 'freeze'; pick: number; leases: number }
  | { does: 'split' | 'merge'; pick: number }
  /** Lies in wait: freezes it at its next write of that kind, which so is on its way for that time, or until `overtake`. */
  | { does: 'freeze-at'; pick: number; write: Write; leases: number | 'until-overtaken' }
  /** Lies in wait: kills it when the table has its next checkpoint, before it hears of that. */
  | { does: 'kill-at-checkpoint'; pick: number }
  /** Waits until the write came that was lain in wait for. */
  | { does: 'met' }
  /** Others read to the end of all shards; then who was frozen at a write wakes up, and the write arrives. */
  | { does: 'overtake' }
  /** Waits until all shards are read to their end, whatever goes on. */
  | { does: 'read-to-end' }
  /** From now on no renewal of a lease arrives, so that each is lost in its time, and a call takes so many lease times. */
  | { does: 'lose-leases'; latency: number }
  /** So many of the next writes of a shard's end arrive, and their answers don't: one call of the SDK's client has three of them. */
  | { does: 'lose-ends'; answers: number }
  /** Puts the dead letters that there are through again, those too that will fail again. */
  | { does: 'redrive' }
  | { does: 'break-subscriptions' }
  /** From now on calls fail with this probability. */
  | { does: 'faults'; probability: number }
  /** The stream's wall clock jumps on; a worker's own wall clock jumps by as much, either way. */
  | { does: 'jump'; ms: number; pick: number }
  | { does: 'expire-iterators' }
  | { does: 'wait'; leases: number };

export interface Schedule {
  config: RunConfig;
  steps: Step[];
}

/** Workers at once; a run that has none left goes on with a fresh one at its end. */
const MAX_WORKERS = 4;
const STEPS = { least: 10, most: 20 };

/** What a seed means. It follows from the seed alone. */
export function scheduleOf(seed: number): Schedule {
  const draw = new Draw(seed);
  const stateful = draw.chance(0.9);
  const config: RunConfig = {
    detector: stateful && draw.chance(0.6) ? 'adaptive' : 'threshold',
    store: stateful && draw.chance(0.5) ? 'anomalies' : 'all',
    dedupeWindow: stateful ? 64 : 0,
    shards: draw.of([1, 1, 2, 3]),
    checkpointMs: draw.of([0, 0, 400, 2_000, 60_000]),
    fetch: draw.of(['polling', 'polling', 'fanout']),
    sources: draw.of([4, 25, 25, 600]),
    aggregated: draw.of([0.2, 0.6, 1]),
  };
  const steps: Step[] = [{ does: 'put', events: draw.integer(100, 800) }];
  for (let n = draw.integer(1, 3); n > 0; n--) steps.push({ does: 'start' });
  if (draw.chance(0.8)) steps.push({ does: 'faults', probability: draw.random() * 0.25 });
  for (let n = draw.integer(STEPS.least, STEPS.most); n > 0; n--) {
    steps.push(...(draw.chance(0.15) ? draw.of(SITUATIONS)(draw) : [step(draw)]));
    if (draw.chance(0.6)) steps.push({ does: 'wait', leases: draw.random() * 0.25 });
  }
  return { config, steps };
}

/**
 * Steps that stand together: what is to befall a worker at a write of its own, or while there is a backlog, single steps
 * seldom come to by themselves.
 */
const SITUATIONS: readonly ((draw: Draw) => Step[])[] = [
  // A worker that has a zombie's write under way while another one goes on.
  (draw) => [
    { does: 'start' },
    {
      does: 'freeze-at',
      pick: draw.integer(0, 99),
      write: draw.of(['checkpoint', 'state']),
      leases: 1.2 + draw.random(),
    },
    { does: 'put', events: draw.integer(100, 600) },
    { does: 'start' },
    { does: 'wait', leases: 0.8 + draw.random() * 0.8 },
    { does: 'put', events: draw.integer(5, 80) },
  ],
  // A checkpoint in the middle of a backlog is the last thing a worker does.
  (draw) => [
    { does: 'kill-at-checkpoint', pick: draw.integer(0, 99) },
    { does: 'put', events: draw.integer(600, 1_500) },
    { does: 'start' },
    { does: 'wait', leases: draw.random() * 0.5 },
  ],
  // Children have records while their parent has a backlog, and who reads it dies.
  (draw) => [
    { does: 'put', events: draw.integer(600, 1_500) },
    { does: draw.of(['split', 'split', 'merge']), pick: draw.integer(0, 99) },
    { does: 'put', events: draw.integer(100, 300) },
    { does: 'start' },
    draw.chance(0.6)
      ? { does: 'kill', pick: draw.integer(0, 99) }
      : { does: 'freeze', pick: draw.integer(0, 99), leases: 1.1 + draw.random() * 0.5 },
    { does: 'start' },
  ],
  // Whether the end of a shard was written nobody knows who wrote it.
  (draw) => [
    { does: 'lose-ends', answers: draw.integer(3, 8) },
    { does: 'put', events: draw.integer(800, 1_500) },
    { does: draw.of(['split', 'merge']), pick: draw.integer(0, 99) },
    { does: 'put', events: draw.integer(5, 80) },
    { does: 'start' },
  ],
];

/** Whether a worker may be started while so many are there. */
export const mayStart = (workers: number) => workers < MAX_WORKERS;

function step(draw: Draw): Step {
  const pick = draw.integer(0, 99);
  const kinds: readonly Step['does'][] = [
    ...['put', 'put', 'put', 'put', 'start', 'start', 'kill', 'kill', 'freeze', 'freeze', 'stop'],
    ...['split', 'split', 'merge', 'merge', 'faults', 'jump', 'expire-iterators', 'redrive'],
    'break-subscriptions',
  ] as Step['does'][];
  const does = draw.of(kinds);
  switch (does) {
    case 'put':
      return { does, events: draw.chance(0.25) ? draw.integer(500, 800) : draw.integer(5, 80) };
    case 'freeze':
      return { does, pick, leases: 0.1 + draw.random() * 1.7 };
    case 'faults':
      return { does, probability: draw.chance(0.3) ? 0 : draw.random() * 0.3 };
    case 'jump':
      return { does, pick, ms: draw.integer(1, 150_000) };
    case 'kill':
    case 'stop':
    case 'split':
    case 'merge':
      return { does, pick };
    default:
      return { does } as Step;
  }
}
