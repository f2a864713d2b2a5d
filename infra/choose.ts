import type { Environment } from '../cdk8s/environments/schema.ts';
import { ConfigError } from '../services/shared/errors.ts';

/** The environment of that name, or all. @throws ConfigError for a name that none has. */
export function chosenEnvironments(all: readonly Environment[], name: unknown): readonly Environment[] {
  if (name === undefined) return all;
  const chosen = all.filter((env) => env.name === name);
  if (chosen.length === 0)
    throw new ConfigError(
      `there is no environment ${String(name)}; choose ${all.map((e) => e.name).join(', ')}`,
    );
  return chosen;
}
