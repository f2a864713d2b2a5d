import type { Environment } from './environments/schema.ts';
import { type Manifest, renderEnvironment } from './render.ts';

/** All objects of an environment. */
export const objectsOf = (env: Environment): Manifest[] => [...renderEnvironment(env).values()].flat();

/** The first object of a kind and name. @throws Error when there is none. */
export function find(objects: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = objects.find((o) => o.kind === kind && (name === undefined || o.metadata.name === name));
  if (!found) throw new Error(`no ${kind} ${name ?? ''}`);
  return found;
}
