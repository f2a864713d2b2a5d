import { asksCloudWatch, type PodService } from '../cdk8s/environments/names.ts';
import type { Environment } from '../cdk8s/environments/schema.ts';
import { consoleCalls } from '../services/console/aws-calls.ts';
import { podCalls } from '../services/consumer/aws-calls.ts';
import { observeCalls, reshardCalls, throttleCalls } from '../services/controller/aws-calls.ts';
import { producerCalls } from '../services/producer/aws-calls.ts';
import type { AwsCalls } from '../services/shared/aws-calls.ts';

/** The services that an environment runs in its cluster with a role, and the calls that their code declares. */
export function podServices(env: Environment): [PodService, AwsCalls][] {
  const { pods } = env.consumers;
  const services: [PodService, AwsCalls][] = [['producer', producerCalls]];
  if (pods) {
    const controller = {
      ...observeCalls,
      stream:
        pods.scaling === 'Full' ? [...observeCalls.stream, ...reshardCalls.stream] : observeCalls.stream,
      ...(asksCloudWatch(env) ? throttleCalls : {}),
    };
    services.push(['consumer', podCalls], ['controller', controller]);
  }
  // Without pods there are no leases, and the console says so.
  const { leases, ...withoutLeases } = consoleCalls;
  services.push(['console', pods ? consoleCalls : withoutLeases]);
  return services;
}
