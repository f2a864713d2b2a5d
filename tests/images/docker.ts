import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const READY_TIMEOUT_MS = 20_000;

/** The images, each built by `Dockerfile.<name>`. */
export const IMAGES: readonly string[] = ['producer', 'consumer', 'controller'];

export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await run('docker', args);
  return stdout.trim();
}

/** A service in a container, restricted as the rendered manifests restrict it in a pod. */
export interface Container {
  readonly id: string;
  /** From `docker run` to the line that says it listens, in ms; Docker's own start is in it. */
  readonly startedInMs: number;
  /** From the start of its process to that line, in ms. */
  readonly readyInMs: number;
  readonly ports: { port?: number; admin_port: number };
  logs(): Promise<string>;
  /** Resident memory of pid 1, in bytes. */
  rss(): Promise<number>;
  /** SIGTERM, as the kubelet does. @returns the exit code. */
  stop(): Promise<number>;
  remove(): Promise<void>;
}

/**
 * @param args after the image: a command other than the image's.
 * @param files of this machine, by where the container sees them.
 */
export async function runContainer(
  image: string,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  files: Readonly<Record<string, string>> = {},
): Promise<Container> {
  const variables = Object.entries({ HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0', ...env });
  const startedAt = performance.now();
  const id = await docker(
    ...['run', '--detach', '--network', 'host', '--read-only', '--cap-drop', 'ALL'],
    ...['--security-opt', 'no-new-privileges', '--memory', '256m', '--pids-limit', '64'],
    ...Object.entries(files).flatMap(([inside, file]) => ['--volume', `${file}:${inside}:ro`]),
    ...variables.flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    ...[image, ...args],
  );
  const logs = async () => {
    const { stdout, stderr } = await run('docker', ['logs', id]);
    return `${stdout}${stderr}`;
  };
  const remove = async () => void (await docker('rm', '--force', id));
  let line: { time: string | number; port?: number; admin_port: number } | undefined;
  while (line === undefined) {
    const found = (await logs()).split('\n').find((text) => text.includes('"msg":"listening"'));
    if (found) line = JSON.parse(found);
    else if (performance.now() - startedAt > READY_TIMEOUT_MS) {
      const said = await logs();
      await remove();
      throw new Error(`${image} was not ready in ${READY_TIMEOUT_MS} ms:\n${said}`);
    } else await sleep(50);
  }
  const startedInMs = performance.now() - startedAt;
  const pid = await docker('inspect', id, '--format', '{{.State.Pid}}');
  const processStartedAt = Date.parse(await docker('inspect', id, '--format', '{{.State.StartedAt}}'));
  return {
    id,
    startedInMs,
    readyInMs: new Date(line.time).getTime() - processStartedAt,
    ports: line,
    logs,
    remove,
    async rss() {
      const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return Number(kib) * 1024;
    },
    async stop() {
      await docker('stop', '--time', '30', id);
      return Number(await docker('inspect', id, '--format', '{{.State.ExitCode}}'));
    },
  };
}
