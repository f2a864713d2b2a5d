/** Writes `docs/reference/` from the code: `npm run docs`. With `--check` it writes nothing and fails when a page is stale. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { consoleEnv } from '../services/console/config.ts';
import { createConsoleMetrics } from '../services/console/metrics.ts';
import { consumerEnv } from '../services/consumer/config.ts';
import { createConsumerMetrics } from '../services/consumer/metrics.ts';
import { controllerEnv } from '../services/controller/config.ts';
import { createRuntimeMetrics } from '../services/controller/runtime/metrics.ts';
import { createScalerMetrics } from '../services/controller/streamscaler/metrics.ts';
import { producerEnv } from '../services/producer/config.ts';
import { createProducerMetrics, observeProducer } from '../services/producer/metrics.ts';
import { commonEnv, describeEnv, type EnvShape } from '../services/shared/config.ts';
import { createRegistry } from '../services/shared/metrics.ts';

const FOLDER = new URL('../docs/reference/', import.meta.url);
const NOTICE = '<!-- Generated from the code by `npm run docs`; do not edit. -->';

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function variables(shape: EnvShape): string {
  const rows = describeEnv(shape).map(
    ({ name, description, accepts, default: value }) =>
      `| \`${name}\` | ${cell(description)} | ${cell(accepts)} | ${value === undefined ? '' : `\`${value}\``} |`,
  );
  return ['| variable | what it is | accepts | default |', '|---|---|---|---|', ...rows].join('\n');
}

function own(shape: EnvShape): EnvShape {
  return Object.fromEntries(Object.entries(shape).filter(([name]) => !(name in commonEnv)));
}

function configuration(): string {
  return `${NOTICE}

# Configuration

Each service reads its environment once, at its start. A bad value ends the process with exit code 78 and one
message that names every bad variable. An empty value counts as unset. AWS credentials come from the SDK's usual
chain (environment, web identity of a pod, instance role).

## All services

${variables(commonEnv)}

## Producer

${variables(own(producerEnv))}

## Consumer

${variables(own(consumerEnv))}

## Controller

Which streams and tables it looks at is said by the StreamScalers. Where the API server is: \`KUBECONFIG\`, else
\`~/.kube/config\`, else the service account of its pod.

${variables(own(controllerEnv))}

## Console

${variables(own(consoleEnv))}
`;
}

async function metrics(): Promise<string> {
  const table = async (register: (registry: ReturnType<typeof createRegistry>) => void) => {
    const registry = createRegistry('docs');
    register(registry);
    const found = await registry.getMetricsAsJSON();
    const rows = found.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${cell(help)} |`);
    return ['| metric | type | what it is |', '|---|---|---|', ...rows].join('\n');
  };
  return `${NOTICE}

# Metrics

Served at \`/metrics\` on each service's admin port, beside the process metrics of prom-client (\`process_*\`, \`nodejs_*\`).
Each sample has the label \`service\`.

## Producer

${await table((registry) => {
  createProducerMetrics(registry);
  observeProducer(
    registry,
    { bufferedRecords: 0, bufferedBytes: 0, oldestAgeMs: 0, inFlightCalls: 0, throttledShards: 0 },
    { bodyBytes: () => 0, windowBytes: () => 0 },
  );
})}

## Consumer

${await table(createConsumerMetrics)}

## Controller

${await table((registry) => {
  createScalerMetrics(registry);
  createRuntimeMetrics(registry);
})}

## Console

${await table(createConsoleMetrics)}
`;
}

const pages = { 'configuration.md': configuration(), 'metrics.md': await metrics() };
const check = process.argv.includes('--check');
let stale = 0;
mkdirSync(FOLDER, { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  const file = new URL(name, FOLDER);
  if (!check) {
    writeFileSync(file, text);
    continue;
  }
  let found = '';
  try {
    found = readFileSync(file, 'utf8');
  } catch {
    // Missing is stale too.
  }
  if (found === text) continue;
  console.error(`docs/reference/${name} is stale: run "npm run docs"`);
  stale++;
}
process.exitCode = stale > 0 ? 1 : 0;
