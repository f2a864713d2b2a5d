import { DescribeStreamSummaryCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import type { Clock } from '../../shared/clock.ts';
import { streamRef } from '../../shared/list-shards.ts';
import { type Check, callFailed, ok, problem, warning } from './check.ts';

/** Off by more, and times in the tables mislead; by five minutes, and AWS refuses every call. */
const SKEW_WARNING_MS = 5_000;
const SKEW_PROBLEM_MS = 60_000;

/** The stream, and from the same answer how far this machine's clock is off. */
export async function checkStream(client: KinesisClient, stream: string, clock: Clock): Promise<Check[]> {
  let date: number | undefined;
  let askedAt = clock.now();
  client.middlewareStack.add(
    (next) => async (args) => {
      askedAt = clock.now();
      const result = await next(args);
      const { headers } = result.response as { headers?: Record<string, string> };
      date = Date.parse(headers?.date ?? '');
      return result;
    },
    { step: 'deserialize', name: 'weirDoctorDate', priority: 'low' },
  );
  try {
    const { StreamDescriptionSummary: found } = await client.send(
      new DescribeStreamSummaryCommand(streamRef(stream)),
    );
    const text = `${stream} is ${found?.StreamStatus} with ${found?.OpenShardCount} open shards`;
    const isUsable = found?.StreamStatus === 'ACTIVE' || found?.StreamStatus === 'UPDATING';
    return [
      isUsable ? ok('stream', text) : problem('stream', text, 'wait until it is ACTIVE'),
      skew(date, (askedAt + clock.now()) / 2),
    ];
  } catch (error) {
    const checks = [callFailed('stream', 'kinesis:DescribeStreamSummary', stream, error)];
    return date === undefined ? checks : [...checks, skew(date, clock.now())];
  } finally {
    client.middlewareStack.remove('weirDoctorDate');
  }
}

function skew(date: number | undefined, now: number): Check {
  if (date === undefined || Number.isNaN(date))
    return ok('clock', 'not known: the answer has no date, as emulators leave it out');
  const off = Math.abs(date - now);
  // The header has whole seconds.
  if (off <= SKEW_WARNING_MS) return ok('clock', `within ${Math.ceil(off / 1_000)} s of AWS`);
  const found = `${Math.round(off / 1_000)} s off AWS`;
  const todo = 'set it by NTP (timedatectl set-ntp true)';
  return off > SKEW_PROBLEM_MS ? problem('clock', found, todo) : warning('clock', found, todo);
}
