import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, describe, expect, inject, it, vi } from 'vitest';
import { loadDetector } from '../services/detectors/registry.ts';
import { spawnService } from '../services/testkit/service-process.ts';
import { TestStack } from '../services/testkit/stack.ts';

const MODEL = 'services/detectors/onnx/tiny.onnx';
const PARAMETERS = {
  onnx: { model: MODEL, threshold: 0.97 },
  keen: { detector: 'adaptive', sensitivity: 0.8 },
};
const SOURCES = 3;
const STEP_MS = 10 * 60_000;
const START = Date.parse('2026-03-01T00:00:00Z');

let stack: TestStack;
afterEach(() => stack.close());

interface Event {
  source: string;
  amount: number;
  timestamp: string;
  request_id: string;
}

/** The n-th event: sources in turn, a noisy level each, now and then a spike. */
function eventOf(n: number): Event {
  const turn = Math.floor(n / SOURCES);
  return {
    source: `s${n % SOURCES}`,
    amount: turn % 97 === 96 ? 900 : 50 + ((n * 7_919) % 101) / 10,
    timestamp: new Date(START + turn * STEP_MS).toISOString(),
    request_id: `id-${n}`,
  };
}

const put = (events: readonly Event[]) =>
  stack.put(events.map((event) => ({ key: event.source, data: JSON.stringify(event) })));

/** What a detector says of all events, offline, by id. */
async function offline(name: string, events: readonly Event[]) {
  const detector = await loadDetector(name, PARAMETERS, { readModel: (path) => readFile(path) });
  const states = new Map<string, unknown>();
  const batch = events.map(({ source, amount, timestamp }) => {
    const state = states.get(source) ?? detector.initial();
    states.set(source, state);
    return { state, event: { source, amount, timestamp: Date.parse(timestamp) } };
  });
  const verdicts = await detector.scoreBatch(batch);
  return new Map(events.map(({ request_id }, n) => [request_id, verdicts[n]]));
}

const env = {
  STARTING_POSITION: 'TRIM_HORIZON',
  DETECTOR_PARAMS: JSON.stringify(PARAMETERS),
  LEASE_DURATION_MS: '1500',
  CHECKPOINT_INTERVAL_MS: '100',
};

describe('a change of champion under load', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'scores each record once, by the method that the table says, from states that were warm: %s',
    { timeout: 60_000 },
    async (signal) => {
      stack = await TestStack.create({
        kinesis: inject('kinesisEndpoint'),
        dynamodb: inject('dynamodbEndpoint'),
      });
      const sent = Array.from({ length: 900 }, (_, n) => eventOf(n));
      await put(sent);
      const load = new AbortController();
      const before = await stack.start('consumer', { ...env, DETECTOR: 'keen', CHALLENGERS: 'onnx' });
      // Never silent from here on, so the change finds records in every state of being worked on.
      const loading = (async () => {
        while (!load.signal.aborted) {
          const next = Array.from({ length: 6 }, (_, n) => eventOf(sent.length + n));
          sent.push(...next);
          await put(next);
          await sleep(30);
        }
      })();
      // What is in no state yet when the old one is killed is decided anew.
      await vi.waitFor(async () => {
        expect(await stack.countRecords()).toBeGreaterThan(600);
        expect(await stack.states()).toHaveLength(SOURCES);
      }, 20_000);
      const [after] = await Promise.all([
        stack.start('consumer', { ...env, DETECTOR: 'onnx', CHALLENGERS: 'keen' }),
        signal === 'SIGKILL' ? before.signal('SIGKILL') : undefined,
      ]);
      if (signal === 'SIGTERM') expect(await before.stop()).toEqual({ code: 0, signal: null });
      const sentAtChange = sent.length;
      await vi.waitFor(async () => {
        const items = await stack.records();
        expect(items.some(({ detection_method }) => detection_method === 'onnx')).toBe(true);
      }, 20_000);
      await sleep(500);
      load.abort();
      await loading;
      expect(sent.length).toBeGreaterThan(sentAtChange);
      await vi.waitFor(async () => expect(await stack.countRecords()).toBe(sent.length), 20_000);

      const [keen, onnx] = await Promise.all([offline('keen', sent), offline('onnx', sent)]);
      const decided = { keen: 0, onnx: 0 };
      for (const item of await stack.records()) {
        const method = item.detection_method as 'keen' | 'onnx';
        const verdict = (method === 'keen' ? keen : onnx).get(String(item.id));
        const { anomaly_score, is_anomaly } = item;
        expect({ id: item.id, method, anomaly_score, is_anomaly }).toEqual({
          id: item.id,
          method: verdict?.method,
          anomaly_score: verdict?.score,
          is_anomaly: verdict?.isAnomaly,
        });
        decided[method]++;
      }
      expect(Math.min(decided.keen, decided.onnx)).toBeGreaterThan(0);
      expect(await stack.deadLetters()).toEqual([]);
      const metrics = await (await fetch(`http://127.0.0.1:${after.ports.adminPort}/metrics`)).text();
      expect(metrics).toMatch(/challenger_cut_offs_total\{detector="keen",reason="slow"[^}]*\} 0\n/);
      expect(metrics).toMatch(/challenger_agreement_total\{challenger="keen",verdict="agreed"[^}]*\} [1-9]/);
    },
  );
});

