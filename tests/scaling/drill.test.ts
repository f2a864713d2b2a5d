import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, inject, it } from 'vitest';
import { waitFor } from '../../services/testkit/wait-for.ts';
import { describeWithCluster } from '../kube/cluster.ts';
import { Drill } from './drill.ts';

const OBJECTIVE = { maxLagSeconds: 120, catchUpSeconds: 900 };
const BACKLOG_SECONDS = 600;
/** Records a second, of which a pod does four or five: two pods catch up, two shards' pods are too few, one pod is plenty. */
const RATES = { usual: 3, busy: 9, calm: 0.05 };

/** Between two kills that nothing else asks for. */
const PAUSES_MS = [16_100, 12_700, 21_500];

describeWithCluster('ten minutes of backlog at two shards and one replica', () => {
  let drill: Drill | undefined;
  afterEach(async () => {
    await drill?.stop();
  }, 60_000);

  it.each([
    ['', false],
    ['although the controller is killed in the middle of each step, and now and then', true],
  ])(
    'are worked off in time, and pods and shards go when they are no longer needed %s',
    async (_how, kills) => {
      drill = await Drill.start(inject('dynamodbEndpoint'));
      const { scenario } = drill;
      drill.rate = RATES.usual;
      await drill.clock.sleep(BACKLOG_SECONDS * 1_000);
      await drill.pace('working');
      await scenario.createScaler('drill', {
        mode: 'Full',
        replicas: { min: 1, max: 4 },
        shards: { min: 2, max: 4 },
        objective: OBJECTIVE,
      });
      drill.podsFollow = true;
      await drill.startController();
      const killing = kills ? killAtSteps(drill) : undefined;
      await waitFor(async () => (await scenario.replicas('consumer')) > 1, 90_000);
      const decidedAt = drill.seconds;
      await inTime(drill, OBJECTIVE.catchUpSeconds);
      tell(`within the objective after ${Math.round(drill.seconds - decidedAt)} s`);

      drill.rate = RATES.busy;
      await waitFor(() => (drill?.shards.at(-1) ?? 0) > 2 && (drill?.replicas.at(-1) ?? 0) > 2, 120_000);
      await inTime(drill, 2 * OBJECTIVE.catchUpSeconds);

      drill.rate = RATES.calm;
      await drill.pace('waiting');
      await comesDown(drill, 120_000);
      await killing?.end();
      drill.rate = 0;
      const { status } = await waitFor(async () => {
        const scaler = await drill?.scaler();
        return scaler?.status?.reshardBudget?.calls.every(({ outcome }) => outcome === 'Accepted') && scaler;
      }, 20_000);
      tell(`shards ${drill.shards}, replicas ${drill.replicas}, kills ${killing?.count ?? 0}`);
      const steps = drill.shards.slice(1).map((to, i) => ({ from: drill?.shards[i], to }));
      expect(status?.reshardBudget?.calls.map(({ from, to }) => ({ from, to }))).toEqual(steps);
      expect(status?.reshardBudget?.used).toBe(steps.length);
      // Each record once, whatever the pods handed over meanwhile.
      await waitFor(async () => (await scenario.stack.countRecords()) === drill?.sent, 30_000);
      expect(scenario.double.storedCount(scenario.stack.resources.stream)).toBe(drill.sent);
    },
    400_000,
  );
});

/** With SHOW_DRILL set, tells how it goes. */
function tell(line: string): void {
  if (process.env.SHOW_DRILL) process.stderr.write(`${line}\n`);
}

/** Waits until there is one replica and two shards. @throws Error after `timeoutMs`. */
async function comesDown(drill: Drill, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const from = drill.seconds;
  for (let told = ''; drill.replicas.at(-1) !== 1 || drill.shards.at(-1) !== 2; await sleep(500)) {
    const { status } = await drill.scaler();
    const line = `${Math.round(drill.seconds - from)} s: ${JSON.stringify(status?.lag)}, shards ${drill.shards}, replicas ${drill.replicas}, ${JSON.stringify(status?.memory)}, ${status?.conditions?.[0]?.message}`;
    if (line !== told) tell(line);
    told = line;
    if (performance.now() > deadline) throw new Error(`not down within ${timeoutMs} ms: ${told}`);
  }
}

/** Waits until the group is within the objective and has read all that was there at the start. @throws Error after `seconds`. */
async function inTime(drill: Drill, seconds: number): Promise<void> {
  const deadline = drill.seconds + seconds;
  let told = '';
  for (; ; await sleep(500)) {
    const { status } = await drill.scaler();
    const { maxSeconds, unknownShards, undrainedParents } = status?.lag ?? {};
    const line = `${Math.round(seconds - (deadline - drill.seconds))} s: lag ${maxSeconds}, shards ${drill.shards}, replicas ${drill.replicas}, pod ${status?.rates?.podRecordsPerSecond}: ${status?.lastDecision?.reason}`;
    if (line !== told) tell(line);
    told = line;
    if (unknownShards === 0 && undrainedParents === 0 && (maxSeconds ?? Infinity) <= OBJECTIVE.maxLagSeconds)
      return;
    if (drill.seconds > deadline) throw new Error(`not within the objective after ${seconds} s: ${told}`);
  }
}

/** Kills the controller while AWS carries out a reshard call of its, when it has just set replicas, and at random. */
function killAtSteps(drill: Drill) {
  const { double } = drill.scenario;
  // The call is carried out, and its answer comes half a second later: too late for a dead one.
  double.faults.rule(({ operation }) =>
    operation === 'UpdateShardCount' ? { kind: 'latency', ms: 30_000 } : undefined,
  );
  let ended = false;
  let count = 0;
  const calls = () => double.calls.get('UpdateShardCount') ?? 0;
  const running = (async () => {
    let seen = { calls: calls(), replicas: drill.replicas.length };
    for (let next = performance.now() + 8_000; !ended; await sleep(5)) {
      const now = { calls: calls(), replicas: drill.replicas.length };
      const step = now.calls > seen.calls || now.replicas > seen.replicas;
      if (!step && performance.now() < next) continue;
      await drill.killController();
      count++;
      seen = { calls: calls(), replicas: drill.replicas.length };
      next = performance.now() + (PAUSES_MS[count % PAUSES_MS.length] ?? 0);
    }
  })();
  return {
    get count() {
      return count;
    },
    async end() {
      ended = true;
      await running;
    },
  };
}
