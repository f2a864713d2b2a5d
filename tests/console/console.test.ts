import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SplitShardCommand } from '@aws-sdk/client-kinesis';
import axeCore from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type DemoEvent, loadFlights } from '../../local/demo/dataset.ts';
import type { Everything } from '../../services/console/poller.ts';
import type { Anomaly } from '../../services/console/reads/anomalies.ts';
import { FakeApiServer } from '../../services/testkit/kube/fake-api-server.ts';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { TestStack } from '../../services/testkit/stack.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { describeWithBrowser, launchBrowser } from './browser.ts';
import { SCALER } from './scaler.ts';

const endpoints = { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') };
const THRESHOLD = 120;
/** A source as an attacker would name it. */
const HOSTILE = '<img src=x onerror="document.title=1">\u202e"\'';
const BATCH = 20;
const PAUSE_MS = 100;
const PICTURES = process.env.PICTURES === '1';
let stack: TestStack;
let kube: FakeApiServer;
let folder: string;
let producer: ServiceProcess;
let page: ServiceProcess;
let consoleEnv: Record<string, string>;
let url: string;
const stopping = new AbortController();
let load: Promise<void>;

/** Flights, over and over, about 200 a second, until the tests are done. */
async function replayFlights(): Promise<void> {
  const flights = loadFlights();
  const send = async (events: readonly Partial<DemoEvent>[]) => {
    const response = await fetch(`http://127.0.0.1:${producer.ports.port}/send/batch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(events),
    });
    await response.arrayBuffer();
  };
  await send([{ source: HOSTILE, amount: 4321, timestamp: '2026-01-02T03:04:05Z' }]);
  for (let i = 0; !stopping.signal.aborted; i = (i + BATCH) % flights.length) {
    await send(flights.slice(i, i + BATCH));
    await sleep(PAUSE_MS);
  }
}

const api = async <T = Record<string, unknown>>(path: string) => {
  const response = await fetch(`${url}/api/${path}`);
  return { status: response.status, body: (await response.json()) as T };
};

/** Samples of a counter of the producer. */
async function storedByProducer(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${producer.ports.adminPort}/metrics`)).text();
  return Number(/weir_producer_events_total\{outcome="stored"[^}]*\} (\d+)/.exec(text)?.[1]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'console-'));
  kube = await FakeApiServer.start();
  kube.put('apis/weir.dev/v1alpha1/streamscalers', SCALER);
  await writeFile(join(folder, 'kubeconfig'), kube.kubeConfig().exportConfig());
  stack = await TestStack.create(endpoints, { shards: 2 });
  await stack.put([{ key: 'a', data: 'not JSON' }]);
  const consumer = stack.start('consumer', {
    STARTING_POSITION: 'TRIM_HORIZON',
    THRESHOLD: String(THRESHOLD),
    LEASE_DURATION_MS: '3000',
    POLL_INTERVAL_MS: '200',
  });
  producer = await stack.start('producer');
  consoleEnv = {
    PRODUCER_METRICS_URLS: `http://localhost:${producer.ports.adminPort}/metrics`,
    STREAM_SCALER: 'weir/anomaly-stream',
    KUBECONFIG: join(folder, 'kubeconfig'),
  };
  page = await stack.start('console', consoleEnv);
  url = `http://127.0.0.1:${page.ports.port}`;
  const live = await fetch(`http://127.0.0.1:${page.ports.adminPort}/livez`);
  expect(await live.json()).toEqual({ ok: true, stalled: {} });
  await consumer;
  load = replayFlights();
}, 60_000);

afterAll(async () => {
  stopping.abort();
  await load;
  await stack.close();
  await kube.stop();
  await rm(folder, { recursive: true });
});

