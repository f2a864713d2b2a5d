import * as z from 'zod';

const DAY_MS = 86_400_000;
const time = z.number().int().nonnegative();
const count = z.number().int().nonnegative();
const rate = z.number().nonnegative();

/** A value and when it was seen (ms since the epoch). */
const peak = z.object({ at: time, value: count });
const change = z.object({ at: time, from: count, to: count });

/** One call that changes the shards. Entered, `Pending`, before it is made; only `UpdateShardCount` is counted by AWS. */
const reshardCall = z.object({
  at: time,
  operation: z.enum(['UpdateShardCount', 'SplitShard', 'MergeShards']),
  from: count,
  to: count,
  shards: z.array(z.string().max(128)).max(2).optional(),
  newStartingHashKey: z
    .string()
    .regex(/^\d{1,39}$/)
    .optional(),
  /** `Refused` is the only one that doesn't count. */
  outcome: z.enum(['Pending', 'Accepted', 'Refused', 'Unknown']),
});

/** Entries that a list of the memory holds at most. */
export const MAX_ENTRIES = 32;

/**
 * What a decision must know of the past: plain JSON, less than 10 KB, kept in the object's status, so that a
 * restarted or another controller decides the same.
 */
export const memorySchema = z.object({
  /** Recommendations of replicas that may still count, falling values (see `window.ts`). */
  replicaPeaks: z.array(peak).max(MAX_ENTRIES).default([]),
  shardPeaks: z.array(peak).max(MAX_ENTRIES).default([]),
  /** Lowest recommendations, for an up-stabilization window. */
  replicaLows: z.array(peak).max(MAX_ENTRIES).default([]),
  /** Replicas at the last look. */
  replicas: count.optional(),
  /** Changes of replicas that behavior's periods still count. */
  scaleEvents: z.array(change).max(MAX_ENTRIES).default([]),
  /** Calls that change the shards, of the last 24 hours: the status shows them as its `reshardBudget`. */
  ledger: z.array(reshardCall).max(MAX_ENTRIES).default([]),
  /** Until when AWS itself said that the budget is spent. */
  budgetSpentUntil: time.optional(),
  /** Open shards at the last look: a change that is in nobody's ledger was somebody else's call. */
  openShards: count.optional(),
  /** When that number last changed. */
  reshardedAt: time.optional(),
  /** Since when more shards are wished for at each look, and since when all of them are full. */
  growthSince: time.optional(),
  saturatedSince: time.optional(),
  /** Last known arrival of the whole stream a second. */
  arrival: z.object({ records: rate, puts: rate.optional(), bytes: rate }).optional(),
  /** The rates here are relative: see `StreamObservation.relative`. */
  relative: z.boolean().optional(),
  /** Relative rates only: fewer replicas than this were tried and were too few. */
  floor: z.object({ replicas: count, until: time }).optional(),
  /** What one busy pod gets done a second: learned, of the last minute. */
  podRate: rate.optional(),
  /** The same over the last quarter of an hour: what is normal for this target. */
  normalPodRate: rate.optional(),
  /** A step up whose effect is not judged yet. */
  trial: z
    .object({ at: time, readyAt: time.optional(), from: count, to: count, processed: rate, lagSeconds: rate })
    .optional(),
  /** Scaling up is stopped because the last step didn't help. */
  ineffective: z
    .object({
      since: time,
      until: time,
      processed: rate,
      cause: z.enum(['DeadSink', 'HotShard', 'Unknown']),
      sentence: z.string().max(500),
    })
    .optional(),
});

export type Memory = z.output<typeof memorySchema>;
export type ReshardCall = z.output<typeof reshardCall>;

export const emptyMemory = (): Memory => memorySchema.parse({});

/**
 * The memory out of a status, field by field: a field that isn't usable is forgotten, the others are kept. A
 * ledger that can't be read counts as spent for a day: better no reshard than one that AWS refuses when it matters.
 *
 * @param now ms since the epoch.
 */
export function parseMemory(value: unknown, now: number): Memory {
  if (value === undefined || value === null) return emptyMemory();
  if (typeof value !== 'object') return { ...emptyMemory(), budgetSpentUntil: now + DAY_MS };
  const kept: Record<string, unknown> = {};
  let ledgerLost = false;
  for (const [name, schema] of Object.entries(memorySchema.shape)) {
    const field = schema.safeParse((value as Record<string, unknown>)[name]);
    if (field.success) kept[name] = field.data;
    else if (name === 'ledger') ledgerLost = true;
  }
  return memorySchema.parse(ledgerLost ? { ...kept, budgetSpentUntil: now + DAY_MS } : kept);
}
