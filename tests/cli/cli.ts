import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject } from 'vitest';
import type { z } from 'zod';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { TestStack } from '../../services/testkit/stack.ts';

const MAIN = 'services/cli/main.ts';

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `weir` to its end. */
export function weir(
  args: readonly string[],
  { input = '', env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [MAIN, ...args],
      { env: { ...process.env, ...env } },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

/** Runs a command with `--json`, and holds what it printed to its schema. */
export async function json<T extends z.ZodType>(
  schema: T,
  args: readonly string[],
  { code = 0, input = '', env = {} }: { code?: number; input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<z.output<T>> {
  const ended = await weir([...args, '--json'], { input, env });
  expect(ended.code, `${ended.stderr}${ended.stdout}`).toBe(code);
  expect(ended.stdout.trimEnd()).not.toContain('\n');
  return schema.parse(JSON.parse(ended.stdout));
}

/** What the demo is made of, with names of its own (emulators, producer and consumer, each a process), and `weir` on it. */
export class Cli {
  readonly stack: TestStack;
  readonly producer: ServiceProcess;
  readonly consumer: ServiceProcess;
  /** For files of the test; also the cache in which a demo is found. */
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;

  static async start(): Promise<Cli> {
    const stack = await TestStack.create({
      kinesis: inject('kinesisEndpoint'),
      dynamodb: inject('dynamodbEndpoint'),
    });
    const [producer, consumer, folder] = await Promise.all([
      stack.start('producer'),
      stack.start('consumer', { STARTING_POSITION: 'TRIM_HORIZON' }),
      mkdtemp(join(tmpdir(), 'weir-cli-')),
    ]);
    return new Cli(stack, producer, consumer, folder);
  }

  private constructor(stack: TestStack, producer: ServiceProcess, consumer: ServiceProcess, folder: string) {
    this.stack = stack;
    this.producer = producer;
    this.consumer = consumer;
    this.folder = folder;
    this.env = {
      ...stack.env,
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      WEIR_URL: `http://127.0.0.1:${producer.ports.port}`,
      XDG_CACHE_HOME: folder,
    };
  }

  async close(): Promise<void> {
    await this.stack.close();
    await rm(this.folder, { recursive: true });
  }

  weir(args: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
    return weir(args, { ...options, env: { ...this.env, ...options.env } });
  }

  json<T extends z.ZodType>(
    schema: T,
    args: readonly string[],
    options: { code?: number; input?: string } = {},
  ): Promise<z.output<T>> {
    return json(schema, args, { ...options, env: this.env });
  }

  /** Starts a command that goes on. */
  spawn(args: readonly string[]): Going {
    const env = { ...process.env, ...this.env };
    return new Going(spawn(process.execPath, [MAIN, ...args], { env, stdio: 'pipe' }));
  }
}

/** A command that goes on until it has enough, or is told to stop. */
class Going {
  readonly #child: ChildProcess;
  /** What it printed. */
  out = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.out += chunk;
    });
  }

  interrupt(): void {
    this.#child.kill('SIGINT');
  }

  /** Its exit code. */
  async exit(): Promise<number> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const [code] = (await once(this.#child, 'exit')) as [number];
    return code;
  }
}
