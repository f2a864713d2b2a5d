import { PRICES } from '../../shared/prices.ts';

/** What a bill depends on. */
export interface Workload {
  /** On average over the month. */
  eventsPerSecond: number;
  /** JSON of one event as a client sends it, in bytes. */
  eventBytes: number;
  /** Sources that send at the same time. */
  sources: number;
  /** Share of events that are anomalies, 0-1. */
  anomalyShare: number;
  retentionHours: number;
  /** Days that an item stays in the records table. */
  itemDays: number;
  store: 'all' | 'anomalies';
  stream: 'provisioned' | 'on-demand';
  consumer: 'pods' | 'lambda';
  fanout: boolean;
  aggregation: boolean;
}

interface CostLine {
  part: 'stream' | 'tables' | 'compute' | 'rest';
  what: string;
  /** How many units a month, in words. */
  amount: string;
  usd: number;
}

export interface Estimate {
  lines: CostLine[];
  usd: number;
  shards: number;
  eventsPerMonth: number;
}

const HOURS = 730;
const SECONDS = HOURS * 3600;
const KB = 1024;
const GB = 2 ** 30;
const MILLION = 1e6;

/**
 * What the estimate takes for granted, measured or chosen; the command prints them.
 */
export const ASSUMPTIONS = {
  /** What the producer adds to an event (request id, address, time), in bytes. */
  enrichmentBytes: 150,
  /** What the consumer adds to an item (position, score, times), in bytes. */
  itemOverheadBytes: 400,
  /** Share of a shard's limits (1 MiB and 1,000 records a second) that is used on average. */
  utilization: 0.7,
  /** Aggregates of a shard a second under load: one for each PutRecords call of 10 ms. */
  aggregatesPerShardSecond: 100,
  /** A pod writes the state of a source that had events so often, in seconds (`CHECKPOINT_INTERVAL_MS=auto`). */
  flushSeconds: 10,
  /** Write units of a state: 256 request ids are 2 KiB of it. */
  stateUnits: 3,
  /** Lease renewals and checkpoints of a shard, write units a second; and reads of the lease table, read units. */
  leaseWritesPerSecond: 1.3,
  leaseReadsPerSecond: 1,
  /** CPU seconds for 10,000 events: the bars that `npm run bench` must stay below. */
  producerCpuPer10k: 0.55,
  consumerCpuPer10k: 0.14,
  /** vCPU and GiB of a pod, and how busy it is planned to be. */
  podVcpu: 0.25,
  podGib: 0.5,
  podUtilization: 0.6,
  /** A Lambda invocation: milliseconds, and milliseconds more for each event; its memory in GB. */
  lambdaMs: 20,
  lambdaMsPerEvent: 0.2,
  lambdaGb: 0.25,
  lambdaBatchRecords: 100,
  lambdaWindowSeconds: 5,
  lambdaParallelization: 2,
  alarms: 5,
  imageGb: 1,
} as const;

/** The monthly bill of a workload at list prices. What every cluster has anyway is not in it: nodes' control plane, load balancer, NAT. */
export function estimate(w: Workload): Estimate {
  const streamBytes = w.eventBytes + ASSUMPTIONS.enrichmentBytes;
  const shards = shardsFor(w, streamBytes);
  const lines = [
    ...streamLines(w, streamBytes, shards),
    ...tableLines(w, shards),
    ...computeLines(w, shards),
    ...restLines(),
  ].filter(({ usd }) => usd > 0);
  return {
    lines,
    usd: lines.reduce((sum, line) => sum + line.usd, 0),
    shards,
    eventsPerMonth: w.eventsPerSecond * SECONDS,
  };
}

/** Shards that carry the rate; two at least, as the default stream has. */
function shardsFor(w: Workload, streamBytes: number): number {
  const byBytes = (w.eventsPerSecond * streamBytes) / (KB * KB);
  // Aggregates are far below 1,000 records a second.
  const byRecords = w.aggregation ? 0 : w.eventsPerSecond / 1000;
  return Math.max(2, Math.ceil(Math.max(byBytes, byRecords) / ASSUMPTIONS.utilization));
}

/** Kinesis records a second: aggregates when the producer makes them. */
function recordsPerSecond(w: Workload, shards: number): number {
  return w.aggregation
    ? Math.min(w.eventsPerSecond, shards * ASSUMPTIONS.aggregatesPerShardSecond)
    : w.eventsPerSecond;
}

function streamLines(w: Workload, streamBytes: number, shards: number): CostLine[] {
  const { kinesis } = PRICES;
  const line = (what: string, amount: string, usd: number): CostLine => ({
    part: 'stream',
    what,
    amount,
    usd,
  });
  const records = recordsPerSecond(w, shards);
  const recordBytes = records === 0 ? 0 : (w.eventsPerSecond * streamBytes) / records;
  const gb = (records * SECONDS * Math.max(KB, Math.ceil(recordBytes / KB) * KB)) / GB;
  if (w.stream === 'on-demand')
    return [
      line('stream, on demand', `${HOURS} h`, HOURS * kinesis.onDemandStreamHour),
      line('data in, on demand', `${round(gb)} GB`, gb * kinesis.onDemandInGb),
      line('data out, on demand', `${round(gb)} GB`, gb * kinesis.onDemandOutGb),
    ];
  const units = records * SECONDS * Math.ceil(recordBytes / (25 * KB));
  const shardHours = shards * HOURS;
  return [
    line(
      'shards',
      `${shards} × ${HOURS} h`,
      shardHours * kinesis.shardHour +
        (w.retentionHours > 24 ? shardHours * kinesis.extendedRetentionShardHour : 0),
    ),
    line('PUT payload units', millions(units), (units / MILLION) * kinesis.millionPutUnits),
    ...(w.fanout
      ? [
          line(
            'enhanced fan-out',
            `${shards} × ${HOURS} h, ${round(gb)} GB`,
            shardHours * kinesis.fanoutShardHour + gb * kinesis.fanoutGb,
          ),
        ]
      : []),
  ];
}

