import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { demoCommand } from '../../../local/demo/options.ts';

const MAIN = fileURLToPath(new URL('../../../local/demo/main.ts', import.meta.url));

/** `weir demo`: the same as `npm run demo`, in a process of its own that gets the signals. */
export const demo = demoCommand('demo').action(async () => {
  const words = process.argv.slice(process.argv.indexOf('demo') + 1);
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; the demo decides when it is over.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (signal === 'SIGTERM') child.kill(signal);
    });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
});
