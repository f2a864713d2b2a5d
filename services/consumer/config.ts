import {
  checkDetector,
  DETECTOR_NAMES,
  type DetectorParameters,
  parseDetectorParameters,
} from '../detectors/registry.ts';
import {
  commonEnv,
  decimal,
  type EnvOf,
  type EnvShape,
  integer,
  milliseconds,
  oneOf,
  parsed,
  tableEnv,
  text,
  tracingEnv,
} from '../shared/config.ts';
import { ConfigError } from '../shared/errors.ts';
import { FETCH_MODES } from './fetch/modes.ts';
import type { StartingPosition } from './lineage/lineage.ts';

/** Environment of the consumer. */
export const consumerEnv = {
  ...commonEnv,
  ...tracingEnv,
  ...tableEnv,
  STORE: oneOf(
    'What has an item in the records table: all records, or anomalies; with `anomalies` all records count in rollups, one a source and minute, in the state table.',
    ['all', 'anomalies'],
    'all',
  ),
  ITEM_DAYS: integer(
    "Days after its record's arrival until an item of the records table expires, where the table has TTL on `expires_at`. 0: never.",
    { default: 0, max: 36_500 },
  ),
  STARTING_POSITION: parsed<StartingPosition>('Where an application without leases begins to read.', {
    default: 'LATEST',
    accepts: '`LATEST`, `TRIM_HORIZON` or an ISO 8601 time',
    parse: parseStartingPosition,
  }),
  DETECTOR: text('Anomaly detector.', {
    default: 'threshold',
    pattern: /^[a-zA-Z0-9_.-]{1,64}$/,
    accepts: `${DETECTOR_NAMES.map((name) => `\`${name}\``).join(', ')} or a name that \`DETECTOR_PARAMS\` defines`,
  }),
  DETECTOR_PARAMS: parsed<DetectorParameters>(
    'Parameters by detector (services/detectors/README.md), like `{"threshold": {"perSource": {"boiler": 80}}}`.',
    { default: '{}', accepts: 'JSON object of objects', parse: parseDetectorParameters },
  ),
  THRESHOLD: decimal(
    'Amount above which the `threshold` detector sees an anomaly, unless `DETECTOR_PARAMS` says otherwise.',
    { default: 1000, min: 1e-100 },
  ),
  CHALLENGERS: parsed<readonly string[]>(
    'Detectors, by name, that score along and decide nothing: their verdicts are counted, their states kept warm.',
    { default: '', accepts: 'names as `DETECTOR` takes them, with commas', parse: parseNames },
  ),
  CHALLENGER_LIMIT_MICROS: decimal(
    'Time a challenger may take for a record, in µs, besides 5 ms for a slice of up to 500; three slices in a row above it and it is cut off.',
    { default: 100, min: 0.001 },
  ),
  DEDUPE_WINDOW: parsed<number | 'auto'>(
    "Request ids kept of each source to pass over a producer's retry; `auto`: 256 where a state is kept anyway, else 0.",
    { default: 'auto', accepts: '`auto`, or whole number 0-8192', parse: parseDedupeWindow },
  ),
  STATE_CACHE_BYTES: integer('States kept in memory, in bytes; the least recently met make room.', {
    default: 128 * 1024 * 1024,
    min: 1024 * 1024,
  }),
  STATE_TTL_DAYS: integer(
    "Days after its last write until the state of a silent source expires, where the table has TTL on `expires_at`. A source that comes back later begins anew: its detector learns again, its request ids are forgotten. 0: never; so too with `STORE=anomalies`, where the state has the source's last minute.",
    { default: 90, max: 36_500 },
  ),
  LEASE_DURATION_MS: milliseconds('Time after which a lease that is not renewed may be taken.', {
    default: 10_000,
    min: 300,
  }),
  FETCH: oneOf(
    'How shards are read. `polling`: by GetRecords, within the 5 calls a second that all readers of a shard share. `fanout`: pushed by SubscribeToShard to a registered consumer, which AWS bills. `auto`: as `fanout`, or by polling where that is not permitted or not there; then it is tried again after a minute, and each time after twice as long, up to an hour.',
    FETCH_MODES,
    'polling',
  ),
  POLL_INTERVAL_MS: milliseconds(
    'Pause between reads of a shard where nothing comes; a shard that has records is read up to 3 times a second, one that is behind up to 5 times.',
    { default: 1_000, min: 200, max: 60_000 },
  ),
  PREFETCH_BYTES: integer(
    'Records that are read ahead of their processing, all shards together; each shard may have one batch (10 MiB at most) whatever this says.',
    { default: 16_777_216 },
  ),
  FANOUT_CONSUMER: parsed<string>(
    'Registered consumer of enhanced fan-out, by name or ARN; left out, it has the name of `LEASE_TABLE` without `-leases`. Applications must not share one: they would take the shards from each other.',
    {
      default: '',
      accepts: 'name of 1-128 letters, digits, `_`, `.` or `-`, or an ARN',
      parse: (value) => (/^(arn:[\w:/.-]{1,2040}|[\w.-]{0,128})$/.test(value) ? value : undefined),
    },
  ),
  FANOUT_REGISTER: oneOf(
    'Whether `FANOUT_CONSUMER` is registered when it is not. It is never deregistered.',
    ['true', 'false'],
    'true',
  ),
  CORRUPT_AGGREGATES: oneOf(
    'What becomes of a record that begins as a KPL aggregate and is none. `quarantine`: a dead letter, whole. `accept`: it is taken for a plain record, as in KCL.',
    ['quarantine', 'accept'],
    'quarantine',
  ),
  STRAY_RECORDS: oneOf(
    "What becomes of a user record of an aggregate whose hash key is not its shard's. `accept`: it is processed. `quarantine`: it becomes a dead letter.",
    ['accept', 'quarantine'],
    'accept',
  ),
  CHECKPOINT_INTERVAL_MS: parsed<number | 'auto'>(
    'Least time between two checkpoints of a shard, and so between two writes of a state; `auto`: 10000 where states are kept, else 1000. After a lease was taken the first comes at once, the next ones at pauses that double up to this.',
    { default: 'auto', accepts: '`auto`, or whole number ≥ 0', parse: parseCheckpointInterval },
  ),
  WRITE_CONCURRENCY: integer('BatchWriteItem calls in flight at once.', { default: 16, min: 1, max: 64 }),
  WRITE_RETRY_MS: milliseconds(
    'Least time for which the write of an item is tried again before the item becomes a dead letter; it must have failed 5 times too, by no throttle, while its table takes other writes. A table that takes none, or throttles, is waited for without end.',
    { default: 30_000, max: 3_600_000 },
  ),
  METRICS_EMF: oneOf(
    'Whether CloudWatch metrics are written to standard output once a minute, in the embedded metric format, for Fluent Bit or the CloudWatch agent to pick up.',
    ['true', 'false'],
    'false',
  ),
  LIVENESS_TIMEOUT_MS: milliseconds('Time without progress after which a loop counts as stuck.', {
    default: 60_000,
    min: 1_000,
  }),
} as const satisfies EnvShape;

