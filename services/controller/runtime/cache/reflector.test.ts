import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/log.ts';
import { createRegistry } from '../../../shared/metrics.ts';
import { Progress } from '../../../shared/progress.ts';
import { FakeApiServer } from '../../../testkit/kube/fake-api-server.ts';
import { waitFor } from '../../../testkit/wait-for.ts';
import { KubeClient, type KubeObject, type Resource } from '../api/client.ts';
import { Transport } from '../api/transport.ts';
import { createRuntimeMetrics, type RuntimeMetrics } from '../metrics.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';

interface Thing extends KubeObject {
  color?: string;
}

const THINGS: Resource = { group: 'test.dev', version: 'v1', plural: 'things', namespaced: true };
const COLLECTION = 'apis/test.dev/v1/things';

let server: FakeApiServer;
let transport: Transport;
let reflector: Reflector<Thing>;
let heard: string[];
let metrics: RuntimeMetrics;

beforeEach(async () => {
  server = await FakeApiServer.start();
  transport = new Transport(server.kubeConfig(), systemClock, 'test');
  heard = [];
  metrics = createRuntimeMetrics(createRegistry('test'));
});
afterEach(async () => {
  await reflector?.stop();
  transport.close();
  await server.stop();
});

function start(options: Partial<ReflectorOptions> = {}): void {
  reflector = new Reflector<Thing>({
    client: new KubeClient(transport),
    resource: THINGS,
    progress: new Progress(systemClock),
    clock: systemClock,
    // The waits of the backoff become a hundredth.
    random: () => 0.01,
    log: createLogger('test', 'silent'),
    metrics,
    resyncMs: 0,
    ...options,
  });
  reflector.store.subscribe({
    onAdd: (o) => heard.push(`+${o.metadata.name}`),
    onUpdate: (before, after) =>
      heard.push(before === after ? `=${after.metadata.name}` : `~${after.metadata.name}`),
    onDelete: (o) => heard.push(`-${o.metadata.name}`),
  });
  reflector.start();
}

const put = (name: string, color = 'red', namespace = 'a') =>
  server.put(COLLECTION, { metadata: { name, namespace }, color });
const lists = () => server.requests.filter(({ query }) => !query.has('watch')).length;
const watches = () => server.requests.filter(({ query }) => query.has('watch'));
const watching = () => waitFor(() => server.watching > 0);
/** The store equals the server. */
const same = () =>
  waitFor(() => {
    const there = server.all(COLLECTION).map((o) => `${o.metadata.name}${o.metadata.resourceVersion}`);
    const here = [...reflector.store.values()].map((o) => `${o.metadata.name}${o.metadata.resourceVersion}`);
    return JSON.stringify(there.sort()) === JSON.stringify(here.sort());
  });