describe('the console', () => {
  it('tells true numbers: what flows, who reads what, what was flagged and what could not be processed', {
    timeout: 40_000,
  }, async () => {
    const reader = new AbortController();
    // While one looks, it reads; each answer is of the moment.
    const stream = await fetch(`${url}/api/events`, { signal: reader.signal });
    expect(stream.headers.get('content-type')).toContain('text/event-stream');
    const drained = (async () => {
      for await (const _ of stream.body ?? []);
    })().catch(() => {});
    await waitFor(async () => {
      const from = { at: performance.now(), stored: await storedByProducer() };
      await sleep(2_000);
      const perSecond = (((await storedByProducer()) - from.stored) * 1_000) / (performance.now() - from.at);
      const { state, anomalies, deadLetters } = (await api<Everything>('state')).body;
      const { inPerSecond = 0, scoredPerSecond = 0, p50Ms, p99Ms } = state.rates;
      expect(inPerSecond / perSecond).toBeGreaterThan(0.5);
      expect(inPerSecond / perSecond).toBeLessThan(2);
      expect(scoredPerSecond / perSecond).toBeGreaterThan(0.3);
      expect(p99Ms).toBeGreaterThanOrEqual(p50Ms ?? Infinity);
      expect(state.shards).toMatchObject({ open: 2, unfinished: 2, unknownLag: 0 });
      expect(state.shards?.shards.map((shard) => shard.state)).toEqual(['reading', 'reading']);
      expect(state.verdict.level).toBe('ok');
      expect(state.problems).toEqual([]);
      expect(state.scaling).toMatchObject({ reshardBudget: { used: 3, left: 7, of: 10 } });
      expect(deadLetters?.counts).toEqual({ 'record-not-json': 1 });
      expect(deadLetters?.latest).toHaveLength(1);
      const flagged = (await stack.records()).filter((item) => item.is_anomaly);
      const ids = new Set(flagged.map((item) => item.id));
      expect(anomalies.length).toBeGreaterThan(3);
      for (const { id } of anomalies) expect(ids).toContain(id);
      return true;
    }, 30_000);
    reader.abort();
    await drained;
  });

  it('shows a record whole, a source around a time, and the anomalies of a source', async () => {
    const search = await api<{ anomalies: Anomaly[] }>(
      `anomalies?${new URLSearchParams({ source: HOSTILE, before: new Date().toISOString() })}`,
    );
    const [anomaly] = search.body.anomalies;
    expect(anomaly).toMatchObject({ source: HOSTILE, amount: 4321, score: 2 });
    const { body: record } = await api(`record?${new URLSearchParams({ id: anomaly!.id })}`);
    expect(record).toMatchObject({ id: anomaly!.id, source: HOSTILE, amount: 4321, is_anomaly: true });
    const around = await api(`source?${new URLSearchParams({ source: HOSTILE, at: anomaly!.at })}`);
    expect(around.body).toMatchObject({ source: HOSTILE, anomalies: [{ id: anomaly!.id }], minutes: [] });
  });

  it.each([
    ['record', 400],
    ['record?id=', 400],
    ['record?id=a&id=b', 400],
    [`record?id=${'x'.repeat(600)}`, 400],
    ['record?id=unknown', 404],
    ['source?source=a&at=yesterday', 400],
    ['anomalies?source=a', 400],
    ['nothing', 404],
  ])('answers %s with %i', async (path, status) => {
    expect((await api(path)).status).toBe(status);
  });

  it('only shows, and lets nothing run but its own files', async () => {
    for (const method of ['POST', 'PUT', 'DELETE'])
      expect((await fetch(`${url}/api/state`, { method })).status).toBe(405);
    const { headers } = await fetch(url);
    const policy = headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(policy).not.toMatch(/https?:/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    for (const path of [
      '/../main.ts',
      '/%2e%2e/main.ts',
      '/js/%2e%2e/%2e%2e/main.ts',
      '/vendor/../../package.json',
    ])
      expect((await fetch(`${url}${path}`)).status, path).toBe(404);
  });
});

describeWithBrowser('the page', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  }, 30_000);
  afterAll(() => browser.close());

  /** A page, and what went wrong in it. */
  async function open(options: Parameters<Browser['newPage']>[0] = {}) {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options });
    const wrong: string[] = [];
    tab.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') wrong.push(message.text());
    });
    tab.on('pageerror', (error) => wrong.push(String(error)));
    tab.on('request', (request) => {
      if (!request.url().startsWith(url)) wrong.push(`asked ${request.url()}`);
    });
    await tab.goto(url);
    await tab.locator('#connection[data-state=live]').waitFor();
    await tab.locator('#anomalies tr').first().waitFor();
    return { tab, wrong };
  }

  const axe = async (tab: Page) => {
    // Not by a script element: the page's policy forbids it, and its trusted types a string that is run.
    const session = await tab.context().newCDPSession(tab);
    await session.send('Runtime.evaluate', { expression: axeCore.source });
    const { result } = await session.send('Runtime.evaluate', {
      expression:
        'axe.run().then(({violations}) => JSON.stringify(violations.map(({id, nodes}) => [id, ...nodes.map((n) => n.html.slice(0, 150))])))',
      awaitPromise: true,
    });
    return JSON.parse(result.value) as unknown[];
  };

  it('shows what the API tells, live, and hostile text as text', { timeout: 60_000 }, async () => {
    const { tab, wrong } = await open();
    await waitFor(async () => {
      const shown = Number(
        ((await tab.locator('#figures .value span').nth(1).textContent()) ?? '').replace(',', ''),
      );
      const { body } = await api<Everything>('state');
      const told = body.state.rates.scoredPerSecond ?? 0;
      return shown > 0 && shown / told > 0.5 && shown / told < 2;
    }, 20_000);
    await waitFor(async () => (await tab.locator('#verdict-title').textContent()) === 'Keeping up', 15_000);
    await expect(tab.locator('#shards tr').count()).resolves.toBe(2);
    await expect(tab.locator('#scaling').textContent()).resolves.toContain('7 of 10 left in 24 h');
    await expect(tab.locator('#scaling').textContent()).resolves.toContain('ScaleUp');
    await expect(tab.locator('#dead-letters tr').count()).resolves.toBe(1);

    await tab.locator('#source').fill(HOSTILE);
    await tab.getByRole('button', { name: 'Look back' }).click();
    await waitFor(async () => (await tab.locator('#anomalies tr').count()) === 1);
    await expect(tab.locator('#anomalies td').nth(1).textContent()).resolves.toBe(HOSTILE);
    await tab.locator('#anomalies button').click();
    await waitFor(async () => (await tab.locator('#record-body').textContent())?.includes('4,321'));
    await tab.locator('#record-body canvas').waitFor();
    expect(await tab.locator('img[src=x]').count()).toBe(0);
    expect(await tab.title()).toContain('Weir');
    await tab.keyboard.press('Escape');
    await waitFor(async () => !(await tab.locator('#record').isVisible()));

    const before = await tab.locator('#connection-text').textContent();
    expect(before).toBe('live');
    await tab.locator('#source').fill('');
    const newest = await tab.locator('#anomalies tr').first().getAttribute('data-key');
    await tab.mouse.move(5, 5);
    await tab.locator('h1').click();
    await waitFor(
      async () => (await tab.locator('#anomalies tr').first().getAttribute('data-key')) !== newest,
      15_000,
    );
    expect(wrong).toEqual([]);
    await tab.close();
  });

  it.each(['light', 'dark'] as const)(
    'can be used by everybody (axe-core), %s',
    { timeout: 60_000 },
    async (colorScheme) => {
      const { tab, wrong } = await open({ colorScheme });
      await tab.locator('#shards tr').first().waitFor();
      expect(await axe(tab)).toEqual([]);
      await tab.locator('#anomalies button').first().click();
      await tab.locator('#record-body canvas').waitFor();
      expect(await axe(tab)).toEqual([]);
      await tab.keyboard.press('Escape');
      await tab.setViewportSize({ width: 390, height: 844 });
      expect(await axe(tab)).toEqual([]);
      // Nothing sticks out of a phone's width.
      expect(await tab.evaluate('document.documentElement.scrollWidth')).toBe(390);
      expect(wrong).toEqual([]);
      await tab.close();
    },
  );

  it.runIf(PICTURES)('looks like the pictures in the README', { timeout: 300_000 }, async () => {
    const images = new URL('../../docs/images/', import.meta.url).pathname;
    await mkdir(images, { recursive: true });
    const pages = await Promise.all(
      (
        [
          ['light', 1280, 800],
          ['dark', 1280, 800],
          ['dark', 390, 844],
        ] as const
      ).map(async ([colorScheme, width, height]) => ({
        name: `console-${width === 390 ? 'phone-' : ''}${colorScheme}.png`,
        tab: (await open({ colorScheme, viewport: { width, height } })).tab,
      })),
    );
    await sleep(45_000);
    await stack.kinesis.send(
      new SplitShardCommand({
        StreamName: stack.resources.stream,
        ShardToSplit: 'shardId-000000000001',
        NewStartingHashKey: String(3n << 126n),
      }),
    );
    await sleep(45_000);
    for (const { name, tab } of pages) await tab.screenshot({ path: join(images, name) });
    const tab = pages[0]?.tab;
    await tab?.locator('#source').fill('ORD');
    await tab?.locator('#anomalies button').nth(2).click();
    await tab?.locator('#record-body canvas').waitFor();
    await sleep(1_000);
    await tab?.screenshot({ path: join(images, 'console-record.png') });
    for (const { tab } of pages) await tab.close();
  });

  // The last one: it stops the console.
  it('comes back by itself when the console was restarted', { timeout: 60_000 }, async () => {
    const { tab } = await open();
    const { port } = page.ports;
    await page.stop();
    await tab.locator('#connection[data-state=lost]').waitFor();
    await expect(tab.locator('#connection-text').textContent()).resolves.toContain('trying again');
    page = await stack.start('console', { ...consoleEnv, PORT: String(port) });
    await tab.locator('#connection[data-state=live]').waitFor();
    await waitFor(async () => (await tab.locator('#verdict-title').textContent()) === 'Keeping up', 15_000);
    await tab.close();
  });
});
