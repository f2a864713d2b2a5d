import { dev } from './dev.ts';
import { prod } from './prod.ts';
import type { Environment } from './schema.ts';
import { staging } from './staging.ts';

/** All environments, in the order of promotion. */
export const environments: readonly Environment[] = [dev, staging, prod];
