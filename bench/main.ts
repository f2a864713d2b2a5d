/**
 * `npm run bench -- <name> [--json] [--only <text>] [--profile]`: runs one benchmark, or those of its cases whose names hold
 * the text. With `--profile`, the producer's also says where the time goes.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchConsumer } from './consumer.ts';
import { benchController } from './controller.ts';
import { benchCost } from './cost.ts';
import { benchDetectors } from './detectors.ts';
import { benchEndToEnd } from './e2e.ts';
import { benchFailover } from './failover.ts';
import { benchLambda } from './lambda.ts';
import { benchProducer } from './producer.ts';
import type { BenchCase } from './report.ts';

const BENCHMARKS: Readonly<Record<string, (only: string, profiled: boolean) => Promise<BenchCase[]>>> = {
  detectors: benchDetectors,
  consumer: benchConsumer,
  cost: benchCost,
  controller: benchController,
  failover: benchFailover,
  e2e: benchEndToEnd,
  lambda: benchLambda,
  producer: benchProducer,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    profile: { type: 'boolean', default: false },
  },
});
const [name = ''] = positionals;
const benchmark = BENCHMARKS[name];
if (!benchmark) {
  console.error(
    `usage: npm run bench -- <${Object.keys(BENCHMARKS).join('|')}> [--json] [--only <text>] [--profile]`,
  );
  process.exit(2);
}
const cases = await benchmark(values.only, values.profile);
if (values.json) {
  console.log(JSON.stringify({ benchmark: name, node: process.version, cpus: cpus().length, cases }));
} else {
  console.log(`${name}: node ${process.version}, ${cpus().length} CPUs`);
  console.table(
    Object.fromEntries(
      cases.map(({ name: row, ...figures }) => [
        row,
        Object.fromEntries(
          Object.entries(figures).map(([key, value]) => [key, Number(value.toPrecision(4))]),
        ),
      ]),
    ),
  );
}
