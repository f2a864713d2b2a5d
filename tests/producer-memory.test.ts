import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';

const STREAM = 'stream';

/** What a pod of the producer has, as the rendered manifest says it. */
const pod = (() => {
  const text = readFileSync(new URL('../charts/prod/producer/deployment.yaml', import.meta.url), 'utf8');
  const { containers } = (parse(text) as { spec: { template: { spec: { containers: Container[] } } } }).spec
    .template.spec;
  const { env, resources } = containers[0] as Container;
  const nodeOptions = env?.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? '';
  return {
    nodeArgs: nodeOptions.split(' '),
    limitMiB: Number(/^(\d+)Mi$/.exec(resources.limits.memory)?.[1]),
  };
})();

interface Container {
  env?: { name: string; value: string }[];
  resources: { limits: { memory: string } };
}

let kinesis: KinesisDouble;
let producer: ServiceProcess;
let url: string;

beforeEach(async () => {
  kinesis = await startKinesisDouble({ limits: 'none' });
  kinesis.createStream(STREAM, 2);
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: { STREAM_NAME: STREAM, AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint, EVENT_DEADLINE_MS: '2500' },
    nodeArgs: pod.nodeArgs,
  });
  url = `http://127.0.0.1:${producer.ports.port}`;
});
afterEach(async () => {
  await producer.stop();
  await kinesis.stop();
});

function post(path: string, body: string): Promise<Response> {
  return fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
}

/** The most that the producer has had in memory, in MiB. */
function peakMiB(): number {
  const status = readFileSync(`/proc/${producer.pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** What is left for a machine where a process takes more. */
const SHARE = 0.8;

/** A legal event of about `bytes`, which takes twenty times as much when it is parsed. */
const costly = (bytes: number) =>
  `{"amount":1,"x":[${Array(Math.floor(bytes / 3))
    .fill('{}')
    .join(',')}]}`;

describe.skipIf(process.platform !== 'linux')('the memory of a producer as its pod has it', () => {
  it('holds also when many of the largest batches come at once', async () => {
    const batch = `[${Array(9_900).fill(costly(1_000)).join(',')}]`;
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const response = await post('/send/batch?compact=true', batch);
        await response.text();
        return response.status;
      }),
    );
    for (const status of statuses) expect([200, 207, 503]).toContain(status);
    expect(peakMiB()).toBeLessThan(pod.limitMiB * SHARE);
  });

  it('holds also while the buffer is full of events that are large when they are parsed', async () => {
    kinesis.setLatency(1_000);
    const samples = `{"amount":1,"x":[${Array(120_000).fill(1).join(',')}]}`;
    const statuses = await Promise.all(
      Array.from({ length: 180 }, async () => {
        const response = await post('/send', samples);
        await response.text();
        return response.status;
      }),
    );
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    expect(peakMiB()).toBeLessThan(pod.limitMiB * SHARE);
  });
});