describe('the reflector', () => {
  it('lists page by page, then follows what happens', async () => {
    for (let i = 0; i < 7; i++) put(`t${i}`);
    start({ pageSize: 3 });
    expect(reflector.hasSynced).toBe(false);
    expect(await reflector.synced(AbortSignal.timeout(5_000))).toBe(true);
    expect(lists()).toBe(3);
    expect(heard).toEqual(['+t0', '+t1', '+t2', '+t3', '+t4', '+t5', '+t6']);
    await watching();
    heard.length = 0;
    put('t1', 'blue');
    put('t9');
    server.remove(COLLECTION, 'a', 't0');
    await same();
    expect(heard).toEqual(['~t1', '+t9', '-t0']);
    expect(reflector.store.get('a/t1')?.color).toBe('blue');
    expect(watches()[0]?.query.get('allowWatchBookmarks')).toBe('true');
    expect(Number(watches()[0]?.query.get('timeoutSeconds'))).toBeGreaterThanOrEqual(300);
  });

  it('goes on where it was when a watch is cut or ends, without a new list, and misses nothing', async () => {
    put('a');
    start();
    for (const end of [
      () => server.cutWatches(),
      () => server.endWatches(),
      () => server.sendLine('{"type":"ADD'),
    ]) {
      await watching();
      await same();
      end();
      put(`after-${heard.length}`);
      await same();
    }
    expect(lists()).toBe(1);
    expect(heard.filter((h) => h.startsWith('+'))).toHaveLength(4);
  });

  it('takes the version of a bookmark: an old object is no reason for a new list', async () => {
    put('a');
    start();
    await watching();
    server.put('apis/test.dev/v1/others', { metadata: { name: 'far-away' } });
    server.bookmark();
    await waitFor(async () =>
      (await metrics.watchEvents.get()).values.some((v) => v.labels.type === 'BOOKMARK'),
    );
    server.compact();
    server.cutWatches();
    await waitFor(() => watches().length >= 2);
    await watching();
    expect(lists()).toBe(1);
  });

  it('lists anew on 410, and tells of what was missed, deletions included', async () => {
    put('stays');
    put('goes');
    put('changes');
    start();
    await watching();
    await reflector.synced(AbortSignal.timeout(5_000));
    heard.length = 0;
    await server.stop();
    server.remove(COLLECTION, 'a', 'goes');
    put('changes', 'blue');
    put('comes');
    server.compact();
    await server.listen();
    await same();
    expect(heard.sort()).toEqual(['+comes', '-goes', '~changes']);
    expect(lists()).toBeGreaterThan(1);
  });

  it('starts a list over when its pages became too old', async () => {
    for (let i = 0; i < 5; i++) put(`t${i}`);
    let compacted = false;
    server.fault = ({ query }) => {
      if (query.has('continue') && !compacted) {
        compacted = true;
        put('late');
        server.compact();
      }
      return undefined;
    };
    start({ pageSize: 2 });
    await same();
    expect(reflector.store.size).toBe(6);
  });

  it('ends a watch that tells nothing any more', async () => {
    put('a');
    start({ stallMs: 150 });
    await watching();
    server.muteWatches();
    put('b');
    await same();
    expect(lists()).toBe(1);
  });

  it('waits as long as the server asks (429), and keeps its view meanwhile', async () => {
    put('a');
    start();
    await watching();
    await same();
    let refused = 0;
    let firstAt = 0;
    let nextAt = 0;
    server.fault = () => {
      nextAt = performance.now();
      if (refused++ > 0) return undefined;
      firstAt = nextAt;
      return { status: 429, reason: 'TooManyRequests', retryAfterSeconds: 1 };
    };
    server.cutWatches();
    await waitFor(() => refused > 0);
    expect(reflector.store.size).toBe(1);
    await waitFor(() => refused > 1);
    expect(nextAt - firstAt).toBeGreaterThanOrEqual(990);
  });

  it('never gives up, and keeps what it knows', async () => {
    put('a');
    start();
    await same();
    let failures = 0;
    server.fault = () => (failures++ < 6 ? { status: 500, reason: 'InternalError' } : undefined);
    server.cutWatches();
    put('b');
    await same();
    expect(failures).toBeGreaterThan(6);
    expect(heard).toEqual(['+a', '+b']);
  });

  it('outlives a handler that throws, and tells the others', async () => {
    start();
    reflector.store.subscribe({
      onAdd: () => {
        throw new Error('a bug');
      },
    });
    const told: string[] = [];
    reflector.store.subscribe({ onAdd: (o) => told.push(o.metadata.name) });
    await watching();
    put('a');
    put('b');
    await waitFor(() => told.length === 2);
  });

  it('sees an object that was deleted and made again as another one', async () => {
    put('a');
    start();
    await watching();
    await same();
    heard.length = 0;
    await server.stop();
    server.remove(COLLECTION, 'a', 'a');
    put('a');
    server.compact();
    await server.listen();
    await same();
    expect(heard).toEqual(['-a', '+a']);
  });

  it('tells of everything again at a resync', async () => {
    put('a');
    start({ resyncMs: 50 });
    await waitFor(() => heard.filter((h) => h === '=a').length >= 2);
  });

  it('watches one namespace only when told so', async () => {
    put('mine', 'red', 'a');
    put('theirs', 'red', 'b');
    start({ namespace: 'a' });
    await watching();
    put('theirs2', 'red', 'b');
    put('mine2', 'red', 'a');
    await waitFor(() => heard.includes('+mine2'));
    expect(heard).toEqual(['+mine', '+mine2']);
  });

  it('ends at its stop in whatever it is doing, and calls no handler afterwards', async () => {
    server.fault = () => 'hang';
    start();
    await waitFor(() => server.requests.length > 0);
    await reflector.stop();
    expect(await reflector.synced(AbortSignal.timeout(5_000))).toBe(false);
    expect(heard).toEqual([]);
  });
});
