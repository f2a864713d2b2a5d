import type { Registry } from 'prom-client';
import { systemClock } from './clock.ts';
import { type EnvOf, type EnvShape, parseEnv } from './config.ts';
import { ConfigError } from './errors.ts';
import { createLogger, type Logger } from './log.ts';
import { collectProcessMetrics, createRegistry } from './metrics.ts';
import { Shutdown } from './shutdown.ts';
import { StandardOutput } from './standard-output.ts';

/** Exit code for a configuration that can't be used: EX_CONFIG of sysexits(3). */
const EXIT_CONFIG = 78;

/** What every process of ours has from its start. */
export interface ServiceContext<S extends EnvShape> {
  config: EnvOf<S>;
  log: Logger;
  registry: Registry;
  /** Writes a line that is no log line to standard output, in turn with those that are. */
  writeLine: (line: string) => void;
  /** Add the stop steps as the parts start; signals are already listened to. */
  shutdown: Shutdown;
}

/** The variables that `runService` itself reads. */
type ServiceEnv = EnvShape & {
  readonly LOG_LEVEL: EnvShape[string];
  readonly SHUTDOWN_TIMEOUT_MS: EnvShape[string];
};

/**
 * The frame of a service's `main.ts`: reads the configuration (exit 78 with a plain message when it is bad), makes
 * log, metrics and two-stage shutdown, and turns an error nobody caught, or a log that can't be written, into a clean
 * stop with exit 1.
 *
 * @param start wires and starts the service; a ConfigError that it throws before it listens counts as a bad configuration.
 */
export async function runService<S extends ServiceEnv>(
  name: string,
  env: S,
  start: (context: ServiceContext<S>) => Promise<void>,
): Promise<void> {
  let config: EnvOf<S>;
  try {
    config = parseEnv(env, process.env);
  } catch (error) {
    exitIfConfig(name, error);
    throw error;
  }
  const output: StandardOutput = new StandardOutput({
    lost: (error) => {
      process.stderr.write(`${name}: stops, since its log can not be written: ${error.message}\n`);
      void shutdown.run('the log can not be written', 1);
    },
    dropped: (lines) => log.warn({ lines }, 'standard output was stuck: these were dropped'),
  });
  const log = createLogger(name, String(config.LOG_LEVEL), output);
  const registry = createRegistry(name);
  collectProcessMetrics(registry);
  const shutdown: Shutdown = new Shutdown({
    log,
    clock: systemClock,
    timeoutMs: Number(config.SHUTDOWN_TIMEOUT_MS),
    exit: (code) => void output.end().then(() => process.exit(code)),
  });
  shutdown.listen();
  const fatal = (reason: string) => (error: unknown) => {
    log.fatal({ err: error }, reason);
    void shutdown.run(reason, 1);
  };
  process.on('uncaughtException', fatal('uncaught exception'));
  process.on('unhandledRejection', fatal('unhandled rejection'));
  try {
    const writeLine = (line: string) => output.write(`${line}\n`);
    await start({ config, log, registry, writeLine, shutdown });
  } catch (error) {
    await output.end();
    exitIfConfig(name, error);
    fatal('start failed')(error);
  }
}

function exitIfConfig(name: string, error: unknown): void {
  if (!(error instanceof ConfigError)) return;
  process.stderr.write(`${name}: ${error.message}\n`);
  process.exit(EXIT_CONFIG);
}
