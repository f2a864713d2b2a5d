import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

// A drill of minutes with a real Argo CD: `npm run test:argocd`, not a part of `npm test`.
export default defineConfig({
  test: {
    ...base.test,
    root: '.',
    include: ['tests/argocd/*.test.ts'],
    exclude: [],
    testTimeout: 60_000,
    reporters: ['verbose'],
  },
});
