import type { Environment } from '../../../cdk8s/environments/schema.ts';
import type { CfnTemplate } from '../templates.ts';

/** What the infrastructure promises: one check each, so that a broken promise has one name. */
export interface Promised {
  says: string;
  /** Part of the stack's name it is kept in: `weir-<environment>-<part>`, or `registry`. */
  part: 'data' | 'registry' | 'lambda' | 'access' | 'observability' | 'network';
  /** Throws when it isn't kept. `env` is the first environment for the registry, which has none. */
  check: (template: CfnTemplate, env: Environment) => void;
}
