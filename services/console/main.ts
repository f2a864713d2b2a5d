import { createServer } from 'node:http';
import { createAdminServer } from '../shared/admin.ts';
import { awsOptions, createDynamoDBClient, createKinesisClient } from '../shared/aws.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { LIVENESS_MS, liveReport, Progress } from '../shared/progress.ts';
import { close, listen, SHORT_GRACE_MS } from '../shared/server.ts';
import { runService } from '../shared/service.ts';
import { consoleEnv } from './config.ts';
import { buildApp } from './http/app.ts';
import { EventStream } from './http/event-stream.ts';
import { Lookups } from './lookups.ts';
import { createConsoleMetrics } from './metrics.ts';
import { Poller } from './poller.ts';
import { scalerReader } from './reads/stream-scaler.ts';

const HEADERS_TIMEOUT_MS = 10_000;
/** Connections beyond those of the pages' event streams. */
const SPARE_CONNECTIONS = 64;

await runService('console', consoleEnv, async ({ config, log, registry, shutdown }) => {
  const metrics = createConsoleMetrics(registry);
  const progress = new Progress(clock);
  const kinesis = createKinesisClient(awsOptions(config));
  const dynamodb = createDynamoDBClient(awsOptions(config));
  const events: EventStream = new EventStream({ clock, metrics, everything: () => poller.everything() });
  const poller = new Poller(
    {
      kinesis,
      dynamodb,
      stream: config.STREAM_NAME,
      region: config.AWS_REGION,
      tables: {
        records: config.RECORDS_TABLE,
        leases: config.LEASE_TABLE,
        deadLetters: config.DEAD_LETTER_TABLE,
      },
      producerMetricsUrls: config.PRODUCER_METRICS_URLS,
      readScaler: config.STREAM_SCALER ? scalerReader(config.STREAM_SCALER) : undefined,
      progress,
      clock,
      random: Math.random,
      metrics,
    },
    {
      state: (state, point) => events.publish('state', { state, point }),
      anomalies: (anomalies) => events.publish('anomalies', anomalies),
      deadLetters: (letters) => events.publish('dead-letters', letters),
    },
  );
  const lookups = new Lookups(
    dynamodb,
    { records: config.RECORDS_TABLE, state: config.STATE_TABLE },
    metrics,
  );
  const app = buildApp({ poller, events, lookups, maxViewers: config.MAX_VIEWERS, log });
  const server = createServer({ headersTimeout: HEADERS_TIMEOUT_MS }, app);
  server.maxConnections = config.MAX_VIEWERS + SPARE_CONNECTIONS;
  // The page shows what can't be read; taking the pod away would only hide it.
  const admin = createAdminServer({
    registry,
    live: () => liveReport(progress.stalled(LIVENESS_MS)),
    ready: () => ({ ok: true }),
  });
  const adminPort = await listen(admin, config.ADMIN_PORT, config.HOST);
  const port = await listen(server, config.PORT, config.HOST);
  shutdown.add('HTTP server', async () => {
    const closed = close(server, SHORT_GRACE_MS);
    events.close();
    await closed;
  });
  shutdown.add('reading', () => poller.stop());
  shutdown.add('admin server', () => close(admin, SHORT_GRACE_MS));
  shutdown.add('AWS clients', async () => {
    kinesis.destroy();
    dynamodb.destroy();
  });
  log.info(
    { port, admin_port: adminPort, stream: config.STREAM_NAME, version: process.version },
    'listening',
  );
});
