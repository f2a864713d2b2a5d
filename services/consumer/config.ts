import { DETECTOR_NAMES, type DetectorParameters, parseDetectorParameters } from '../detectors/registry.ts';
import { commonEnv, decimal, type EnvShape, integer, parsed, text } from '../shared/config.ts';
import type { StartingPosition } from './lineage/lineage.ts';

const table = (description: string, name: string) =>
  text(description, {
    default: name,
    pattern: /^[a-zA-Z0-9_.-]{3,255}$/,
    accepts: '3-255 letters, digits, `_`, `.` or `-`',
  });

/** Environment of the consumer. */
export const consumerEnv = {
  ...commonEnv,
  RECORDS_TABLE: table('DynamoDB table of scored events.', 'anomaly-stream-records'),
  LEASE_TABLE: table(
    'DynamoDB table of leases and checkpoints, laid out as KCL 3 does.',
    'anomaly-stream-leases',
  ),
  DEAD_LETTER_TABLE: table(
    'DynamoDB table of records that could not be processed.',
    'anomaly-stream-dead-letters',
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
  LEASE_DURATION_MS: integer('Time after which a lease that is not renewed may be taken.', {
    default: 10_000,
    min: 300,
  }),
  POLL_INTERVAL_MS: integer('Pause between reads of a shard once caught up.', { default: 250, min: 200 }),
  CHECKPOINT_INTERVAL_MS: integer('Least time between two checkpoints of a shard.', { default: 1_000 }),
  WRITE_CONCURRENCY: integer('BatchWriteItem calls in flight at once.', { default: 16, min: 1, max: 64 }),
  LIVENESS_TIMEOUT_MS: integer('Time without progress after which a loop counts as stuck.', {
    default: 60_000,
    min: 1_000,
  }),
} as const satisfies EnvShape;

/** Parameters of all detectors: `DETECTOR_PARAMS`, with `THRESHOLD` where those say nothing. */
export function detectorParameters(config: {
  DETECTOR_PARAMS: DetectorParameters;
  THRESHOLD: number;
}): DetectorParameters {
  const { DETECTOR_PARAMS, THRESHOLD } = config;
  return { ...DETECTOR_PARAMS, threshold: { threshold: THRESHOLD, ...DETECTOR_PARAMS.threshold } };
}

/** `LATEST`, `TRIM_HORIZON` or a time, else `undefined`. */
function parseStartingPosition(value: string): StartingPosition | undefined {
  if (value === 'LATEST' || value === 'TRIM_HORIZON') return { type: value };
  if (!/^\d{4}-\d\d-\d\dT/.test(value)) return undefined;
  const timestamp = Date.parse(value);
  return Number.isNaN(timestamp) ? undefined : { type: 'AT_TIMESTAMP', timestamp };
}
