import type * as z from 'zod';
import type { demoSchema } from '../../services/cli/schemas.ts';
import type { LocalStack } from '../stack.ts';
import { format } from './progress.ts';

const TOP_SOURCES = 10;

/** The outcome of a replay; what `--json` prints. */
export type DemoResult = z.output<typeof demoSchema>;

/** The result for people. */
export function renderSummary(result: DemoResult): string {
  const { endToEndMs: e2e } = result;
  const shown = result.anomaliesBySource.slice(0, TOP_SOURCES);
  const others = result.anomaliesBySource.slice(TOP_SOURCES);
  const width = Math.max(...shown.map(({ source }) => source.length), 3);
  const top = shown[0]?.anomalies ?? 1;
  const rows = shown.map(({ source, anomalies }) => {
    const bar = '█'.repeat(Math.max(1, Math.round((anomalies / top) * 24)));
    return `    ${source.padEnd(width)} ${format(anomalies).padStart(7)} ${bar}`;
  });
  if (others.length > 0) {
    const sum = others.reduce((total, { anomalies }) => total + anomalies, 0);
    rows.push(`    ${format(sum)} more from ${others.length} other sources`);
  }
  return [
    '',
    `  sent           ${format(result.sent)} of ${format(result.events)} events in ${result.seconds.toFixed(1)} s (${format(Math.round(result.eventsPerSecond))}/s)`,
    `  stored         ${format(result.stored)} results, ${format(result.scored)} scored, ${format(result.deadLetters)} dead letters`,
    `  anomalies      ${format(result.anomalies)} with an amount above ${format(result.threshold)} (${format(result.expectedAnomalies)} in the data)`,
    `  end to end     p50 ${ms(e2e.p50)}, p99 ${ms(e2e.p99)} (accepted over HTTP to result stored, on emulators)`,
    ...(rows.length > 0 ? ['  by source', ...rows] : []),
    '',
    result.ok
      ? '  check passed: every event is in the table once, in order, with the score computed apart from the pipeline'
      : `  CHECK FAILED\n${result.problems.map((problem) => `    ${problem}`).join('\n')}`,
    '',
  ].join('\n');
}

/** What can be done with a stack that stays up. */
export function renderHints(stack: LocalStack): string {
  return [
    `  console     ${stack.consoleUrl}`,
    `  producer    ${stack.producerUrl}/send   admin ${stack.producerAdminUrl}/metrics`,
    `  consumer    admin ${stack.consumerAdminUrl}/metrics`,
    `  Kinesis     ${stack.kinesisEndpoint}   stream ${stack.resources.stream}`,
    `  DynamoDB    ${stack.dynamodbEndpoint}   table ${stack.resources.recordsTable}`,
    '',
    '  Send an event of your own:',
    '',
    `    curl -sS ${stack.producerUrl}/send -H 'content-type: application/json' \\`,
    `      -d '{"source":"sensor-1","amount":1500,"timestamp":"${new Date().toISOString()}"}'`,
    '',
    '  Look around from another terminal:',
    '',
    '    npx weir tail --demo',
    '    npx weir lag --demo --watch',
    '',
    '  Ctrl-C stops everything; all data are in memory and go with it.',
    '',
  ].join('\n');
}

function ms(value: number | null): string {
  return value === null ? 'unknown' : `${Math.round(value)} ms`;
}
