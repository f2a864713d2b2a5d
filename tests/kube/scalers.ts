import { setTimeout as sleep } from 'node:timers/promises';
import {
  API_VERSION,
  GROUP,
  KIND,
  PLURAL,
  STREAM_SCALER_CRD,
  VERSION,
} from '../../cdk8s/crd/stream-scaler.ts';
import type { KubeClient, Resource } from '../../services/controller/runtime/api/client.ts';

export const SCALERS: Resource = { group: GROUP, version: VERSION, plural: PLURAL, namespaced: true };

const CRDS: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  namespaced: false,
};

/** Installs the CustomResourceDefinition and waits until its objects can be made. */
export async function installCrd(client: KubeClient): Promise<void> {
  await client.create(CRDS, undefined, STREAM_SCALER_CRD);
  for (let i = 0; i < 200; i++, await sleep(50)) {
    const found = await client.list(SCALERS).catch(() => undefined);
    if (found) return;
  }
  throw new Error('the StreamScaler kind was not served in time');
}

/** A small StreamScaler to create; `spec` wins over its fields. */
export function scalerObject(name: string, spec: object = {}): object {
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name },
    spec: {
      stream: { name: 'events' },
      consumer: { leaseTable: 'leases' },
      scaleTargetRef: { name: 'consumer' },
      replicas: { max: 10 },
      ...spec,
    },
  };
}
