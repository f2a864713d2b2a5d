import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/log.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { Progress } from '../../shared/progress.ts';
import { FakeApiServer } from '../../testkit/kube/fake-api-server.ts';
import { waitFor } from '../../testkit/wait-for.ts';
import { KubeClient } from './api/client.ts';
import { Transport } from './api/transport.ts';
import { LeaderElection } from './leader-election.ts';
import { createRuntimeMetrics } from './metrics.ts';

const COLLECTION = 'apis/coordination.k8s.io/v1/leases';

let server: FakeApiServer;
const transports: Transport[] = [];
const candidates: LeaderElection[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
});
afterEach(async () => {
  server.fault = () => undefined;
  await Promise.all(candidates.splice(0).map((c) => c.stop()));
  for (const transport of transports.splice(0)) transport.close();
  await server.stop();
});

function candidate(identity: string, clock: Clock = systemClock) {
  const transport = new Transport(server.kubeConfig(), systemClock, 'test');
  transports.push(transport);
  const election = new LeaderElection({
    client: new KubeClient(transport),
    namespace: 'weir',
    name: 'controller',
    identity,
    leaseDurationMs: 1_000,
    renewDeadlineMs: 600,
    retryMs: 50,
    progress: new Progress(clock),
    clock,
    random: () => 0.5,
    log: createLogger('test', 'silent'),
    metrics: createRuntimeMetrics(createRegistry('test')),
  });
  candidates.push(election);
  const seen = { elected: 0, lost: 0, lostAt: 0 };
  election.start(
    () => seen.elected++,
    () => {
      seen.lost++;
      seen.lostAt = performance.now();
    },
  );
  return { election, seen };
}

const lease = () =>
  server.get(COLLECTION, 'weir', 'controller') as unknown as { spec: Record<string, unknown> };

describe('leader election', () => {
  it('elects one of many, and keeps it', async () => {
    const all = ['a', 'b', 'c'].map((id) => candidate(id));
    await waitFor(() => all.some(({ election }) => election.leading));
    await sleep(1_500);
    expect(all.filter(({ election }) => election.leading)).toHaveLength(1);
    expect(all.map(({ seen }) => seen.elected).reduce((x, y) => x + y)).toBe(1);
    expect(lease().spec).toMatchObject({ leaseDurationSeconds: 1, leaseTransitions: 0 });
  });

  it('hands over at a stop at once, not at the end of the lease', async () => {
    const a = candidate('a');
    await waitFor(() => a.election.leading);
    const b = candidate('b');
    await sleep(150);
    expect(b.election.leading).toBe(false);
    const startedAt = performance.now();
    await a.election.stop();
    await waitFor(() => b.election.leading);
    expect(performance.now() - startedAt).toBeLessThan(600);
    expect(lease().spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
    expect(a.seen.lost).toBe(0);
  });

  it('gives up before anybody else may take over, when it can not renew', async () => {
    const a = candidate('a');
    await waitFor(() => a.election.leading);
    const b = candidate('b');
    const cut = performance.now();
    server.fault = ({ method, body }) =>
      method === 'PUT' && (body as { spec: { holderIdentity: string } }).spec.holderIdentity === 'a'
        ? 'hang'
        : undefined;
    await waitFor(() => b.election.leading);
    const takenAt = performance.now();
    expect(a.seen.lost).toBe(1);
    expect(a.seen.lostAt).toBeLessThan(takenAt);
    expect(a.seen.lostAt - cut).toBeGreaterThan(400);
  });

  it('goes on through failures that are shorter than its deadline, lost answers included', async () => {
    const a = candidate('a');
    await waitFor(() => a.election.leading);
    let refused = 0;
    server.fault = () => (refused++ < 3 ? { status: 500, reason: 'InternalError' } : undefined);
    await waitFor(() => refused > 5);
    server.fault = () => undefined;
    // A write of its own whose answer was lost looks like somebody else's: the version moved on.
    const stored = server.get(COLLECTION, 'weir', 'controller')!;
    server.put(COLLECTION, { ...stored, metadata: { name: 'controller', namespace: 'weir' } });
    await sleep(300);
    expect(a.election.leading).toBe(true);
    expect(a.seen.lost).toBe(0);
  });

  it('knows at once when somebody took the lease, and when somebody deleted it', async () => {
    const a = candidate('a');
    await waitFor(() => a.election.leading);
    server.remove(COLLECTION, 'weir', 'controller');
    await waitFor(() => lease()?.spec.holderIdentity === 'a');
    expect(a.seen.lost).toBe(0);
    const now = new Date().toISOString();
    server.put(COLLECTION, {
      metadata: { name: 'controller', namespace: 'weir' },
      spec: { holderIdentity: 'thief', leaseDurationSeconds: 60, renewTime: now },
    });
    await waitFor(() => a.seen.lost === 1);
    expect(a.election.leading).toBe(false);
  });

  it("goes by its own clock, not by the times in the lease: they are another machine's", async () => {
    server.put(COLLECTION, {
      metadata: { name: 'controller', namespace: 'weir' },
      spec: { holderIdentity: 'ahead', leaseDurationSeconds: 1, renewTime: '2100-01-01T00:00:00.000000Z' },
    });
    const startedAt = performance.now();
    const jumping: Clock = { ...systemClock, now: () => Date.UTC(1999, 0, 1) };
    const a = candidate('a', jumping);
    await waitFor(() => a.election.leading);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(950);
  });

  it('stops while it waits, and leaves the lease of another alone', async () => {
    const a = candidate('a');
    await waitFor(() => a.election.leading);
    const b = candidate('b');
    await b.election.stop();
    expect(b.seen.elected).toBe(0);
    expect(lease().spec.holderIdentity).toBe('a');
  });
});
