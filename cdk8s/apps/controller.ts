import type { Construct } from 'constructs';
import { controllerEnv } from '../../services/controller/config.ts';
import { leaderRules, scalerRules } from '../../services/controller/streamscaler/rbac.ts';
import { Config } from '../constructs/config.ts';
import { HardenedDeployment, PRIORITY } from '../constructs/hardened-deployment.ts';
import { ADMIN_PORT, allow, fromPrometheus, toApiServer, toAws, toDns } from '../constructs/network.ts';
import { createRole, createServiceAccount } from '../constructs/service-account.ts';
import type { Environment } from '../environments/schema.ts';
import { imageReference } from '../images.ts';

const APP = 'controller';

/** The controller, which reconciles the StreamScalers of the environment's namespace and of no other. */
export function controller(scope: Construct, env: Environment): void {
  const { namespace } = env;
  const config = new Config(scope, 'Config', {
    name: 'weir-controller',
    namespace,
    shape: controllerEnv,
    data: {
      AWS_REGION: env.region,
      ADMIN_PORT: String(ADMIN_PORT),
      WATCH_NAMESPACE: namespace,
      POD_NAMESPACE: namespace,
    },
  });
  createRole(scope, env, APP, [...scalerRules([{ group: 'apps', plural: 'deployments' }]), ...leaderRules()]);
  new HardenedDeployment(scope, 'Deployment', {
    app: APP,
    namespace,
    image: imageReference(env, 'controller'),
    serviceAccount: createServiceAccount(scope, env, APP),
    config: config.name,
    replicas: env.controller.replicas,
    apiToken: true,
    drainSeconds: 0,
    shutdownTimeoutMs: config.values.SHUTDOWN_TIMEOUT_MS,
    cpuMillis: 100,
    memoryMiB: 256,
    priority: PRIORITY.pipeline,
  });
  allow(scope, env, APP, { ingress: [fromPrometheus], egress: [toDns, toApiServer(env), ...toAws(env)] });
}