function tableLines(w: Workload, shards: number): CostLine[] {
  const { dynamodb } = PRICES;
  const itemBytes = w.eventBytes + ASSUMPTIONS.enrichmentBytes + ASSUMPTIONS.itemOverheadBytes;
  const unitsPerItem = Math.ceil(itemBytes / KB);
  const anomalies = w.eventsPerSecond * w.anomalyShare;
  const items = w.store === 'all' ? w.eventsPerSecond : anomalies;
  // An anomaly is in the sparse index too.
  const itemUnits = (items + anomalies) * unitsPerItem * SECONDS;
  const states = statesPerSecond(w, shards) * ASSUMPTIONS.stateUnits;
  const rollups = Math.min(w.eventsPerSecond, w.sources / 60);
  const rollupUnits = w.store === 'anomalies' ? (states + rollups) * SECONDS : 0;
  const leases = w.consumer === 'pods' ? shards : 0;
  const leaseUnits = leases * ASSUMPTIONS.leaseWritesPerSecond * SECONDS;
  const leaseReads = leases * ASSUMPTIONS.leaseReadsPerSecond * SECONDS;
  const storedGb = ((items + anomalies) * itemBytes * w.itemDays * 86_400) / GB;
  const write = (what: string, units: number): CostLine => ({
    part: 'tables',
    what,
    amount: `${millions(units)} write units`,
    usd: (units / MILLION) * dynamodb.millionWriteUnits,
  });
  return [
    write(w.store === 'all' ? 'results of all events' : 'results of anomalies', itemUnits),
    write('rollups and states', rollupUnits),
    write('leases', leaseUnits),
    {
      part: 'tables',
      what: 'reads of leases',
      amount: `${millions(leaseReads)} read units`,
      usd: (leaseReads / MILLION) * dynamodb.millionReadUnits,
    },
    {
      part: 'tables',
      what: `storage of ${w.itemDays} days, with recovery`,
      amount: `${round(storedGb)} GB`,
      usd: storedGb * (dynamodb.storageGbMonth + dynamodb.recoveryGbMonth),
    },
  ];
}

/** Writes of states: at a pod's checkpoints, and at the end of each invocation of a function. */
function statesPerSecond(w: Workload, shards: number): number {
  const { flushSeconds, lambdaParallelization } = ASSUMPTIONS;
  const flushes =
    w.consumer === 'pods' ? 1 / flushSeconds : invocations(w, shards) / (shards * lambdaParallelization);
  return Math.min(w.eventsPerSecond, w.sources * flushes);
}

/** Invocations of the function a second. */
function invocations(w: Workload, shards: number): number {
  const records = recordsPerSecond(w, shards);
  const { lambdaBatchRecords, lambdaParallelization, lambdaWindowSeconds } = ASSUMPTIONS;
  return Math.min(
    records,
    Math.max(records / lambdaBatchRecords, (shards * lambdaParallelization) / lambdaWindowSeconds),
  );
}

function computeLines(w: Workload, shards: number): CostLine[] {
  const producers = podsLine('producer pods', w.eventsPerSecond, ASSUMPTIONS.producerCpuPer10k, 2);
  if (w.consumer === 'pods')
    return [
      producers,
      podsLine('consumer pods', w.eventsPerSecond, ASSUMPTIONS.consumerCpuPer10k, 1),
      podsLine('controller and console pods', 0, 0, 3),
    ];
  const batches = invocations(w, shards);
  const seconds =
    ((batches * ASSUMPTIONS.lambdaMs + w.eventsPerSecond * ASSUMPTIONS.lambdaMsPerEvent) / 1000) * SECONDS;
  const { lambda } = PRICES;
  return [
    producers,
    {
      part: 'compute',
      what: 'Lambda requests',
      amount: millions(batches * SECONDS),
      usd: ((batches * SECONDS) / MILLION) * lambda.millionRequests,
    },
    {
      part: 'compute',
      what: 'Lambda duration, arm64',
      amount: `${millions(seconds * ASSUMPTIONS.lambdaGb)} GB-s`,
      usd: seconds * ASSUMPTIONS.lambdaGb * lambda.gbSecond,
    },
  ];
}

function podsLine(what: string, rate: number, cpuPer10k: number, least: number): CostLine {
  const busy = (rate / 10_000) * cpuPer10k;
  const pods = Math.max(least, Math.ceil(busy / (ASSUMPTIONS.podVcpu * ASSUMPTIONS.podUtilization)));
  const { vcpuHour, gibHour } = PRICES.fargate;
  return {
    part: 'compute',
    what,
    amount: `${pods} × ${HOURS} h`,
    usd: pods * HOURS * (ASSUMPTIONS.podVcpu * vcpuHour + ASSUMPTIONS.podGib * gibHour),
  };
}

function restLines(): CostLine[] {
  const { fixed } = PRICES;
  const { alarms, imageGb } = ASSUMPTIONS;
  return [
    {
      part: 'rest',
      what: 'key, secret, dashboard, alarms, images',
      amount: `${alarms} alarms, ${imageGb} GB`,
      usd:
        fixed.kmsKeyMonth +
        fixed.secretMonth +
        fixed.dashboardMonth +
        alarms * fixed.alarmMonth +
        imageGb * fixed.ecrGbMonth,
    },
  ];
}

function round(n: number): string {
  return n.toLocaleString('en-US', { maximumFractionDigits: n < 10 ? 1 : 0 });
}

function millions(n: number): string {
  return `${round(n / MILLION)} M`;
}
