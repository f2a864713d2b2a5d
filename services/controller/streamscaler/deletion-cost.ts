import pLimit from 'p-limit';
import type { KubeClient, KubeObject, Resource } from '../runtime/api/client.ts';
import type { ShardObservation } from '../scaling/observation.ts';

/** The ReplicaSet controller deletes pods with a lower cost first. Source: kubernetes.io, "ReplicaSet: Pod deletion cost". */
export const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';

const PODS: Resource = { group: '', version: 'v1', plural: 'pods', namespaced: true };
const CONCURRENT_PATCHES = 8;
/** A shard weighs more than any rate. */
const SHARD_COST = 1_000_000;
/** The annotation is an int32. */
const MAX_COST = 2_147_483_647;

/**
 * What it costs to delete a pod, by what has to be handed over: its shards first, then the records a second that it
 * processes.
 *
 * @param pods names of the pods; a worker's id begins with the name of its pod.
 */
export function deletionCosts(
  pods: readonly string[],
  shards: readonly ShardObservation[],
): Map<string, number> {
  const costs = new Map(pods.map((pod) => [pod, 0]));
  for (const { owner, processed } of shards) {
    const pod = owner && podOf(owner, costs);
    if (!pod) continue;
    const cost = SHARD_COST + Math.min(SHARD_COST - 1, Math.round(processed?.records ?? 0));
    costs.set(pod, Math.min(MAX_COST, (costs.get(pod) ?? 0) + cost));
  }
  return costs;
}

/** The pod of a worker: the longest name that its id begins with, up to a separator. */
function podOf(owner: string, pods: ReadonlyMap<string, unknown>): string | undefined {
  if (pods.has(owner)) return owner;
  for (let end = owner.length; end > 0; ) {
    end = Math.max(
      owner.lastIndexOf('-', end - 1),
      owner.lastIndexOf(':', end - 1),
      owner.lastIndexOf('/', end - 1),
    );
    if (end > 0 && pods.has(owner.slice(0, end))) return owner.slice(0, end);
  }
  return undefined;
}

/**
 * Writes the costs to the pods of a target whose annotation differs. To be called before a scale-in only: each write is
 * an update of a pod.
 *
 * @param selector label selector of the pods, as `/scale` tells it.
 * @returns how many pods were written.
 */
export async function writeDeletionCosts(
  client: KubeClient,
  namespace: string,
  selector: string,
  shards: readonly ShardObservation[],
  signal: AbortSignal,
): Promise<number> {
  const { items } = await client.list<KubeObject>(PODS, { namespace, labelSelector: selector, signal });
  const costs = deletionCosts(
    items.map(({ metadata }) => metadata.name),
    shards,
  );
  const stale = items.filter(({ metadata }) => {
    const cost = String(costs.get(metadata.name) ?? 0);
    return (
      metadata.deletionTimestamp === undefined && (metadata.annotations?.[DELETION_COST] ?? '0') !== cost
    );
  });
  const limit = pLimit(CONCURRENT_PATCHES);
  await Promise.all(
    stale.map(({ metadata: { name } }) =>
      limit(() => {
        const annotations = { [DELETION_COST]: String(costs.get(name) ?? 0) };
        return client.patch(PODS, { namespace, name }, 'merge', { metadata: { annotations } }, { signal });
      }),
    ),
  );
  return stale.length;
}
