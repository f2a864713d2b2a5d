import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const RUNNER = fileURLToPath(new URL('lambda-runner.ts', import.meta.url));

/** A function whose bundle runs in a process of its own: its sandbox. */
export interface LambdaFunction {
  /**
   * @throws Error when the function threw, or `timeoutMs` went by: then its sandbox is killed, as Lambda does, and the
   *   next invocation begins with a cold one.
   */
  invoke(event: unknown): Promise<unknown>;
  /** From the start of the last sandbox to its loaded bundle, in ms. */
  readonly initMs: number;
  /** CPU time of the same, user and system, in ms. */
  readonly initCpuMs: number;
  /** Lines that its sandboxes wrote to standard output. */
  readonly output: readonly string[];
  stop(): Promise<void>;
}

export interface LambdaOptions {
  /** Path of the bundle, or of `lambda.ts` itself. */
  bundle: string;
  /** The environment, whole. */
  env: Readonly<Record<string, string>>;
  timeoutMs: number;
}

interface Reply {
  id?: number;
  answer?: unknown;
  error?: string;
  initMs?: number;
  initCpuMs?: number;
}

/** A function that isn't started until it is invoked. */
export function lambdaFunction({ bundle, env, timeoutMs }: LambdaOptions): LambdaFunction {
  const output: string[] = [];
  let sandbox: Promise<ChildProcess> | undefined;
  let initMs = Number.NaN;
  let initCpuMs = Number.NaN;
  let invocations = 0;

  function start(): Promise<ChildProcess> {
    const child = fork(RUNNER, [bundle], {
      env: { PATH: process.env.PATH ?? '', ...env },
      execArgv: [],
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    child.stdout
      ?.setEncoding('utf8')
      .on('data', (text: string) => output.push(...text.split('\n').filter(Boolean)));
    return new Promise((resolve, reject) => {
      child.once('message', (message: Reply) => {
        initMs = message.initMs ?? Number.NaN;
        initCpuMs = message.initCpuMs ?? Number.NaN;
        resolve(child);
      });
      child.once('exit', (code) => reject(new Error(`the sandbox ended at its start: ${code}`)));
    });
  }

  return {
    output,
    get initMs() {
      return initMs;
    },
    get initCpuMs() {
      return initCpuMs;
    },
    async invoke(event) {
      sandbox ??= start();
      const child = await sandbox;
      const id = ++invocations;
      return new Promise((resolve, reject) => {
        const settle = (done: () => void) => {
          clearTimeout(timer);
          child.off('message', onMessage);
          child.off('exit', onExit);
          done();
        };
        const onMessage = (reply: Reply) => {
          if (reply.id !== id) return;
          settle(() => (reply.error === undefined ? resolve(reply.answer) : reject(new Error(reply.error))));
        };
        const onExit = () => {
          sandbox = undefined;
          settle(() => reject(new Error('Runtime exited')));
        };
        const timer = setTimeout(() => {
          child.kill('SIGKILL');
          sandbox = undefined;
          settle(() => reject(new Error(`Task timed out after ${timeoutMs} ms`)));
        }, timeoutMs);
        child.on('message', onMessage);
        child.once('exit', onExit);
        child.send({ id, event, timeoutMs });
      });
    },
    async stop() {
      const child = await sandbox?.catch(() => undefined);
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}