describe('a model in the consumer', () => {
  it('may come as a challenger on a trickle of records, and is not cut off for it', async () => {
    stack = await TestStack.create(
      { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') },
      { shards: 1 },
    );
    const consumer = await stack.start('consumer', {
      ...env,
      CHALLENGERS: 'onnx,adaptive',
      POLL_INTERVAL_MS: '200',
    });
    for (let n = 0; n < 8; n++) {
      await put([eventOf(n)]);
      await vi.waitFor(async () => expect(await stack.countRecords()).toBe(n + 1), {
        timeout: 10_000,
        interval: 20,
      });
    }
    const metrics = await (await fetch(`http://127.0.0.1:${consumer.ports.adminPort}/metrics`)).text();
    for (const detector of ['onnx', 'adaptive']) {
      expect(metrics).toMatch(
        new RegExp(`cut_offs_total\\{detector="${detector}",reason="slow"[^}]*\\} 0\n`),
      );
      expect(metrics).toMatch(
        new RegExp(`verdicts_total\\{detector="${detector}",role="challenger",verdict="normal"[^}]*\\} 8\n`),
      );
    }
  });

  it.each([
    ['is not there', 'nowhere/model.onnx', 'model of detector onnx: ENOENT'],
    ['is none', 'package.json', "model package.json: ONNX Runtime can't load it"],
  ])('ends the start with exit code 78 when it %s', async (_what, model, message) => {
    stack = await TestStack.create({
      kinesis: inject('kinesisEndpoint'),
      dynamodb: inject('dynamodbEndpoint'),
    });
    const started = stack.start('consumer', {
      ...env,
      DETECTOR: 'onnx',
      DETECTOR_PARAMS: JSON.stringify({ onnx: { model } }),
    });
    const error = await started.catch(({ message }: Error) => message);
    expect(error).toContain('exited before it was ready (78)');
    expect(error).toContain(`consumer: ${message}`);
    expect(await stack.leases()).toEqual([]);
  });

  it('runs from a bundle that was built with its runtime, and says what to do where it was not', async () => {
    stack = await TestStack.create(
      { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') },
      { shards: 1 },
    );
    // Outside the repository, whose node_modules would be found else.
    const folder = await mkdtemp(join(tmpdir(), 'weir-bundle-'));
    try {
      const run = async (...options: string[]) => {
        const args = ['scripts/build.ts', 'consumer', '--to', folder, ...options];
        await promisify(execFile)(process.execPath, args);
        const settings = { ...stack.env, ...env, DETECTOR: 'onnx' };
        return spawnService({ name: 'bundle', entry: `${folder}/consumer/main.js`, env: settings });
      };
      const error = await run().catch(({ message }: Error) => message);
      expect(error).toContain('(78)');
      expect(error).toContain('detector onnx needs the package onnxruntime-web');

      const consumer = await run('--onnx');
      try {
        await put([eventOf(0)]);
        await vi.waitFor(async () => expect(await stack.countRecords()).toBe(1), 10_000);
        expect(await stack.records()).toMatchObject([{ id: 'id-0', detection_method: 'onnx' }]);
      } finally {
        await consumer.stop();
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