/** What only pods have: servers, leases, readers and traces of their own. */
const POD_ONLY = [
  'HOST',
  'ADMIN_PORT',
  'SHUTDOWN_TIMEOUT_MS',
  'LIVENESS_TIMEOUT_MS',
  'METRICS_EMF',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_TRACES_SAMPLER_ARG',
  'OTEL_SERVICE_NAME',
  'LEASE_TABLE',
  'LEASE_DURATION_MS',
  'STARTING_POSITION',
  'CHECKPOINT_INTERVAL_MS',
  'FETCH',
  'POLL_INTERVAL_MS',
  'PREFETCH_BYTES',
  'FANOUT_CONSUMER',
  'FANOUT_REGISTER',
] as const;

/** Environment of the function: the rest. */
export const lambdaEnv = Object.fromEntries(
  Object.entries(consumerEnv).filter(([name]) => !(POD_ONLY as readonly string[]).includes(name)),
) as Omit<typeof consumerEnv, (typeof POD_ONLY)[number]>;

/** Parameters of all detectors: `DETECTOR_PARAMS`, with `THRESHOLD` where those say nothing. */
export function detectorParameters(config: {
  DETECTOR_PARAMS: DetectorParameters;
  THRESHOLD: number;
}): DetectorParameters {
  const { DETECTOR_PARAMS, THRESHOLD } = config;
  return { ...DETECTOR_PARAMS, threshold: { threshold: THRESHOLD, ...DETECTOR_PARAMS.threshold } };
}

/** The variables that say which detectors there are. */
export const detectionEnv = {
  DETECTOR: consumerEnv.DETECTOR,
  DETECTOR_PARAMS: consumerEnv.DETECTOR_PARAMS,
  THRESHOLD: consumerEnv.THRESHOLD,
  CHALLENGERS: consumerEnv.CHALLENGERS,
  CHALLENGER_LIMIT_MICROS: consumerEnv.CHALLENGER_LIMIT_MICROS,
} as const satisfies EnvShape;

/**
 * Checks what can be known of the detectors before a consumer starts; only a model shows what it is when it is loaded.
 *
 * @throws ConfigError for a detector that is unknown, has parameters that it doesn't take, or is there twice.
 */
export function checkDetectors(config: EnvOf<typeof detectionEnv>): void {
  const parameters = detectorParameters(config);
  const names = [config.DETECTOR, ...config.CHALLENGERS];
  refuseTwice(names);
  for (const name of new Set([...names, ...Object.keys(parameters)])) checkDetector(name, parameters);
}

/** @throws ConfigError for a challenger that is the champion. */
export function refuseTwice(names: readonly string[]): void {
  if (new Set(names).size < names.length)
    throw new ConfigError(`DETECTOR and CHALLENGERS name a detector twice: ${names.join()}`);
}

function parseNames(value: string): readonly string[] | undefined {
  const names = value
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const fine = names.every((name) => /^[a-zA-Z0-9_.-]{1,64}$/.test(name));
  return fine && new Set(names).size === names.length ? names : undefined;
}

function parseCheckpointInterval(value: string): number | 'auto' | undefined {
  if (value === 'auto') return value;
  return /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

function parseDedupeWindow(value: string): number | 'auto' | undefined {
  if (value === 'auto') return value;
  return /^\d{1,4}$/.test(value) && Number(value) <= 8192 ? Number(value) : undefined;
}

/** `LATEST`, `TRIM_HORIZON` or a time, else `undefined`. */
function parseStartingPosition(value: string): StartingPosition | undefined {
  if (value === 'LATEST' || value === 'TRIM_HORIZON') return { type: value };
  if (!/^\d{4}-\d\d-\d\dT/.test(value)) return undefined;
  const timestamp = Date.parse(value);
  return Number.isNaN(timestamp) ? undefined : { type: 'AT_TIMESTAMP', timestamp };
}

/** What `CHECKPOINT_INTERVAL_MS` comes to, in ms: ten seconds of states written once cost a tenth. */
export function checkpointInterval(configured: number | 'auto', stateful: boolean): number {
  if (configured !== 'auto') return configured;
  return stateful ? 10_000 : 1_000;
}
