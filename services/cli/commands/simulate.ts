import { readFileSync, writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import {
  type Comparison,
  compare,
  DEFAULT_SPEC,
  standing,
} from '../../controller/scaling/simulator/compare.ts';
import { DEFAULT_WORLD, type Outcome, type World } from '../../controller/scaling/simulator/simulate.ts';
import { TRACES, type Trace } from '../../controller/scaling/simulator/trace.ts';
import type { ScalingSpec } from '../../controller/scaling/spec.ts';
import { PRICES } from '../../shared/prices.ts';
import { formatTable, printJson } from '../output.ts';
import { readTrace } from '../simulate/csv.ts';
import { page } from '../simulate/page.ts';

interface Options {
  trace?: string[];
  csv?: string;
  podRate: number;
  podStart: number;
  reshardTime: number;
  recordBytes: number;
  maxLag: number;
  catchUp: number;
  utilization: number;
  maxReplicas: number;
  maxShards: number;
  decisions?: boolean;
  html?: string;
  json?: boolean;
}

/** `weir simulate`: the controller's own decisions against other autoscalers, on a virtual clock. */
export const simulate = new Command('simulate')
  .description(
    "Runs the controller's own decisions and other autoscalers through traces of load, second by second on a virtual clock, and compares lag, pods, shards and cost.",
  )
  .option('--trace <name...>', `only these: ${TRACES.map(({ name }) => name).join(', ')}`)
  .option(
    '--csv <file>',
    'a trace of your own: a time (seconds or ISO 8601) and records a second on each line',
  )
  .option('--pod-rate <n>', 'records a second that a pod does', positive, DEFAULT_WORLD.group.podRate)
  .option('--pod-start <seconds>', 'until a new pod works', positive, DEFAULT_WORLD.group.startSeconds)
  .option(
    '--reshard-time <seconds>',
    'that an UpdateShardCount takes',
    positive,
    DEFAULT_WORLD.stream.updateSeconds,
  )
  .option('--record-bytes <n>', 'bytes of a record', positive, DEFAULT_WORLD.bytesPerRecord)
  .option('--max-lag <seconds>', 'objective.maxLagSeconds', positive, DEFAULT_SPEC.objective.maxLagSeconds)
  .option('--catch-up <seconds>', 'objective.catchUpSeconds', positive, DEFAULT_SPEC.objective.catchUpSeconds)
  .option('--utilization <share>', 'objective.utilization', share, DEFAULT_SPEC.objective.utilization)
  .option('--max-replicas <n>', 'replicas.max', count, DEFAULT_SPEC.replicas.max)
  .option('--max-shards <n>', 'shards.max', count, DEFAULT_SPEC.shards?.max)
  .option('--decisions', 'print what Weir did in each trace, in its own sentences')
  .option('--html <file>', 'write a page with plots')
  .option('--json', 'print one JSON object for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir simulate
  weir simulate --trace step spike --decisions
  weir simulate --csv load.csv --pod-rate 500 --html simulation.html`,
  )
  .action((options: Options, command: Command) => {
    const traces = chosenTraces(options, command);
    const { spec, world } = settingsOf(options);
    const comparisons = traces.map((trace) => compare(trace, spec, world));
    if (options.html) writeFileSync(options.html, page(comparisons, spec));
    if (options.json) return printJson(jsonOf(comparisons, spec, world));
    process.stdout.write(textOf(comparisons, options));
  });

function chosenTraces({ trace: names, csv }: Options, command: Command): readonly Trace[] {
  if (csv !== undefined) {
    try {
      return [readTrace(csv, readFileSync(csv, 'utf8'))];
    } catch (error) {
      return command.error(`error: ${(error as Error).message}`, { exitCode: 2 });
    }
  }
  for (const name of names ?? []) {
    if (TRACES.some((trace) => trace.name === name)) continue;
    command.error(`error: there is no trace "${name}": ${TRACES.map((trace) => trace.name).join(', ')}`, {
      exitCode: 2,
    });
  }
  return names ? TRACES.filter(({ name }) => names.includes(name)) : TRACES;
}

function settingsOf(options: Options): { spec: ScalingSpec; world: World } {
  const { maxLag: maxLagSeconds, catchUp: catchUpSeconds, utilization, recordBytes } = options;
  return {
    spec: {
      ...DEFAULT_SPEC,
      replicas: { min: 1, max: options.maxReplicas },
      shards: { min: 1, max: options.maxShards },
      objective: { maxLagSeconds, catchUpSeconds, utilization },
    },
    world: {
      ...DEFAULT_WORLD,
      bytesPerRecord: recordBytes,
      // A shard takes 1,000 records or 1 MiB a second, and gives 2 MiB, whichever is reached first.
      stream: {
        ...DEFAULT_WORLD.stream,
        shardRate: Math.min(1_000, 1_048_576 / recordBytes),
        updateSeconds: options.reshardTime,
      },
      group: {
        ...DEFAULT_WORLD.group,
        podRate: options.podRate,
        startSeconds: options.podStart,
        shardReadRate: 2_097_152 / recordBytes,
      },
    },
  };
}

/** Rows of Weir itself. */
const OURS = 3;

function textOf(comparisons: readonly Comparison[], { decisions }: Options): string {
  const header = [
    'trace',
    'policy',
    's over',
    'worst lag s',
    'pod h',
    'shard h',
    'USD',
    '% of optimum',
    'reshards',
    'flaps',
    'weir is',
    'replicas only is',
  ];
  const rows = comparisons.flatMap(({ trace, outcomes, optimum, bound }) => {
    const [full, replicasOnly] = outcomes as [Outcome, Outcome];
    const percent = (dollars: number) => (optimum ? `${Math.round((dollars / optimum.dollars) * 100)}` : '');
    return [
      ...outcomes.map((one, i) => [
        i === 0 ? trace.name : '',
        one.policy,
        String(one.violationSeconds),
        String(Math.round(one.worstLagSeconds)),
        one.podHours.toFixed(1),
        one.shardHours.toFixed(1),
        one.dollars.toFixed(2),
        percent(one.dollars),
        String(one.reshards),
        String(one.flaps),
        i < OURS ? '' : standing(full, one),
        i < OURS ? '' : standing(replicasOnly, one),
      ]),
      ...[
        { name: 'optimum', plan: optimum },
        { name: 'running full', plan: bound },
      ].map(({ name, plan }) =>
        plan
          ? [
              '',
              name,
              '',
              '',
              plan.podHours.toFixed(1),
              plan.shardHours.toFixed(1),
              plan.dollars.toFixed(2),
              percent(plan.dollars),
              '',
              '',
              '',
              '',
            ]
          : ['', name, '', '', '', '', '', '', '', '', '', ''],
      ),
    ];
  });
  const log = decisions ? comparisons.map(decisionsOf).join('') : '';
  return `${formatTable(header, rows)}\n${legend()}${log}`;
}

function legend(): string {
  return `s over: seconds in which the oldest event, from when it was sent, was older than the objective.
optimum: pods and shards of a plan that knew the trace, with the objective's reserve; running full: the same without any.
weir is: better (no more seconds over and no more cost), dearer (fewer seconds, more cost), later (more seconds, less cost) or worse.
lag only: weir for a KCL application, whose pods tell no rates. All but weir have a stream that is sized for the trace's peak by hand. Prices: ${PRICES.region}, ${PRICES.date}, a pod with 1 vCPU and 2 GiB.
`;
}

function decisionsOf({ trace, outcomes }: Comparison): string {
  const lines = outcomes[0]?.log.map(({ t, sentence }) => `${clock(t)}  ${sentence}\n`) ?? [];
  return `\n${trace.name}: ${trace.description}\n${lines.join('')}`;
}

function clock(t: number): string {
  return new Date(t * 1000).toISOString().slice(11, 19);
}

function jsonOf(comparisons: readonly Comparison[], { objective }: ScalingSpec, world: World): object {
  return {
    objective,
    world,
    prices: PRICES,
    traces: comparisons.map(({ trace, outcomes, optimum, bound }) => ({
      trace: trace.name,
      description: trace.description,
      seconds: trace.seconds,
      outcomes: outcomes.map(({ samples: _, ...one }) => one),
      optimum,
      runningFull: bound,
    })),
  };
}

function positive(value: string): number {
  const number = Number(value);
  if (!Number.isFinite(number) || number <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

function count(value: string): number {
  const number = Number(value);
  if (!(Number.isInteger(number) && number >= 1 && number <= 10_000))
    throw new InvalidArgumentError('It must be a whole number from 1 to 10,000.');
  return number;
}

function share(value: string): number {
  const number = Number(value);
  if (!(number > 0 && number <= 1)) throw new InvalidArgumentError('It must be above 0 and at most 1.');
  return number;
}
