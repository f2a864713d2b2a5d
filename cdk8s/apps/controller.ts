import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { controllerEnv } from '../../services/controller/config.ts';
import { leaderRules, scalerRules } from '../../services/controller/streamscaler/rbac.ts';
import { Config } from '../constructs/config.ts';
import { HardenedDeployment, PRIORITY } from '../constructs/hardened-deployment.ts';
import { labelsOf } from '../constructs/labels.ts';
import {
  ADMIN_PORT,
  allow,
  fromKeda,
  fromPrometheus,
  HTTP_PORT,
  KEDA_PORT,
  servicePort,
  toApiServer,
  toAws,
  toDns,
} from '../constructs/network.ts';
import { createRole, createServiceAccount } from '../constructs/service-account.ts';
import { asksCloudWatch } from '../environments/names.ts';
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
      PORT: String(HTTP_PORT),
      ADMIN_PORT: String(ADMIN_PORT),
      KEDA_PORT: String(KEDA_PORT),
      WATCH_NAMESPACE: namespace,
      POD_NAMESPACE: namespace,
      WRITE_THROTTLES: asksCloudWatch(env) ? 'cloudwatch' : 'off',
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
    ports: { http: HTTP_PORT, keda: KEDA_PORT },
    apiToken: true,
    drainSeconds: 0,
    shutdownTimeoutMs: config.values.SHUTDOWN_TIMEOUT_MS,
    cpuMillis: 100,
    // A thousand StreamScalers take half of it; the heap can't outgrow it. `npm run bench -- controller` runs with what stands here.
    memoryMiB: 384,
    nodeOptions: '--max-semi-space-size=8 --max-old-space-size=256',
    priority: PRIORITY.pipeline,
  });
  new k8s.KubeService(scope, 'Service', {
    metadata: { name: 'weir-controller', namespace },
    spec: { selector: labelsOf(APP), ports: [servicePort('http', 80), servicePort('keda', KEDA_PORT)] },
  });
  allow(scope, env, APP, {
    ingress: [fromPrometheus, fromKeda],
    egress: [toDns, toApiServer(env), ...toAws(env)],
  });
}
