import { z } from 'zod';
import { k8s } from './structural.ts';

const time = (description: string) => z.iso.datetime().describe(description);
const count = (description: string) => z.int().min(0).describe(description);
const rate = (description: string) => z.number().min(0).optional().describe(description);

/** Calls of the last day, and room for those whose end is not known. */
const LEDGER_ENTRIES = 32;

const condition = z.object({
  type: z
    .string()
    .regex(/^[A-Z][A-Za-z]*$/)
    .max(316)
    .describe('What the condition tells.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
  reason: z
    .string()
    .regex(/^[A-Z][A-Za-z0-9]*$/)
    .max(1_024)
    .describe('Why, in one word for programs.'),
  message: z.string().max(32_768).describe('Why, in a sentence for people.'),
  lastTransitionTime: time('When status last changed.'),
  observedGeneration: z.int().min(0).optional().describe('Generation of the spec that it was told for.'),
});

const lag = z
  .object({
    observedAt: time('When the lag was read.'),
    maxSeconds: z
      .number()
      .min(0)
      .optional()
      .describe('Of the shard that is furthest behind. Missing: not known.'),
    p50Seconds: z.number().min(0).optional().describe('Half of the shards are behind by no more than this.'),
    p90Seconds: z.number().min(0).optional().describe('Nine in ten shards are behind by no more than this.'),
    worstShard: z.string().max(128).optional().describe('The shard that is furthest behind.'),
    shards: count('Shards that the group still has to read.'),
    unknownShards: count(
      'Of them, those of which nothing is known: nobody reports and a probe did not answer.',
    ),
    undrainedParents: count('Closed shards that are not read to their end.'),
  })
  .describe('How far behind the consumer group is. A maximum, never a sum; what is not known is not zero.');

const rates = z
  .object({
    arrivalRecordsPerSecond: rate('Records that are written to the stream.'),
    arrivalBytesPerSecond: rate('Bytes that are written to the stream.'),
    processedRecordsPerSecond: rate('Records that the group processes.'),
    podRecordsPerSecond: rate('Records that one pod can process when it is never idle: learned, and kept.'),
    requiredRecordsPerSecond: rate('Rate that holds the objective.'),
    learnedAt: time('When podRecordsPerSecond was last learned.').optional(),
  })
  .describe('Rates of the whole group.');

const reshardCall = z.object({
  time: time('When it was written down, before the call.'),
  operation: z.enum(['UpdateShardCount', 'SplitShard', 'MergeShards']).describe('The Kinesis call.'),
  from: count('Open shards before.'),
  to: count('Open shards wanted.'),
  shards: z
    .array(z.string().max(128))
    .max(2)
    .optional()
    .meta(k8s({ description: 'Shards of a SplitShard or MergeShards.', 'x-kubernetes-list-type': 'atomic' })),
  newStartingHashKey: z.string().regex(/^\d+$/).max(39).optional().describe('Where a SplitShard cuts.'),
  outcome: z
    .enum(['Pending', 'Accepted', 'Refused', 'Unknown'])
    .describe(
      'Pending until AWS answered. Accepted and Unknown (the answer was lost and no effect is seen) count against the budget, as Pending does.',
    ),
});

const reshardBudget = z
  .object({
    used: count('Calls of the last 24 h that count against the 10 that AWS allows.'),
    calls: z
      .array(reshardCall)
      .max(LEDGER_ENTRIES)
      .meta(
        k8s({
          description: 'The ledger, oldest first. It survives restarts.',
          'x-kubernetes-list-type': 'atomic',
        }),
      ),
  })
  .describe('The ledger of reshard calls: 10 in 24 h.');

/** `status` of a StreamScaler. */
export const streamScalerStatus = z
  .object({
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .describe('Generation of the spec that this status is about.'),
    conditions: z
      .array(condition)
      .max(16)
      .optional()
      .meta(
        k8s({
          description: 'Ready, AbleToScale, ScalingActive, ScalingLimited, ScalingEffective, AbleToReshard.',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['type'],
        }),
      ),
    decidedAt: time(
      'When replicas and shards were last decided on. A controller does so at each tick; older than that, nobody does.',
    ).optional(),
    lag: lag.optional(),
    rates: rates.optional(),
    replicas: z
      .object({
        current: count('Replicas that the target is set to.'),
        desired: count('Replicas that hold the objective, within the bounds.'),
      })
      .optional()
      .describe('Replicas of the target.'),
    shards: z
      .object({
        open: count('Open shards of the stream.'),
        desired: count('Open shards that hold the objective, within the bounds.'),
      })
      .optional()
      .describe('Shards of the stream.'),
    reshardBudget: reshardBudget.optional(),
    lastDecision: z
      .object({
        time: time('When it was taken first; an unchanged decision keeps its time.'),
        action: z.string().max(64).describe('What was decided, in one word.'),
        reason: z.string().max(2_048).describe('Why, in a sentence.'),
      })
      .optional()
      .describe('The latest decision.'),
    memory: z
      .looseObject({})
      .optional()
      .meta(
        k8s({
          description:
            'What the next decision needs to know of those before. Of the controller alone: its content may change with any version.',
          'x-kubernetes-map-type': 'atomic',
          'x-kubernetes-preserve-unknown-fields': true,
        }),
      ),
  })
  .describe('What was seen and decided.');
