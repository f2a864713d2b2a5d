import * as z from 'zod';

/**
 * What each command prints with `--json`: one object, or for those that go on, one a line. Fields are added over time,
 * never renamed: `docs/reference/cli.md` is made of this.
 */
const known = <T extends z.ZodType>(schema: T, description: string) =>
  schema.nullable().describe(`${description}; null when not known`);
const time = z.iso.datetime();

export const demoSchema = z.strictObject({
  ok: z.boolean().describe('every event is in the table once, in order, with the score computed apart'),
  events: z.int().describe('to be sent'),
  sent: z.int(),
  stored: z.int().describe('items in the records table'),
  scored: z.int().describe("by the consumer's own count: more than `stored` if some were processed again"),
  deadLetters: z.int(),
  threshold: z.number(),
  anomalies: z.int().describe('in the table'),
  expectedAnomalies: z.int().describe('in the data'),
  anomaliesBySource: z
    .array(z.strictObject({ source: z.string(), anomalies: z.int() }))
    .describe('most anomalies first'),
  seconds: z.number().describe('from the first event sent to the last one stored'),
  eventsPerSecond: z.number(),
  endToEndMs: z.strictObject({
    p50: known(z.number(), 'from the acceptance over HTTP to the stored result'),
    p99: known(z.number(), 'the same'),
  }),
  problems: z.array(z.string()).describe('what is wrong, with the first examples of each kind'),
});

export const lagSchema = z.strictObject({
  at: time,
  stream: z.string(),
  leaseTable: z.string(),
  maxLagSeconds: known(z.number(), 'of the shard that is furthest behind'),
  shards: z.array(
    z.strictObject({
      shardId: z.string(),
      open: z.boolean(),
      startable: z.boolean().describe('false while a parent is not finished'),
      owner: z.string().nullable().describe('the worker that holds the lease; null when nobody does'),
      lagSeconds: known(z.number(), 'age of the oldest record that is not processed'),
      from: z
        .enum(['report', 'probe', 'unknown'])
        .describe("the owner's own report, or a look at the stream from the checkpoint on"),
      recordsPerSecond: known(z.number(), 'what the owner gets done'),
      busyShare: known(z.number(), 'share of the time in which it works on this shard, 0-1'),
      workerUtilization: known(z.number(), 'how full the owner is, 0-1'),
    }),
  ),
  problems: z.array(z.string()).describe('what could not be read, and why'),
});

export const shardsSchema = z.strictObject({
  stream: z.string(),
  status: z.string(),
  mode: z.enum(['PROVISIONED', 'ON_DEMAND']),
  retentionHours: z.number(),
  open: z.int(),
  shards: z.array(
    z.strictObject({
      shardId: z.string(),
      open: z.boolean(),
      parents: z.array(z.string()),
      startingHashKey: z.string(),
      endingHashKey: z.string(),
      share: z.number().describe('of the hash key space, 0-1'),
    }),
  ),
});

export const leasesSchema = z.strictObject({
  leaseTable: z.string(),
  leases: z.array(
    z.strictObject({
      leaseKey: z.string(),
      owner: z.string().nullable(),
      counter: z.number(),
      checkpoint: z.string().describe('sequence number, or TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END'),
      subSequenceNumber: z.number(),
      ownerSwitches: z.number().describe('since the last checkpoint'),
      parents: z.array(z.string()),
      children: z.array(z.string()),
      workerAddress: z.string().nullable(),
      reportedAt: time.nullable().describe("of Weir's own report; null for a KCL application"),
      millisBehindLatest: z.number().nullable(),
      recordsPerSecond: z.number().nullable(),
      busyShare: z.number().nullable(),
      workerUtilization: z.number().nullable(),
    }),
  ),
  workers: z
    .array(z.strictObject({ workerId: z.string(), address: z.string(), seenAt: time, leaving: z.boolean() }))
    .describe('workers of Weir that hold no lease, or are leaving'),
});

export const resultSchema = z
  .looseObject({
    id: z.string(),
    source: z.string(),
    amount: z.number(),
    timestamp: z.string(),
    processed_at: z.string(),
    anomaly_score: z
      .union([z.number(), z.string()])
      .describe("text where DynamoDB's numbers can not hold it"),
    is_anomaly: z.boolean(),
    detection_method: z.string(),
    kinesis_metadata: z.looseObject({ shard_id: z.string(), sequence_number: z.string() }),
  })
  .describe('an item of the records table, as it is');

