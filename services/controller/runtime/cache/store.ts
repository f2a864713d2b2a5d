import type { KubeObject } from '../api/client.ts';

/** What a store tells of each change. Objects are shared with the store: don't change them, copy. */
export interface StoreHandler<T> {
  onAdd?(object: T): void;
  /** At a resync `before` and `after` are the same object. */
  onUpdate?(before: T, after: T): void;
  /** The last known state: a deletion that was missed is seen at the next list, without its final state. */
  onDelete?(object: T): void;
}

/** `namespace/name`, or `name` where there is no namespace: what a work queue holds. */
export function keyOf(object: { metadata: { name: string; namespace?: string } }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** The parts of a key. */
export function splitKey(key: string): { namespace?: string; name: string } {
  const at = key.indexOf('/');
  return at === -1 ? { name: key } : { namespace: key.slice(0, at), name: key.slice(at + 1) };
}

/**
 * The objects of one watch by key, and who is told of their changes. A handler that throws is reported and hurts neither
 * the others nor the store.
 */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #handlers: StoreHandler<T>[] = [];
  readonly #onHandlerError: (error: unknown) => void;

  constructor(onHandlerError: (error: unknown) => void) {
    this.#onHandlerError = onHandlerError;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** Adds a handler; it is told of what is there already. */
  subscribe(handler: StoreHandler<T>): void {
    this.#handlers.push(handler);
    for (const object of this.#objects.values()) this.#tell(() => handler.onAdd?.(object));
  }

  upsert(object: T): void {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    this.#objects.set(key, object);
    // Deleted and made again between two looks: another object of the same name.
    if (before !== undefined && before.metadata.uid !== object.metadata.uid) {
      this.#each((handler) => handler.onDelete?.(before));
      this.#each((handler) => handler.onAdd?.(object));
    } else if (before === undefined) this.#each((handler) => handler.onAdd?.(object));
    else this.#each((handler) => handler.onUpdate?.(before, object));
  }

  delete(object: T): void {
    if (this.#objects.delete(keyOf(object))) this.#each((handler) => handler.onDelete?.(object));
  }

  /** Makes the store equal to a new list. Tells only of what differs from what was known. */
  replace(objects: readonly T[]): void {
    const listed = new Set(objects.map(keyOf));
    for (const [key, object] of [...this.#objects]) if (!listed.has(key)) this.delete(object);
    for (const object of objects) {
      const before = this.#objects.get(keyOf(object));
      if (
        before?.metadata.resourceVersion === object.metadata.resourceVersion &&
        before?.metadata.uid === object.metadata.uid
      )
        continue;
      this.upsert(object);
    }
  }

  /** Tells of every object as if it had been updated: a net under whatever was lost between a handler and its effect. */
  resync(): void {
    for (const object of [...this.#objects.values()])
      this.#each((handler) => handler.onUpdate?.(object, object));
  }

  #each(tell: (handler: StoreHandler<T>) => void): void {
    for (const handler of this.#handlers) this.#tell(() => tell(handler));
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#onHandlerError(error);
    }
  }
}
