import pLimit from 'p-limit';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';
import { waitFor } from '../../services/testkit/wait-for.ts';
import type { Scenario } from './scenario.ts';

const BUSY = { lagSeconds: 300, recordsPerSecond: 200, busyShare: 1 };
const CALM = { lagSeconds: 0, recordsPerSecond: 1, busyShare: 0.01 };
/** A start takes a core for a second: more at once would only keep those waiting that must renew a lease. */
const starting = pLimit(2);

/** Starts a controller in a file whose tests run side by side. */
export async function start(scenario: Scenario, env: Record<string, string> = {}): Promise<ServiceProcess> {
  return await starting(() => scenario.startController(env));
}

export async function leads(controller: ServiceProcess): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${controller.ports.adminPort}/readyz`);
  return ((await answer.json()) as { leading: boolean }).leading;
}

/** Which of two leads, and which waits. */
export async function pair(
  scenario: Scenario,
  env: Record<string, string> = {},
): Promise<{ leader: ServiceProcess; standby: ServiceProcess }> {
  const [first, second] = await Promise.all([start(scenario, env), start(scenario, env)]);
  return await waitFor(async () => {
    const [one, other] = await Promise.all([leads(first), leads(second)]);
    if (one === other) return undefined;
    return one ? { leader: first, standby: second } : { leader: second, standby: first };
  }, 20_000);
}

/** Makes the load ask for the other number of replicas of the two. @returns the number of now. */
export async function turn(scenario: Scenario): Promise<number> {
  const before = await scenario.replicas('consumer');
  Object.assign(scenario.reports, before === 1 ? BUSY : CALM);
  return before;
}

/** Makes the load ask for the other number of replicas, and waits until they are set: somebody is at work. */
export async function works(scenario: Scenario): Promise<void> {
  const before = await turn(scenario);
  await waitFor(async () => (await scenario.replicas('consumer')) !== before, 30_000);
}
