import type { RunConfig, Schedule, Write } from './schedule.ts';

const CONFIG: RunConfig = {
  detector: 'adaptive',
  store: 'all',
  dedupeWindow: 64,
  shards: 1,
  checkpointMs: 0,
  fetch: 'polling',
  sources: 4,
  aggregated: 0.6,
};

/** A worker's write is under way while another one takes its shard, reads on and writes the same further on. */
const overtaken = (write: Write): Schedule => ({
  config: CONFIG,
  steps: [
    { does: 'put', events: 200 },
    { does: 'start' },
    { does: 'freeze-at', pick: 0, write, leases: 'until-overtaken' },
    { does: 'met' },
    { does: 'put', events: 300 },
    { does: 'start' },
    { does: 'overtake' },
  ],
});

/**
 * What a random schedule meets too seldom: each aims at the one moment between two I/O steps in which a guarantee is
 * needed. They are for consumers in this process, whose calls can be met on their way.
 */
export const SCENARIOS = {
  'a checkpoint arrives after the next owner has moved on': overtaken('checkpoint'),
  'a state arrives after the next owner has moved on': overtaken('state'),
  // All of it comes in one batch, of which only the last slice ends where an aggregate does by itself.
  'a worker dies between two slices of a backlog of aggregates': {
    config: { ...CONFIG, aggregated: 1 },
    steps: [
      { does: 'put', events: 2_000 },
      { does: 'start' },
      { does: 'kill-at-checkpoint', pick: 0 },
      { does: 'met' },
    ],
  },
  'children have records while their parent has a backlog': {
    config: { ...CONFIG, sources: 25 },
    steps: [
      { does: 'put', events: 2_000 },
      { does: 'split', pick: 0 },
      { does: 'put', events: 200 },
      { does: 'start' },
      { does: 'start' },
    ],
  },
  // Who starts over then, from the last checkpoint, does again what comes before what the children are doing already.
  'the end of a shard is written, and who wrote it has no answer': {
    config: { ...CONFIG, sources: 25, checkpointMs: 60_000, shards: 2 },
    steps: [
      { does: 'put', events: 3_000 },
      { does: 'merge', pick: 0 },
      { does: 'put', events: 200 },
      { does: 'lose-ends', answers: 8 },
      { does: 'start' },
      { does: 'start' },
      { does: 'read-to-end' },
    ],
  },
  // Who loses it does the same again from the checkpoint: for ever, if no tenure comes to one.
  'each lease is lost in its time, by a slow store that loses renewals': {
    config: { ...CONFIG, checkpointMs: 60_000 },
    steps: [
      { does: 'put', events: 400 },
      { does: 'lose-leases', latency: 0.08 },
      { does: 'start' },
      { does: 'start' },
      { does: 'read-to-end' },
    ],
  },
} as const satisfies Record<string, Schedule>;

export type ScenarioName = keyof typeof SCENARIOS;
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as readonly ScenarioName[];
