import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc: 100 on every Linux we know. */
const TICKS = 100;

/** One row of a benchmark; further figures as the benchmark has them, units in their names. */
export interface BenchCase {
  name: string;
  events: number;
  seconds: number;
  eventsPerSecond: number;
  /** CPU time of this process, user and system, for 10,000 events. */
  cpuSecondsPer10k: number;
  [
    figure:
      | `${string}Ms`
      | `${string}PerCall`
      | `${string}Bytes`
      | `${string}Share`
      | `${string}PerRecord`
      | `${string}PerCpuSecond`
      | `${string}PerMillion`
  ]: number;
}

/** Times `work`, which handles `events` events, in wall and CPU time of this process. */
export async function measure(
  name: string,
  events: number,
  work: () => Promise<void> | void,
): Promise<BenchCase> {
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  await work();
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuSeconds = (user + system) / 1e6;
  return {
    name,
    events,
    seconds,
    eventsPerSecond: events / seconds,
    cpuSecondsPer10k: (cpuSeconds / events) * 10_000,
  };
}

/** The value below which `share` of the samples lie; sorts them in place. */
export function percentile(samples: number[], share: number): number {
  samples.sort((a, b) => a - b);
  return samples[Math.min(samples.length - 1, Math.floor(samples.length * share))] ?? Number.NaN;
}

/** CPU time of a process so far, user and system, from /proc. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}
