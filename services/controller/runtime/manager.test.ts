import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/log.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { LIVENESS_MS, Progress } from '../../shared/progress.ts';
import { Shutdown } from '../../shared/shutdown.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { FakeApiServer } from '../../testkit/kube/fake-api-server.ts';
import { waitFor } from '../../testkit/wait-for.ts';
import { type CallOptions, KubeClient, type KubeObject } from './api/client.ts';
import { ApiError } from './api/errors.ts';
import { Transport } from './api/transport.ts';
import { Reflector } from './cache/reflector.ts';
import { Controller, type Reconcile } from './controller.ts';
import { EventRecorder } from './event-recorder.ts';
import { LeaderElection } from './leader-election.ts';
import { Manager } from './manager.ts';
import { createRuntimeMetrics } from './metrics.ts';
import { WorkQueue } from './work-queue.ts';

const THINGS = { group: 'test.dev', version: 'v1', plural: 'things', namespaced: true };
const COLLECTION = 'apis/test.dev/v1/things';
const LEASES = 'apis/coordination.k8s.io/v1/leases';
/** Longer than the limit of liveness, as is the leader's deadline: a step that may take long is not stuck. */
const RECONCILE_TIMEOUT_MS = 100_000;
const LEADER = { leaseDurationMs: 400_000, renewDeadlineMs: 300_000 };
const log = createLogger('test', 'silent');
const ends: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Parts {
  server: FakeApiServer;
  clock: Clock;
  /** Made of the real one. */
  client?: (real: KubeClient) => KubeClient;
  reconcile: Reconcile;
}

function managerOn({ server, clock, client: wrap = (real) => real, reconcile }: Parts) {
  const metrics = createRuntimeMetrics(createRegistry('test'));
  const progress = new Progress(clock);
  const transport = new Transport(server.kubeConfig(), clock, 'test');
  const client = wrap(new KubeClient(transport));
  const common = { client, clock, random: () => 0.5, log, metrics, progress };
  const queue = new WorkQueue({ name: 'things', clock, metrics });
  const reflector = new Reflector<KubeObject>({ ...common, resource: THINGS, resyncMs: 0 });
  const add = ({ metadata }: KubeObject) => queue.add(metadata.name);
  reflector.store.subscribe({ onAdd: add, onUpdate: (_, now) => add(now), onDelete: add });
  const controller = new Controller({
    ...common,
    name: 'things',
    queue,
    reconcile,
    concurrency: 2,
    timeoutMs: RECONCILE_TIMEOUT_MS,
  });
  const election = new LeaderElection({ ...common, ...LEADER, namespace: 'weir', name: 'c', identity: 'a' });
  const manager = new Manager({
    transport,
    reflectors: [reflector],
    controllers: [controller],
    election,
    recorder: new EventRecorder({ ...common, component: 'test' }),
    progress,
    livenessMs: LIVENESS_MS,
    drainMs: 1_000,
  });
  return { manager, election, queue, transport };
}

/** Sleeps as `clock` does, but for those that `lost` names, which never end: a timer that the process has lost. */
function losing(clock: Clock, lost: (ms: number) => boolean): Clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => (lost(ms) ? new Promise(() => {}) : clock.sleep(ms, signal)),
  };
}

/** Calls under way, which a test must not let time pass over: they take real time. */
const underWay = new Set<unknown>();

/** While it is mute, the API server takes every call and never answers: each ends by its own time-out, on the test's clock. */
function answering(clock: Clock, isMute: () => boolean) {
  const late = async (timeoutMs = 15_000): Promise<never> => {
    await clock.sleep(timeoutMs);
    throw new ApiError('timeout', 'no answer');
  };
  return (real: KubeClient): KubeClient =>
    new Proxy(real, {
      get: (client, method: keyof KubeClient) => {
        if (!isMute()) {
          return (...args: unknown[]) => {
            const call = (client[method] as (...args: unknown[]) => unknown).apply(client, args);
            if (call instanceof Promise) {
              underWay.add(call);
              void call.catch(() => {}).then(() => underWay.delete(call));
            }
            return call;
          };
        }
        if (method === 'watch') {
          return async function* (): AsyncGenerator<never> {
            yield await late();
          };
        }
        return (...args: unknown[]) => late((args.at(-1) as CallOptions | undefined)?.timeoutMs);
      },
    });
}

async function start(
  options: Partial<Parts> & { lost?: (ms: number) => boolean; mute?: () => boolean } = {},
) {
  const server = await FakeApiServer.start();
  const virtual = new VirtualClock();
  server.put(COLLECTION, { metadata: { name: 'x', namespace: 'n' } });
  const clock = options.lost ? losing(virtual, options.lost) : virtual;
  const parts = managerOn({
    server,
    clock,
    client: answering(virtual, options.mute ?? (() => false)),
    reconcile: async () => ({ requeueAfterMs: 15_000 }),
    ...options,
  });
  ends.push(() => server.stop());
  ends.push(() => parts.transport.close());
  parts.manager.start(() => {});
  /** Lets the loops do what they can, then time. @returns the loops that ever counted as stuck. */
  const pass = async (ms: number, stepMs = 500): Promise<string[]> => {
    const stuck = new Set<string>();
    for (const end = virtual.monotonic() + ms; virtual.monotonic() < end; virtual.advance(stepMs)) {
      for (let i = 0; i < 3 || underWay.size > 0; i++) await turn();
      const { ok, stalled } = parts.manager.live();
      expect(ok).toBe(Object.keys(stalled).length === 0);
      for (const loop of Object.keys(stalled)) stuck.add(loop);
    }
    return [...stuck];
  };
  const lead = () =>
    waitFor(async () => {
      await pass(20, 10);
      return parts.election.leading;
    });
  return { ...parts, server, pass, lead };
}

