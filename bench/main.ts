/** `npm run bench -- <name> [--json]`: runs one benchmark. */
import { cpus } from 'node:os';
import { benchPipeline } from './pipeline.ts';
import { benchProducer } from './producer.ts';
import type { BenchCase } from './report.ts';

const BENCHMARKS: Readonly<Record<string, () => Promise<BenchCase[]>>> = {
  pipeline: benchPipeline,
  producer: benchProducer,
};

const [name = '', ...flags] = process.argv.slice(2);
const benchmark = BENCHMARKS[name];
if (!benchmark || flags.some((flag) => flag !== '--json')) {
  console.error(`usage: npm run bench -- <${Object.keys(BENCHMARKS).join('|')}> [--json]`);
  process.exit(2);
}
const cases = await benchmark();
if (flags.includes('--json')) {
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
