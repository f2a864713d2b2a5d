/**
 * `node controller-at-speed.ts`: a controller for which the time of the streams runs `STREAM_SPEED` times as fast as the
 * API server's, from `STREAM_EPOCH` on. All else is as in its own `main.ts`, without what it serves to others.
 */
import { KubeConfig } from '@kubernetes/client-node';
import { controllerEnv } from '../../services/controller/config.ts';
import { createController } from '../../services/controller/create-controller.ts';
import { createAdminServer } from '../../services/shared/admin.ts';
import { systemClock as clock } from '../../services/shared/clock.ts';
import { integer } from '../../services/shared/config.ts';
import { close, listen } from '../../services/shared/server.ts';
import { runService } from '../../services/shared/service.ts';
import { ScaledClock } from '../../services/testkit/scaled-clock.ts';

const env = {
  ...controllerEnv,
  STREAM_SPEED: integer('How many times as fast the time of the streams runs.', { default: 1, min: 1 }),
  STREAM_EPOCH: integer('When both times were the same, in ms since the epoch.', { default: 0 }),
};

await runService('controller', env, async ({ config, log, registry, shutdown }) => {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  const streamClock = new ScaledClock(config.STREAM_SPEED, config.STREAM_EPOCH);
  const controller = createController(config, {
    kubeConfig,
    clock,
    streamClock,
    random: Math.random,
    log,
    registry,
  });
  const { manager } = controller;
  const admin = createAdminServer({ registry, live: () => manager.live(), ready: () => manager.ready() });
  const adminPort = await listen(admin, 0, config.HOST);
  manager.start(() => void shutdown.run('the leader lease is lost', 1));
  manager.addTo(shutdown);
  shutdown.add('admin server', () => close(admin));
  shutdown.add('AWS clients', async () => controller.close());
  log.info({ admin_port: adminPort }, 'listening');
});
