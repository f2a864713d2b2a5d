#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

// Before anything else is loaded: halves the CPU time of a start (0.56 to 0.28 s).
enableCompileCache();
const [{ program }, { exitCodeOf, messageOf }] = await Promise.all([
  import('./program.ts'),
  import('./exit-codes.ts'),
]);

// `weir tail | head`: who reads has enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  const message = messageOf(error);
  if (message === undefined) throw error;
  process.stderr.write(`weir: ${message}\n`);
  process.exitCode = exitCodeOf(error);
}
