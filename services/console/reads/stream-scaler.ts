import { CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { streamScalerStatus } from '../../../cdk8s/crd/status.ts';
import { GROUP, PLURAL, VERSION } from '../../../cdk8s/crd/stream-scaler.ts';
import type { ObjectName } from '../config.ts';

/** What is shown of a StreamScaler. */
const scaler = z.object({
  spec: z.object({
    mode: z.string().optional(),
    objective: z.object({ maxLagSeconds: z.number().optional() }).optional(),
    replicas: z.object({ min: z.number(), max: z.number() }).optional(),
    shards: z.object({ min: z.number(), max: z.number() }).optional(),
  }),
  status: streamScalerStatus.omit({ memory: true }).optional(),
});
export type Scaler = z.output<typeof scaler>;

/**
 * @returns reads the StreamScaler.
 * @throws Error when there is neither a service account nor a kubeconfig.
 */
export function scalerReader(at: ObjectName, config: KubeConfig = currentCluster()): () => Promise<Scaler> {
  const api = config.makeApiClient(CustomObjectsApi);
  return async () =>
    scaler.parse(
      await api.getNamespacedCustomObject({ group: GROUP, version: VERSION, plural: PLURAL, ...at }),
    );
}

function currentCluster(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}
