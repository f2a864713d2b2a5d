import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { ServiceProcess } from '../services/testkit/service-process.ts';
import { TestStack } from '../services/testkit/stack.ts';

const README = readFileSync('README.md', 'utf8');
const README_URL = 'http://127.0.0.1:8080';
/** Each curl command of the README with the answer that it shows. */
const EXAMPLES = [...README.matchAll(/```sh\n(curl [\s\S]*?)\n```\n\n```json\n([\s\S]*?)\n```/g)].map(
  ([, command = '', answer = '']) => ({ command, answer: JSON.parse(answer) as unknown }),
);
/** What differs each time, by what it looks like. */
const VOLATILE: [RegExp, string][] = [
  [/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, '<time>'],
  [/^(urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/, '<uuid>'],
  [/^\d{50,60}$/, '<sequence number>'],
  [/^shardId-\d{12}$/, '<shard>'],
];

let stack: TestStack;
let producer: ServiceProcess;

beforeAll(async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  producer = await stack.start('producer');
});
afterAll(() => stack.close());

function steady(value: unknown): unknown {
  if (typeof value === 'string') return VOLATILE.find(([pattern]) => pattern.test(value))?.[1] ?? value;
  if (Array.isArray(value)) return value.map(steady);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, steady(child)]));
}

describe('the README', () => {
  it('shows at least an event, a problem and the health', () => {
    expect(EXAMPLES.length).toBeGreaterThanOrEqual(3);
  });

  it.each(EXAMPLES)('answers as it says: $command', async ({ command, answer }) => {
    expect(command).toContain(README_URL);
    const real = command.replaceAll(README_URL, `http://127.0.0.1:${producer.ports.port}`);
    const { stdout } = await promisify(execFile)('bash', ['-c', real]);
    expect(steady(JSON.parse(stdout))).toEqual(steady(answer));
  });

  it('names scripts and files that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const [, script = ''] of README.matchAll(/npm (?:run )?(demo|test|check|bench|docs)\b/g)) {
      expect(scripts).toHaveProperty(script);
    }
    for (const [, file = ''] of README.matchAll(/\]\(([^)#:]+)\)/g)) {
      if (!file.endsWith('/')) expect(readFileSync(file, 'utf8').length).toBeGreaterThan(0);
    }
  });
});
