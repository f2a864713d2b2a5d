import type { Clock } from '../../shared/clock.ts';
import type { EnvOf } from '../../shared/config.ts';
import { ConfigError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { producerEnv } from '../config.ts';
import type { ProducerMetrics } from '../metrics.ts';
import type { Authenticator } from './authenticator.ts';
import { JwtAuthenticator } from './jwt.ts';
import { KeyFile } from './key-file.ts';

export interface Auth {
  /** Undefined: everybody may send everything. */
  authenticator: Authenticator | undefined;
  stop(): Promise<void>;
}

interface AuthDeps {
  clock: Clock;
  log: Logger;
  metrics: ProducerMetrics;
}

type Config = EnvOf<typeof producerEnv>;

/** What `AUTH` asks for. @throws ConfigError when a variable that it needs is missing or its file is not usable. */
export async function createAuth(config: Config, { clock, log, metrics }: AuthDeps): Promise<Auth> {
  const stopping = new AbortController();
  let background: Promise<void> = Promise.resolve();
  let authenticator: Authenticator | undefined;
  if (config.AUTH === 'none') log.warn('AUTH=none: everybody who reaches this port may send events');
  if (config.AUTH === 'api-key') {
    const onRead = (outcome: 'loaded' | 'failed') => metrics.keyFileReads.inc({ outcome });
    const file = await KeyFile.open(needed(config, 'AUTH_KEYS_FILE'), { clock, log, onRead });
    background = file.watch(stopping.signal);
    authenticator = file;
  }
  if (config.AUTH === 'jwt') {
    const jwksUrl = needed(config, 'JWT_JWKS_URL');
    checkJwksUrl(jwksUrl);
    const jwt = new JwtAuthenticator(
      {
        issuer: needed(config, 'JWT_ISSUER'),
        audience: needed(config, 'JWT_AUDIENCE'),
        jwksUrl,
        algorithms: config.JWT_ALGORITHMS,
        clockToleranceSeconds: config.JWT_CLOCK_TOLERANCE_SECONDS,
        sourcesClaim: config.JWT_SOURCES_CLAIM,
      },
      { clock, log },
    );
    background = jwt.refreshing(stopping.signal);
    authenticator = jwt;
  }
  return {
    authenticator,
    async stop() {
      stopping.abort();
      await background;
    },
  };
}

function needed(
  config: Config,
  name: 'AUTH_KEYS_FILE' | 'JWT_ISSUER' | 'JWT_AUDIENCE' | 'JWT_JWKS_URL',
): string {
  const value = config[name];
  if (value === undefined) throw new ConfigError(`AUTH=${config.AUTH} needs ${name}`);
  return value;
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Who can change the keys on their way can make any token. */
function checkJwksUrl(url: string): void {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:' && !LOOPBACK.test(hostname)) {
    throw new ConfigError('JWT_JWKS_URL must be https, except on loopback');
  }
}
