import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { Resource } from '../../services/controller/runtime/api/client.ts';
import { EMULATOR_CREDENTIALS } from '../../services/testkit/emulators.ts';
import { TestStack } from '../../services/testkit/stack.ts';
import { findTool } from '../kube/assets.ts';
import { Cluster } from '../kube/cluster.ts';
import { installCrd } from '../kube/scalers.ts';
import { type Container, docker, IMAGES, runContainer } from './docker.ts';

// Built before by `npm run images`; run by `npm run test:images`.
const TAG = process.env.WEIR_IMAGE_TAG ?? 'local';
/** What a registry would keep, and what a pod at rest may take: docs/how-to/images.md. */
const MAX_COMPRESSED_BYTES = 90e6;
const MAX_IDLE_RSS_BYTES = 150e6;
const LEASES: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  namespaced: true,
};

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

  async function start(
    name: string,
    env: Record<string, string> = {},
    args: string[] = [],
    files: Record<string, string> = {},
  ) {
    const container = await runContainer(
      `weir/${name}:${TAG}`,
      {
        ...stack.env,
        AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
        ...env,
      },
      args,
      files,
    );
    containers.push(container);
    return container;
  }

  async function measureIdle(image: string, container: Container) {
    const rss = await container.rss();
    figures.push({
      image,
      'ready in ms': container.readyInMs.toFixed(0),
      'idle RSS MB': (rss / 1e6).toFixed(0),
    });
    expect(rss).toBeLessThan(MAX_IDLE_RSS_BYTES);
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
    await measureIdle('producer', producer);
    await measureIdle('consumer', consumer);
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

  it('shows its page out of the image of the controller, as the manifests start it', async () => {
    const console = await start('controller', {}, ['/app/console/main.js']);
    const page = await fetch(`http://127.0.0.1:${console.ports.port}/`);
    expect(page.status).toBe(200);
    const html = await page.text();
    const files = [...html.matchAll(/(?:src|href)="([^":]+\.(?:js|css))"/g)].map(([, file]) => file);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const { status } = await fetch(new URL(file ?? '', page.url));
      expect(status, file).toBe(200);
    }
    await measureIdle('console', console);
    expect(await console.stop()).toBe(0);
  });

  it.skipIf(findTool('kube-apiserver') === undefined)(
    'takes the lead on a real API server, and lets go of it on SIGTERM',
    async () => {
      const cluster = await Cluster.start();
      try {
        const client = cluster.client();
        await installCrd(client);
        const kubeconfig = cluster.kubeConfigFile();
        // The container's user is not ours.
        chmodSync(kubeconfig, 0o644);
        const controller = await start('controller', { KUBECONFIG: '/kubeconfig', KEDA_PORT: '0' }, [], {
          '/kubeconfig': kubeconfig,
        });
        const lease = async () =>
          await client.get<{ spec: { holderIdentity?: string } }>(LEASES, {
            namespace: 'default',
            name: 'weir-controller',
          });
        await vi.waitFor(
          async () => {
            const ready = await fetch(`http://127.0.0.1:${controller.ports.admin_port}/readyz`);
            expect(ready.status).toBe(200);
            expect((await lease()).spec.holderIdentity).toMatch(/_/);
          },
          { timeout: 20_000, interval: 200 },
        );
        await measureIdle('controller', controller);
        expect(await controller.stop()).toBe(0);
        expect((await lease()).spec.holderIdentity ?? '').toBe('');
      } finally {
        await cluster.stop();
      }
    },
  );
});
