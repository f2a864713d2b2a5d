import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { EMULATOR_CREDENTIALS } from '../../services/testkit/emulators.ts';
import { TestStack } from '../../services/testkit/stack.ts';
import { type Container, docker, IMAGES, runContainer } from './docker.ts';

// Built before by `npm run images`; run by `npm run test:images`.
const TAG = process.env.WEIR_IMAGE_TAG ?? 'local';
/** What a registry would keep, and what a pod at rest may take: docs/guides/images.md. */
const MAX_COMPRESSED_BYTES = 90e6;
const MAX_IDLE_RSS_BYTES = 150e6;

describe('images', () => {
  const containers: Container[] = [];
  const figures: Record<string, string>[] = [];
  let stack: TestStack;

  beforeAll(async () => {
    stack = await TestStack.create({
      kinesis: inject('kinesisEndpoint'),
      dynamodb: inject('dynamodbEndpoint'),
    });
  });

  afterAll(async () => {
    await Promise.all(containers.map((container) => container.remove()));
    await stack.close();
    for (const line of figures) process.stdout.write(`${JSON.stringify(line)}\n`);
  });

  async function start(name: string, env: Record<string, string> = {}, args: string[] = []) {
    const container = await runContainer(
      `weir/${name}:${TAG}`,
      {
        ...stack.env,
        AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
        ...env,
      },
      args,
    );
    containers.push(container);
    return container;
  }

  it.each(IMAGES)('%s is small, unprivileged, labelled and checks its own health', async (name) => {
    const [image] = JSON.parse(await docker('image', 'inspect', `weir/${name}:${TAG}`)) as [
      { Config: Record<string, never> & { Labels: Record<string, string> }; Size: number },
    ];
    expect(image.Config).toMatchObject({
      User: '10001:10001',
      Entrypoint: ['node'],
      StopSignal: 'SIGTERM',
      Healthcheck: { Test: ['CMD', 'node', '-e', expect.stringContaining('/livez')] },
    });
    expect(image.Config.Labels).toMatchObject({
      'org.opencontainers.image.title': `weir-${name}`,
      'org.opencontainers.image.revision': expect.stringMatching(/^[0-9a-f]{40}$/),
      'org.opencontainers.image.licenses': 'Apache-2.0',
    });
    const compressed = Number(
      execFileSync('sh', ['-c', `docker save 'weir/${name}:${TAG}' | gzip | wc -c`], { encoding: 'utf8' }),
    );
    figures.push({ image: name, 'compressed MB': (compressed / 1e6).toFixed(1) });
    expect(compressed).toBeLessThan(MAX_COMPRESSED_BYTES);
  });

  it('takes an event to the table with a read-only root, no capabilities and no privileges, and stops on SIGTERM', async () => {
    const consumer = await start('consumer', { STARTING_POSITION: 'TRIM_HORIZON' });
    const producer = await start('producer');
    await vi.waitFor(
      async () => {
        const ready = await fetch(`http://127.0.0.1:${producer.ports.port}/ready`);
        expect(ready.status).toBe(200);
      },
      { timeout: 10_000 },
    );
    for (const [name, container] of Object.entries({ producer, consumer })) {
      const rss = await container.rss();
      figures.push({
        image: name,
        'ready in ms': container.readyInMs.toFixed(0),
        'idle RSS MB': (rss / 1e6).toFixed(0),
      });
      expect(rss).toBeLessThan(MAX_IDLE_RSS_BYTES);
    }
    const sent = await fetch(`http://127.0.0.1:${producer.ports.port}/send`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: 'image', amount: 1500.5, timestamp: '2026-01-01T00:00:00Z' }),
    });
    expect(sent.status).toBe(200);
    await vi.waitFor(
      async () => {
        expect(await stack.records()).toMatchObject([{ source: 'image', is_anomaly: true }]);
      },
      { timeout: 20_000, interval: 200 },
    );
    expect(await producer.stop()).toBe(0);
    expect(await consumer.stop()).toBe(0);
  });
});