describe('liveness of the controller', () => {
  it('is there while all goes well, and for a standby', async () => {
    const { pass, lead } = await start();
    await lead();
    expect(await pass(10 * 60_000)).toEqual([]);
    const standby = await start();
    standby.server.put(LEASES, {
      metadata: { name: 'c', namespace: 'weir' },
      spec: { holderIdentity: 'another', leaseDurationSeconds: 86_400 },
    });
    await standby.pass(20 * 60_000);
    expect(standby.election.leading).toBe(false);
    expect(standby.queue.depth).toBe(1);
    expect(standby.manager.live().ok).toBe(true);
  });

  it('does not end for an API server that is away, from the start or later', async () => {
    const { pass, lead, server } = await start();
    await lead();
    await server.stop();
    expect(await pass(20 * 60_000)).toEqual([]);
    const never = await start({ mute: () => true });
    expect(await never.pass(20 * 60_000)).toEqual([]);
    expect(never.manager.ready().ok).toBe(false);
  });

  it('does not end for one that takes all calls and answers none', async () => {
    let isMute = false;
    const { pass, lead, server } = await start({ mute: () => isMute });
    await lead();
    isMute = true;
    // The watch is open, and silent until it is found dead.
    expect(await pass(20 * 60_000)).toEqual([]);
    expect(server.watching).toBe(0);
  });

  it('does not end for looks that take their whole time, however long the queue is', async () => {
    const { pass, lead, queue, manager } = await start({
      reconcile: (_key, signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('too slow')))),
    });
    await lead();
    for (let i = 0; i < 100; i++) queue.add(`x${i}`);
    expect(await pass(15 * 60_000)).toEqual([]);
    expect(queue.depth).toBeGreaterThan(70);
    expect(manager.live().ok).toBe(true);
  });

  it('ends for a reconcile that never ends', async () => {
    const { pass, lead } = await start({ reconcile: () => new Promise(() => {}) });
    await lead();
    expect(await pass(RECONCILE_TIMEOUT_MS + LIVENESS_MS - 5_000)).toEqual([]);
    expect(await pass(10_000)).toEqual(['reconcile things x']);
  });

  it('ends for workers that take nothing of what is due', async () => {
    let stuck = false;
    // The queue's timer for what is due later.
    const { pass, lead } = await start({ lost: (ms) => stuck && ms > 14_000 && ms <= 15_000 });
    await lead();
    stuck = true;
    expect(await pass(15 * 60_000)).toEqual(['queue things']);
  });

  it.each([
    // 2 s between two renewals; the backoff after a failed watch is 0.4 s at first; 150 s of silence end a watch.
    ['the election', 'leader election', (ms: number) => ms === 2_000],
    ['a cache that waits to try again', 'cache things', (ms: number) => ms === 400],
    ['a cache whose watch is not found dead', 'cache things', (ms: number) => ms > 100_000 && ms <= 150_000],
  ])('ends for %s that is stuck', async (_, loop, lost) => {
    let stuck = false;
    const { pass, lead, server } = await start({ lost: (ms) => stuck && lost(ms) });
    await lead();
    stuck = true;
    if (loop !== 'leader election') server.cutWatches();
    expect(await pass(6 * 60_000)).toEqual([loop]);
  });
});

describe('the stop of the controller', () => {
  it('ends caches, then reconciles, and gives the lease back when nothing acts any more', async () => {
    const server = await FakeApiServer.start();
    ends.push(() => server.stop());
    server.put(COLLECTION, { metadata: { name: 'x', namespace: 'n' } });
    const acting = Promise.withResolvers<void>();
    let acts = 0;
    const { manager } = managerOn({
      server,
      clock: systemClock,
      reconcile: async () => {
        acts++;
        await acting.promise;
        acts--;
        return {};
      },
    });
    manager.start(() => {});
    await waitFor(() => acts === 1);
    const seen: string[] = [];
    server.fault = ({ method, path, body }) => {
      const released = path.includes('/leases/') && method === 'PUT' && isReleased(body);
      if (released) seen.push(`released: ${acts} act, ${server.watching} watch`);
      return undefined;
    };
    const exits: number[] = [];
    const exit = (code: number) => void exits.push(code);
    const shutdown = new Shutdown({ log, clock: systemClock, timeoutMs: 10_000, exit });
    manager.addTo(shutdown);
    const stopping = shutdown.run('test');
    await waitFor(() => server.watching === 0);
    expect(manager.ready()).toEqual({ ok: false, leading: true });
    expect(seen).toEqual([]);
    acting.resolve();
    await stopping;
    expect(seen).toEqual(['released: 0 act, 0 watch']);
    expect(exits).toEqual([0]);
  });
});

function isReleased(body: unknown): boolean {
  return (body as { spec: { holderIdentity: string } }).spec.holderIdentity === '';
}
