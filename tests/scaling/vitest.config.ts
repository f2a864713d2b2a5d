import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

// Days that pass in minutes, which are minutes all the same: not a part of `npm test`.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({ test: { root: '.', include: ['tests/scaling/*.test.ts'], testTimeout: 60_000 } }),
);
