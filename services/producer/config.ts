import { isIP } from 'node:net';
import {
  commonEnv,
  type EnvOf,
  type EnvShape,
  integer,
  milliseconds,
  oneOf,
  optionalText,
  optionalUrl,
  parsed,
  port,
  text,
  tracingEnv,
} from '../shared/config.ts';
import { ConfigError } from '../shared/errors.ts';

/** Kinesis takes 1 MiB a record, partition key and enrichment included. */
const MAX_EVENT_BYTES = 1_000_000;

/** Asymmetric ones only: with a shared secret, who can check a token can make one. */
const ALGORITHMS: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** Environment of the producer. */
export const producerEnv = {
  ...commonEnv,
  ...tracingEnv,
  PORT: port('Port of the HTTP API.', 8080),
  MAX_EVENT_BYTES: integer('Largest event that is accepted, measured after decompression.', {
    default: 262_144,
    min: 1_024,
    max: MAX_EVENT_BYTES,
  }),
  EVENT_DEADLINE_MS: milliseconds(
    'Time after which an event is not sent again; its caller knows at most `PUT_TIMEOUT_MS` later.',
    {
      default: 5_000,
      min: 100,
      max: 60_000,
    },
  ),
  LINGER_MS: milliseconds('Longest time an event waits for company while a PutRecords call is in flight.', {
    default: 5,
    max: 1_000,
  }),
  MAX_IN_FLIGHT_CALLS: integer('PutRecords calls in flight at once.', { default: 4, min: 1, max: 64 }),
  SOURCE_ORDER: oneOf(
    'Order of the events of a source. `relaxed`: one posted after the answer to another comes after it. `strict`: also those that wait for their answers together, at the price of one event of a source a PutRecords call.',
    ['relaxed', 'strict'],
    'relaxed',
  ),
  AGGREGATION: oneOf(
    'How events become Kinesis records. `off`: one record each. `key`: the events of a source in a call share KPL aggregates. `shard`: the events of a shard do.',
    ['off', 'key', 'shard'],
    'shard',
  ),
  BUFFER_MAX_BYTES: integer('Events that may wait for Kinesis, in bytes; more are answered 503.', {
    default: 33_554_432,
    min: 1_048_576,
  }),
  BUFFER_MAX_RECORDS: integer('Events that may wait for Kinesis; more are answered 503.', {
    default: 50_000,
    min: 1,
  }),
  BUFFER_MAX_AGE_MS: milliseconds(
    'How long the events of a shard may wait for a call before more of them are answered 429 (the shard throttles) or 503.',
    { default: 2_000, min: 10, max: 60_000 },
  ),
  BODIES_MAX_BYTES: integer(
    'Requests in hand, in bytes: bodies that are being read, 8 KiB for each event that waits alone, outcomes of batches that are not yet answered. More are answered 503.',
    {
      default: 67_108_864,
      min: 1_048_576,
    },
  ),
  MAX_BATCH_BYTES: integer(
    'Largest body of `POST /send/batch`, measured after decompression. Two of them have to fit in `BODIES_MAX_BYTES`, beside 512 bytes for each of `MAX_BATCH_EVENTS`.',
    {
      default: 10_485_760,
      min: 1_024,
      max: 268_435_456,
    },
  ),
  MAX_BATCH_EVENTS: integer('Events that one `POST /send/batch` may have.', {
    default: 10_000,
    min: 1,
    max: 1_000_000,
  }),
  CLIENT_EVENTS_PER_SECOND: integer(
    'Quota of one client, its address unless it is authenticated; more are answered 429. 0: none.',
    { default: 0 },
  ),
  SOURCE_EVENTS_PER_SECOND: integer('Quota of one source; more are answered 429. 0: none.', { default: 0 }),
  IDEMPOTENCY_WINDOW_BYTES: integer('Answers that are remembered by idempotency key, in bytes.', {
    default: 16_777_216,
  }),
  IDEMPOTENCY_WINDOW_MS: milliseconds('How long an answer is remembered by its idempotency key.', {
    default: 600_000,
  }),
  REQUEST_TIMEOUT_MS: milliseconds(
    'Time a client has to send a whole request; a slower one is answered 408 and its connection closed.',
    { default: 15_000, min: 1_000, max: 300_000 },
  ),
  MAX_CONNECTIONS: integer('HTTP connections at once; more are closed at once.', { default: 10_000, min: 1 }),
  DRAIN_DELAY_MS: milliseconds(
    'Time to go on serving after a stop was asked for, not ready, so that load balancers send elsewhere first.',
    { default: 0, max: 60_000 },
  ),
  PUT_TIMEOUT_MS: milliseconds('Time a PutRecords call may take before it is given up and made again.', {
    default: 2_000,
    min: 50,
    max: 30_000,
  }),
  TRUST_PROXY: parsed<TrustedProxies>(
    'Proxies whose `X-Forwarded-For` is believed when `source_ip` is set.',
    {
      default: 'none',
      accepts:
        '`none`, a number of hops, or a list of addresses, CIDR ranges, `loopback`, `linklocal`, `uniquelocal`',
      parse: parseTrustedProxies,
    },
  ),
  AUTH: oneOf(
    'Who may send events. `none`: everybody who reaches the port. `api-key`: who has a key of `AUTH_KEYS_FILE`. `jwt`: who has a token of `JWT_ISSUER`.',
    ['none', 'api-key', 'jwt'],
    'none',
  ),
  AUTH_KEYS_FILE: optionalText(
    'File with the API keys, read again when it changes; `weir keys create` makes them.',
  ),
  JWT_ISSUER: optionalText('Issuer (`iss`) that tokens must be of.'),
  JWT_AUDIENCE: optionalText('Audience (`aud`) that tokens must be for.'),
  JWT_JWKS_URL: optionalUrl("The issuer's JSON Web Key Set; https, except on loopback."),
  JWT_ALGORITHMS: parsed<readonly string[]>('Signature algorithms that tokens may have.', {
    default: 'RS256,ES256,EdDSA',
    accepts: `list of ${ALGORITHMS.map((name) => `\`${name}\``).join(', ')}`,
    parse: (value) => listOf(value, (name) => ALGORITHMS.includes(name)),
  }),
  JWT_CLOCK_TOLERANCE_SECONDS: integer('By how much the clock of the issuer may differ from ours.', {
    default: 30,
    max: 600,
  }),
  JWT_SOURCES_CLAIM: text(
    'Claim with the sources that a token may send: a list, or text with spaces between them.',
    {
      default: 'weir_sources',
    },
  ),
  CORS_ORIGINS: parsed<readonly string[]>('Origins whose web pages may send events.', {
    default: 'none',
    accepts: '`none`, `*`, or a list of origins like `https://app.example.com`',
    parse: parseOrigins,
  }),
} as const satisfies EnvShape;

