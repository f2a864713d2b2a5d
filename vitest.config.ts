import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules/**', 'dist/**', 'tests/images/**', 'tests/argocd/**', 'tests/scaling/**'],
    globalSetup: ['services/testkit/vitest/global-setup.ts'],
    setupFiles: ['services/testkit/vitest/no-leaks.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
