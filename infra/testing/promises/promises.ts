import { ACCESS_PROMISES } from './access.ts';
import { DATA_PROMISES } from './data.ts';
import { LAMBDA_PROMISES } from './lambda.ts';
import { OBSERVABILITY_PROMISES } from './observability.ts';
import type { Promised } from './promised.ts';
import { REGISTRY_PROMISES } from './registry.ts';

/** All that the infrastructure promises. */
export const PROMISES: readonly Promised[] = [
  ...DATA_PROMISES,
  ...REGISTRY_PROMISES,
  ...LAMBDA_PROMISES,
  ...ACCESS_PROMISES,
  ...OBSERVABILITY_PROMISES,
];
