import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

// Needs a Docker daemon and the images that `npm run images` builds: not a part of `npm test`.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({ test: { root: '.', include: ['tests/images/*.test.ts'], testTimeout: 60_000 } }),
);
