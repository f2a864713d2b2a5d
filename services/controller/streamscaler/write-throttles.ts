import { type CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { WriteThrottle } from '../scaling/observation.ts';
import { problemOf } from './problems.ts';

const MINUTE_MS = 60_000;
/** Minutes that are asked for: CloudWatch has one two or three minutes after it ended. What is older is of no use. */
const MINUTES = 6;
/** After a missing permission: whoever grants it need not restart anything. */
const REFUSED_MS = 600_000;

export interface WriteThrottlesDeps {
  cloudwatch: CloudWatchClient;
  /** Name, not ARN. */
  stream: string;
  clock: Clock;
  log: Logger;
}

/**
 * What producers were refused for lack of write throughput, as CloudWatch tells it: consumers can't see that. Two metrics of the
 * stream (which Kinesis sends for nothing), asked for once a minute. It is a help and no more: no look waits for it, and
 * whatever goes wrong with it means that it isn't known.
 *
 * Source: "Monitor the Amazon Kinesis Data Streams service with Amazon CloudWatch", developer guide.
 */
export class WriteThrottles {
  readonly #deps: WriteThrottlesDeps;
  #latest: WriteThrottle | undefined;
  #nextAt = Number.NEGATIVE_INFINITY;
  #problem = '';

  constructor(deps: WriteThrottlesDeps) {
    this.#deps = deps;
  }

  /** The last full minute that is known, unless it is too old. Asks for the next one in the background when it is time. */
  latest(): WriteThrottle | undefined {
    const { clock } = this.#deps;
    if (clock.monotonic() >= this.#nextAt) {
      this.#nextAt = clock.monotonic() + MINUTE_MS;
      void this.#ask();
    }
    const oldest = clock.now() - MINUTES * MINUTE_MS;
    return this.#latest && this.#latest.from >= oldest ? this.#latest : undefined;
  }

  async #ask(): Promise<void> {
    const { cloudwatch, stream, clock, log } = this.#deps;
    const end = Math.floor(clock.now() / MINUTE_MS) * MINUTE_MS;
    const metric = (Id: string, MetricName: string) => ({
      Id,
      MetricStat: {
        Metric: {
          Namespace: 'AWS/Kinesis',
          MetricName,
          Dimensions: [{ Name: 'StreamName', Value: stream }],
        },
        Period: 60,
        Stat: 'Sum',
      },
    });
    try {
      const { MetricDataResults = [] } = await cloudwatch.send(
        new GetMetricDataCommand({
          MetricDataQueries: [
            metric('refused', 'WriteProvisionedThroughputExceeded'),
            metric('accepted', 'IncomingRecords'),
          ],
          StartTime: new Date(end - MINUTES * MINUTE_MS),
          EndTime: new Date(end),
          ScanBy: 'TimestampDescending',
        }),
      );
      const sums = (id: string) => {
        const { Timestamps = [], Values = [] } = MetricDataResults.find(({ Id }) => Id === id) ?? {};
        return new Map(Timestamps.map((at, i) => [at.getTime(), Values[i] ?? 0]));
      };
      this.#latest = latestShare(sums('refused'), sums('accepted')) ?? this.#latest;
      this.#problem = '';
    } catch (error) {
      const problem = problemOf('cloudwatch:GetMetricData', `stream ${stream}`, error);
      if (problem.startsWith('permission')) this.#nextAt = clock.monotonic() + REFUSED_MS;
      if (problem !== this.#problem) log.warn({ stream }, `${problem}; goes on without it`);
      this.#problem = problem;
    }
  }
}

/**
 * Sums by the start of their minute, in ms since the epoch. A minute without a word of refusals had none; one without a word of what was
 * taken isn't told in full yet, since shards only refuse when they have taken a lot.
 */
function latestShare(
  refused: ReadonlyMap<number, number>,
  accepted: ReadonlyMap<number, number>,
): WriteThrottle | undefined {
  const from = Math.max(...accepted.keys());
  const total = (refused.get(from) ?? 0) + (accepted.get(from) ?? 0);
  return total > 0 ? { from, share: (refused.get(from) ?? 0) / total } : undefined;
}
