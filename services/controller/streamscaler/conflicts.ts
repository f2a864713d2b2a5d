import type { StreamScaler, StreamScalerSpec } from '../../../cdk8s/crd/stream-scaler.ts';
import type { Clock } from '../../shared/clock.ts';
import type { KubeClient, KubeObject, Resource } from '../runtime/api/client.ts';
import { isApiError } from '../runtime/api/errors.ts';

type TargetRef = StreamScalerSpec['scaleTargetRef'];

interface Autoscaler extends KubeObject {
  spec?: { scaleTargetRef?: { apiVersion?: string; kind?: string; name?: string } };
}

/** Kinds that set replicas too. */
const AUTOSCALERS: { kind: string; resource: Resource }[] = [
  {
    kind: 'HorizontalPodAutoscaler',
    resource: { group: 'autoscaling', version: 'v2', plural: 'horizontalpodautoscalers', namespaced: true },
  },
  {
    kind: 'ScaledObject',
    resource: { group: 'keda.sh', version: 'v1alpha1', plural: 'scaledobjects', namespaced: true },
  },
];

/** One list for all StreamScalers of a namespace, this long. */
const LIST_MS = 30_000;

/** Finds others that set the replicas of the same target: two that act on one number only fight. */
export class Conflicts {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #lists = new Map<string, { until: number; found: Promise<Autoscaler[][]> }>();

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /**
   * The other one in a phrase, `HorizontalPodAutoscaler consumer`; undefined when there is none.
   *
   * @param scalers all StreamScalers that are known.
   * @throws ApiError when the others can't be listed.
   */
  async ofTarget(scaler: StreamScaler, scalers: Iterable<StreamScaler>): Promise<string | undefined> {
    const { namespace } = scaler.metadata;
    const target = scaler.spec.scaleTargetRef;
    for (const other of scalers) {
      const same = other.metadata.namespace === namespace && sameTarget(other.spec.scaleTargetRef, target);
      if (same && acts(other) && isOlder(other, scaler)) return `StreamScaler ${other.metadata.name}`;
    }
    const lists = await this.#autoscalers(namespace);
    for (const [i, list] of lists.entries()) {
      const other = list.find(({ spec }) => spec?.scaleTargetRef && sameTarget(spec.scaleTargetRef, target));
      if (other) return `${AUTOSCALERS[i]?.kind} ${other.metadata.name}`;
    }
    return undefined;
  }

  async #autoscalers(namespace: string): Promise<Autoscaler[][]> {
    const now = this.#clock.monotonic();
    for (const [name, { until }] of this.#lists) if (until <= now) this.#lists.delete(name);
    const known = this.#lists.get(namespace);
    if (known) return await known.found;
    const found = Promise.all(AUTOSCALERS.map(({ resource }) => this.#list(resource, namespace)));
    this.#lists.set(namespace, { until: now + LIST_MS, found });
    // A failure is not kept; who waits for it gets it.
    found.catch(() => this.#lists.delete(namespace));
    return await found;
  }

  async #list(resource: Resource, namespace: string): Promise<Autoscaler[]> {
    try {
      return (await this.#client.list<Autoscaler>(resource, { namespace })).items;
    } catch (error) {
      // A cluster without KEDA has no such kind.
      if (isApiError(error, 'not-found')) return [];
      throw error;
    }
  }
}

/**
 * The older StreamScaler that sets the shards of the same stream, `namespace/name`; undefined when there is none. AWS counts
 * the reshard calls of a stream, not of who made them: two ledgers for one stream would overdraw it.
 *
 * @param region the region of those that don't say theirs.
 */
export function olderOnStream(
  scaler: StreamScaler,
  scalers: Iterable<StreamScaler>,
  region: string,
): string | undefined {
  const stream = streamIdentity(scaler.spec.stream, region);
  for (const other of scalers) {
    if (other.spec.mode !== 'Full' || !isOlder(other, scaler)) continue;
    if (streamIdentity(other.spec.stream, region) === stream) {
      return `${other.metadata.namespace}/${other.metadata.name}`;
    }
  }
  return undefined;
}

/** Region and name. @param fallback the region when the spec has none. */
export function streamIdentity({ name, arn, region }: StreamScalerSpec['stream'], fallback: string): string {
  const [, , , arnRegion, , resource] = arn?.split(':') ?? [];
  return `${arnRegion ?? region ?? fallback}/${resource?.slice('stream/'.length) ?? name}`;
}

function acts({ spec }: StreamScaler): boolean {
  return spec.mode !== 'Recommend';
}

/** Of two that want the same, the older one has it; of the same second, the one whose uid sorts first. */
function isOlder(a: StreamScaler, b: StreamScaler): boolean {
  if (a.metadata.uid === b.metadata.uid) return false;
  const order = (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '');
  return order === 0 ? a.metadata.uid < b.metadata.uid : order < 0;
}

/** A missing apiVersion and kind mean a Deployment, as KEDA has it. */
function sameTarget(a: Partial<TargetRef>, b: TargetRef): boolean {
  const group = (apiVersion = 'apps/v1') => apiVersion.split('/').slice(0, -1).join('/');
  return (
    a.name === b.name && (a.kind ?? 'Deployment') === b.kind && group(a.apiVersion) === group(b.apiVersion)
  );
}