/** What the outcome of an event of a batch takes until it is answered, about. */
export const OUTCOME_BYTES = 512;

/**
 * One that needs more room than there is would be told to come again later, for ever.
 *
 * @throws ConfigError when `BODIES_MAX_BYTES` has no room for the largest batch that may come.
 */
export function assertRoomForBatches(
  config: Pick<EnvOf<typeof producerEnv>, 'BODIES_MAX_BYTES' | 'MAX_BATCH_BYTES' | 'MAX_BATCH_EVENTS'>,
): void {
  // A body whose length nobody announced takes up to twice its bytes while it grows.
  const needed = 2 * config.MAX_BATCH_BYTES + config.MAX_BATCH_EVENTS * OUTCOME_BYTES;
  if (needed <= config.BODIES_MAX_BYTES) return;
  throw new ConfigError(
    `BODIES_MAX_BYTES=${config.BODIES_MAX_BYTES} has no room for the largest batch: raise it to ${needed} or more, or lower MAX_BATCH_BYTES or MAX_BATCH_EVENTS`,
  );
}

/** As express takes it: nobody, so many hops, or these addresses. */
export type TrustedProxies = false | number | string[];

const NAMED_RANGES = new Set(['loopback', 'linklocal', 'uniquelocal']);

function parseTrustedProxies(value: string): TrustedProxies | undefined {
  if (value === 'none') return false;
  if (/^[1-9]$/.test(value)) return Number(value);
  const ranges = value.split(',').map((range) => range.trim());
  return ranges.every((range) => NAMED_RANGES.has(range) || isRange(range)) ? ranges : undefined;
}

function isRange(range: string): boolean {
  const [address = '', prefix, ...more] = range.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

/** A list with commas of which each item is accepted; undefined when one isn't, or there is none. */
function listOf(value: string, accepted: (item: string) => boolean): string[] | undefined {
  const items = value.split(',').map((item) => item.trim());
  return items.every(accepted) ? items : undefined;
}

function parseOrigins(value: string): string[] | undefined {
  if (value === 'none') return [];
  if (value === '*') return ['*'];
  return listOf(
    value,
    (origin) => /^https?:/.test(origin) && URL.canParse(origin) && new URL(origin).origin === origin,
  );
}
