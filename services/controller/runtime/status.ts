import { isDeepStrictEqual } from 'node:util';
import type { KubeClient, KubeObject, Resource } from './api/client.ts';

/**
 * Writes `status` by server-side apply on the `/status` subresource: only what this manager wrote before is its own, and what
 * it leaves out goes.
 */
export class StatusWriter<T extends KubeObject & { status?: unknown }> {
  readonly #client: KubeClient;
  readonly #resource: Resource;
  readonly #manager: string;

  constructor(client: KubeClient, resource: Resource, manager: string) {
    this.#client = client;
    this.#resource = resource;
    this.#manager = manager;
  }

  /**
   * Writes the status, unless it is what `object` has already.
   *
   * @param object as it was read. Its `resourceVersion` must still be the current one: a status is worked out from the one
   *   before, so one that was worked out from an old one must not be written.
   * @returns the object as it is now.
   * @throws ApiError `conflict` when it was changed in between, `not-found` when it is gone.
   */
  async write(object: T, status: T['status'], signal?: AbortSignal): Promise<T> {
    if (isDeepStrictEqual(plain(object.status), plain(status))) return object;
    const { name, namespace, resourceVersion } = object.metadata;
    const { group, version } = this.#resource;
    return await this.#client.apply<T>(
      this.#resource,
      { namespace, name },
      this.#manager,
      {
        apiVersion: group === '' ? version : `${group}/${version}`,
        kind: object.kind,
        metadata: { name, namespace, resourceVersion },
        status,
      },
      { subresource: 'status', signal },
    );
  }
}

/** As JSON has it: a field that is undefined is not there. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
