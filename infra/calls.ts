import type { PodService } from '../cdk8s/environments/names.ts';
import type { Environment } from '../cdk8s/environments/schema.ts';
import { podCalls } from '../services/consumer/aws-calls.ts';
import { producerCalls } from '../services/producer/aws-calls.ts';
import type { AwsCalls } from '../services/shared/aws-calls.ts';

/** The services that an environment runs in its cluster, with the calls that their code declares. */
export function podServices(env: Environment): [PodService, AwsCalls][] {
  return [
    ['producer', producerCalls],
    ...(env.consumers.pods ? ([['consumer', podCalls]] as [PodService, AwsCalls][]) : []),
  ];
}