export const sendSchema = z.strictObject({
  file: z.string(),
  url: z.string(),
  stored: z.int(),
  refused: z.int(),
  seconds: z.number(),
  eventsPerSecond: z.number(),
  resumedAtLine: z.int().nullable().describe('line of the file at which an earlier run was gone on with'),
});

const letter = z.strictObject({
  id: z.string(),
  stream: z.string(),
  shardId: z.string(),
  sequenceNumber: z.string(),
  subSequenceNumber: z.int().nullable(),
  partitionKey: z.string(),
  arrivedAt: time.nullable().describe('null where the table has no time'),
  failedAt: z.string(),
  reason: z.string(),
  errorCode: z.string().nullable(),
  message: z.string(),
  sizeBytes: z.int(),
});

export const dlqListSchema = z.strictObject({ table: z.string(), letters: z.array(letter) });
export const dlqShowSchema = letter.extend({
  encoding: z.enum(['utf8', 'base64']).describe('base64 where the bytes are no UTF-8'),
  data: z.string(),
});
export const dlqRedriveSchema = z.strictObject({
  table: z.string(),
  dryRun: z.boolean(),
  letters: z.array(
    z.strictObject({
      id: z.string(),
      outcome: z.enum(['would-be-redriven', 'redriven', 'kept']),
      reason: z.string().nullable().describe('why it is kept'),
      sequenceNumber: z.string().nullable().describe('its new place on the stream'),
    }),
  ),
});
export const dlqImportSchema = z.strictObject({
  table: z.string(),
  dryRun: z.boolean(),
  records: z.int().describe('in the files'),
  letters: z.array(z.string()).describe('ids of the dead letters that they are now'),
});
export const dlqPurgeSchema = z.strictObject({
  table: z.string(),
  dryRun: z.boolean(),
  saved: z.string().nullable().describe('the file that they were saved to before'),
  letters: z.array(z.string()),
  kept: z.array(
    z.strictObject({ id: z.string(), reason: z.string().describe('why it could not be purged') }),
  ),
});

export const doctorSchema = z.strictObject({
  ok: z.boolean(),
  checks: z.array(
    z.strictObject({
      check: z.string(),
      status: z.enum(['ok', 'warning', 'problem']),
      found: z.string(),
      todo: z.string().nullable(),
    }),
  ),
});

export const keysSchema = z.strictObject({
  key: z.string(),
  entry: z.looseObject({ client: z.string(), sources: z.array(z.string()) }),
});

export const costSchema = z.strictObject({
  prices: z.strictObject({ region: z.string(), date: z.string() }),
  workload: z.looseObject({ eventsPerSecond: z.number() }),
  assumptions: z.looseObject({}),
  estimate: z.strictObject({
    lines: z.array(
      z.strictObject({ part: z.string(), what: z.string(), amount: z.string(), usd: z.number() }),
    ),
    usd: z.number(),
    shards: z.number(),
    eventsPerMonth: z.number(),
  }),
});

export const simulateSchema = z.strictObject({
  objective: z.looseObject({ maxLagSeconds: z.number() }),
  world: z.looseObject({}),
  prices: z.looseObject({ region: z.string(), date: z.string() }),
  traces: z.array(
    z.strictObject({
      trace: z.string(),
      description: z.string(),
      seconds: z.number(),
      outcomes: z.array(
        z.looseObject({
          policy: z.string(),
          violationSeconds: z.number(),
          worstLagSeconds: z.number(),
          podHours: z.number(),
          shardHours: z.number(),
          dollars: z.number(),
          reshards: z.int(),
          flaps: z.int(),
        }),
      ),
      optimum: z.looseObject({ dollars: z.number() }).optional(),
      runningFull: z.looseObject({ dollars: z.number() }).optional(),
    }),
  ),
});

export const backtestSchema = z.strictObject({
  detectors: z.array(
    z.strictObject({
      detector: z.string(),
      series: z.int(),
      records: z.int(),
      alarms: z.int(),
      alarmsPer10k: z.number(),
      microsecondsPerRecord: z.number(),
      quality: z.looseObject({}).optional().describe('where there are labels'),
      nab: z.array(z.looseObject({})).optional().describe('scores of the Numenta Anomaly Benchmark'),
      bySeries: z.array(
        z.strictObject({
          series: z.string(),
          group: z.string(),
          records: z.int(),
          quality: z.looseObject({}).optional(),
          alarms: z.array(
            z.strictObject({
              record: z.int().describe('from 0'),
              timestamp: time,
              amount: z.number(),
              score: z.number(),
              explanation: z.string().optional(),
            }),
          ),
        }),
      ),
    }),
  ),
});
