import { Command, Option } from 'commander';
import { PRICES } from '../../shared/prices.ts';
import { ASSUMPTIONS, type Estimate, estimate, type Workload } from '../cost/estimate.ts';
import { quantity } from '../options.ts';
import { formatTable, printJson } from '../output.ts';

/** The monthly bill that the design which Weir re-creates names for "typical workloads". */
const ORIGINAL_USD = { least: 50, most: 200 } as const;

interface CostOptions extends Workload {
  json?: boolean;
}

/** `weir cost`: what a workload costs a month, line by line. */
export const cost = new Command('cost')
  .description('Estimates the monthly bill of a workload from list prices; asks nobody.')
  .option('--events-per-second <n>', 'events a second, on average', quantity(0, 1e7), 1000)
  .option('--event-bytes <n>', 'JSON of an event as it is sent', quantity(1, 1_000_000), 300)
  .option('--sources <n>', 'sources that send at the same time', quantity(1, 1e9), 100)
  .option('--anomaly-share <n>', 'share of events that are anomalies, 0-1', quantity(0, 1), 0.01)
  .option('--retention-hours <n>', 'retention of the stream, 24-168', quantity(24, 168), 24)
  .option('--item-days <n>', 'days that an item is kept', quantity(0, 36_500), 30)
  .addOption(new Option('--store <what>', 'what has an item').choices(['all', 'anomalies']).default('all'))
  .addOption(
    new Option('--stream <mode>', 'capacity of the stream')
      .choices(['provisioned', 'on-demand'])
      .default('provisioned'),
  )
  .addOption(new Option('--consumer <kind>', 'who scores').choices(['pods', 'lambda']).default('pods'))
  .option('--fanout', 'the consumer reads by enhanced fan-out', false)
  .option('--no-aggregation', 'one Kinesis record an event')
  .option('--json', 'print {"prices", "workload", "assumptions", "estimate"} for programs')
  .addHelpText(
    'after',
    `
Examples:
  weir cost --events-per-second 0
  weir cost --events-per-second 10000 --store anomalies
  weir cost --consumer lambda --json`,
  )
  .action(({ json, ...workload }: CostOptions) => {
    const result = estimate(workload);
    if (json) {
      const prices = { region: PRICES.region, date: PRICES.date };
      return printJson({ prices, workload, assumptions: ASSUMPTIONS, estimate: result });
    }
    process.stdout.write(report(workload, result));
  });

function report(workload: Workload, { lines, usd, eventsPerMonth }: Estimate): string {
  const dollars = (n: number) =>
    n.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const rows = lines.map((line) => [line.part, line.what, line.amount, dollars(line.usd)]);
  const perMillion =
    eventsPerMonth > 0 ? `, $${dollars(usd / (eventsPerMonth / 1e6))} per million events` : '';
  return [
    `${workload.eventsPerSecond.toLocaleString('en-US')} events/s of ${workload.eventBytes} bytes, a month of 730 hours`,
    `List prices of ${PRICES.region}, ${PRICES.date}, without tax, discounts and free tier.`,
    '',
    formatTable(['part', 'what', 'amount', 'USD'], [...rows, ['total', '', '', dollars(usd)]]),
    `$${dollars(usd)} a month${perMillion}. ${compared(usd)}`,
    'Not in it: EKS control plane, load balancer, NAT, traffic out, logs.',
    '',
  ].join('\n');
}

function compared(usd: number): string {
  const { least, most } = ORIGINAL_USD;
  const range = `the original design's $${least}-${most}`;
  if (usd < least) return `Below ${range}.`;
  if (usd <= most) return `Within ${range}.`;
  return `Above ${range} (${(usd / most).toFixed(1)} times its upper end).`;
}
