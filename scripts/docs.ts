/** Writes `docs/reference/` from the code: `npm run docs`. With `--check` it writes nothing and fails when a page is stale. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { CUSTOM_METRICS } from '../cdk8s/environments/names.ts';
import { declaredMetrics } from '../cdk8s/monitoring/declared-metrics.ts';
import { consoleEnv } from '../services/console/config.ts';
import { consumerEnv } from '../services/consumer/config.ts';
import { controllerEnv } from '../services/controller/config.ts';
import { producerEnv } from '../services/producer/config.ts';
import { commonEnv, describeEnv, type EnvShape, tracingEnv } from '../services/shared/config.ts';
import { cliReference } from './reference/cli.ts';
import { crdReference } from './reference/crd.ts';
import { httpReference } from './reference/http.ts';
import { cell } from './reference/markdown.ts';

const FOLDER = new URL('../docs/reference/', import.meta.url);
const NOTICE = '<!-- Generated from the code by `npm run docs`; do not edit. -->';

function variables(shape: EnvShape): string {
  const rows = describeEnv(shape).map(
    ({ name, description, accepts, default: value }) =>
      `| \`${name}\` | ${cell(description)} | ${cell(accepts)} | ${value === undefined ? '' : `\`${value}\``} |`,
  );
  return ['| variable | what it is | accepts | default |', '|---|---|---|---|', ...rows].join('\n');
}

function own(shape: EnvShape): EnvShape {
  return Object.fromEntries(
    Object.entries(shape).filter(([name]) => !(name in commonEnv || name in tracingEnv)),
  );
}

function configuration(): string {
  return `${NOTICE}

# Configuration

Each service reads its environment once, at its start. A bad value ends the process with exit code 78 and one
message that names every bad variable. An empty value counts as unset. AWS credentials come from the SDK's usual
chain (environment, web identity of a pod, instance role).

## All services

${variables(commonEnv)}

## Traces

Producer and consumer in pods; the function is traced by X-Ray. OpenTelemetry's exporter reads further variables of the standard itself:
\`OTEL_EXPORTER_OTLP_HEADERS\`, \`_TIMEOUT\`, \`_COMPRESSION\`, \`_CERTIFICATE\`, \`_CLIENT_CERTIFICATE\`, \`_CLIENT_KEY\`, and the same with
\`_TRACES\` before the last part. \`OTEL_TRACES_SAMPLER\` is not read: it is always \`parentbased_traceidratio\`.

${variables(tracingEnv)}

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

## The weir command

Options win. Without them it reads what services read of region, stream, tables and endpoints, and besides:

| variable | what it is |
|---|---|
| \`WEIR_URL\` | Address of the producer; left out: \`http://127.0.0.1:8080\`. |
| \`WEIR_API_KEY\` | Key or token for the producer, where it wants one. |
| \`NO_COLOR\` | Anything: no colours. |
`;
}

async function metrics(): Promise<string> {
  const sections = Array.from(await declaredMetrics(), ([service, found]) => {
    const rows = found.map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${cell(help)} |`,
    );
    const table = ['| metric | type | labels | what it is |', '|---|---|---|---|', ...rows].join('\n');
    return `## ${service}\n\n${table}\n`;
  });
  return `${NOTICE}

# Metrics

Served at \`/metrics\` on each service's admin port, beside the process metrics of prom-client (\`process_*\`, \`nodejs_*\`).
Each sample has the label \`service\` besides those of the table.

${sections.join('\n')}
${CLOUDWATCH}`;
}

const CLOUDWATCH = `## CloudWatch

Namespace \`${CUSTOM_METRICS.namespace}\`, by embedded metric format: from the Lambda variant with each batch, from the
consumer's pods once a minute with \`METRICS_EMF=true\`. The pods' lines stand on standard output among the log, where
Fluent Bit or the CloudWatch agent picks them up.

| metric | unit | dimensions | what it is |
|---|---|---|---|
| \`${CUSTOM_METRICS.processedRecords}\` | Count | \`${CUSTOM_METRICS.dimension}\` | Records that are done with: stored, or kept as dead letters. From the function it counts Kinesis records, from pods user records. |
| \`${CUSTOM_METRICS.processingLatency}\` | Milliseconds | | How long a batch took from its delivery until it was stored; from pods the mean over the minute's slices. |
| \`${CUSTOM_METRICS.errorRate}\` | Percent | | Share that failed or became dead letters. |
`;

const pages = {
  'cli.md': cliReference(NOTICE),
  'configuration.md': configuration(),
  'http.md': httpReference(NOTICE),
  'metrics.md': await metrics(),
  'stream-scaler.md': crdReference(NOTICE),
};
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
