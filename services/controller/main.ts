import { createServer } from 'node:http';
import { ServerCredentials } from '@grpc/grpc-js';
import { KubeConfig } from '@kubernetes/client-node';
import express from 'express';
import { createAdminServer } from '../shared/admin.ts';
import { systemClock as clock } from '../shared/clock.ts';
import { close, listen, SHORT_GRACE_MS } from '../shared/server.ts';
import { runService } from '../shared/service.ts';
import { controllerEnv } from './config.ts';
import { createController } from './create-controller.ts';
import { startExternalScaler } from './keda/external-scaler.ts';
import { decisionRoutes } from './keda/metrics-api.ts';

await runService('controller', controllerEnv, async ({ config, log, registry, shutdown }) => {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  const context = { kubeConfig, clock, streamClock: clock, random: Math.random, log, registry };
  const { manager, board, close: closeController } = createController(config, context);
  const admin = createAdminServer({
    registry,
    live: () => manager.live(),
    ready: () => manager.ready(),
  });

  const decisions = createServer(express().disable('x-powered-by').use(decisionRoutes(board)));

  const adminPort = await listen(admin, config.ADMIN_PORT, config.HOST);
  const port = await listen(decisions, config.PORT, config.HOST);
  const kedaAddress = `${config.HOST}:${config.KEDA_PORT}`;
  const keda = await startExternalScaler(board, kedaAddress, ServerCredentials.createInsecure(), log);
  manager.start(() => void shutdown.run('the leader lease is lost', 1));
  manager.addTo(shutdown);
  shutdown.add('decisions for others', async () => {
    await Promise.all([close(decisions, SHORT_GRACE_MS), keda.stop()]);
  });
  shutdown.add('admin server', () => close(admin, SHORT_GRACE_MS));
  shutdown.add('AWS clients', async () => closeController());
  log.info(
    {
      port,
      admin_port: adminPort,
      keda_port: keda.port,
      namespace: config.WATCH_NAMESPACE,
      version: process.version,
    },
    'listening',
  );
});
