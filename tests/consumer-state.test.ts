import { afterEach, expect, inject, it, vi } from 'vitest';
import { TestStack } from '../services/testkit/stack.ts';

let stack: TestStack;
afterEach(() => stack.close());

const event = (n: number) => ({
  key: `s${n % 7}`,
  data: JSON.stringify({ source: `s${n % 7}`, amount: n, request_id: `id-${n}` }),
});

it('counts each record once in states and rollups when it is killed in mid-stream and goes on with another champion', async () => {
  stack = await TestStack.create({
    kinesis: inject('kinesisEndpoint'),
    dynamodb: inject('dynamodbEndpoint'),
  });
  const env = {
    STARTING_POSITION: 'TRIM_HORIZON',
    STORE: 'anomalies',
    DETECTOR: 'threshold',
    THRESHOLD: '900',
    CHALLENGERS: 'adaptive',
    LEASE_DURATION_MS: '1000',
    CHECKPOINT_INTERVAL_MS: '50',
  };
  await stack.put(Array.from({ length: 1_000 }, (_, n) => event(n)));
  const victim = await stack.start('consumer', env);
  await vi.waitFor(async () => expect((await stack.states()).length).toBeGreaterThan(0), 10_000);
  victim.signal('SIGKILL');
  await victim.exited;
  await stack.put(Array.from({ length: 400 }, (_, n) => event(1_000 + n)));
  await stack.start('consumer', { ...env, DETECTOR: 'adaptive', CHALLENGERS: 'threshold' });

  const counted = async () =>
    (await stack.states()).reduce((sum, row) => {
      const figures = (row.part === 'state' ? row.rollup : row) as { count: number };
      return sum + figures.count;
    }, 0);
  await vi.waitFor(async () => expect(await counted()).toBe(1_400), 15_000);
  const states = (await stack.states()).filter(({ part }) => part === 'state');
  expect(states.map(({ series }) => series).sort()).toEqual(Array.from({ length: 7 }, (_, n) => `s${n}`));
  for (const state of states) {
    expect(Object.keys(state).some((name) => name.startsWith('detector:adaptive@'))).toBe(true);
  }
});
