import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PRELOAD = new URL('exit-with-parent.ts', import.meta.url).href;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const KEPT_LINES = 50;
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 30_000;

/** How a process ended: one of the two is null. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A started process. */
export interface ManagedProcess {
  readonly name: string;
  readonly pid: number;
  /** Settles when the process is gone and its output is read. Never rejects. */
  readonly exited: Promise<Exit>;
  /** The last lines of its output, oldest first: standard output and standard error as they came. */
  lastLines(): string[];
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL if it is still there 30 s later. */
  stop(): Promise<Exit>;
}

export interface LaunchOptions<T> {
  name: string;
  /** Arguments of node: the script and its own. Runs with the repository as working directory. */
  args: readonly string[];
  /** The environment, whole: only PATH, the test run's mark and node's compile cache are added. */
  env: Readonly<Record<string, string>>;
  /** Called with each line of output until it returns something: the process is ready then. */
  ready: (line: string) => T | undefined;
  startTimeoutMs?: number;
  /** Called with each line of output. */
  onLine?: (line: string) => void;
}

/** A process could not be started; the message holds its last lines. */
export class ProcessStartError extends Error {
  override readonly name = 'ProcessStartError';
}

/**
 * Starts a node process (on the node that runs this one) and waits until it is ready. It ends with its parent.
 *
 * @throws ProcessStartError when it exits before it is ready or is not ready in time; it is killed then.
 */
export async function launch<T>(options: LaunchOptions<T>): Promise<{ process: ManagedProcess; ready: T }> {
  const { name, args, env, startTimeoutMs = START_TIMEOUT_MS } = options;
  const child = spawn(process.execPath, ['--import', PRELOAD, ...args], {
    cwd: ROOT,
    env: { ...inherited(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C in a terminal reaches the parent only, which then stops its parts in their order.
    detached: true,
  });
  child.stdin.on('error', () => {}); // EPIPE when it dies: `exited` tells
  const lines: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  const ready = new Promise<T>((resolve, reject) => {
    const fail = (what: string) => reject(new ProcessStartError(`${name} ${what}${tail(lines)}`));
    collectLines(child, (line) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
      options.onLine?.(line);
      const value = options.ready(line);
      if (value !== undefined) resolve(value);
    });
    child.once('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('close', (code, signal) => fail(`exited before it was ready (${code ?? signal})`));
    timer = setTimeout(() => fail(`was not ready after ${startTimeoutMs} ms`), startTimeoutMs);
  });
  const managed = manage(name, child, lines);
  try {
    return { process: managed, ready: await ready };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function manage(name: string, child: ChildProcess, lines: readonly string[]): ManagedProcess {
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: null, signal: null }));
  });
  return {
    name,
    pid: child.pid ?? -1,
    exited,
    lastLines: () => [...lines],
    signal: (signal) => void child.kill(signal),
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      try {
        return await exited;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function collectLines(child: ChildProcess, onLine: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream) createInterface({ input: stream }).on('line', onLine);
  }
}

function inherited(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of ['PATH', 'WEIR_TEST_RUN', 'NODE_COMPILE_CACHE']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

function tail(lines: readonly string[]): string {
  return lines.length === 0 ? ', without a word' : `; its last lines:\n${lines.slice(-15).join('\n')}`;
}
