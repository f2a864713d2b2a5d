/**
 * What runs a function's bundle in a process of its own, as Lambda's runtime does: `node lambda-runner.ts BUNDLE`, with an
 * IPC channel to its parent, which sends `{id, event, timeoutMs}` and gets `{id, answer}` or `{id, error}`. First it says
 * `{initMs, initCpuMs}`: from the start of the process to the loaded bundle, and the CPU time that it took.
 */
import { pathToFileURL } from 'node:url';

interface Invocation {
  id: number;
  event: unknown;
  timeoutMs: number;
}

type Handler = (event: unknown, context: { getRemainingTimeInMillis(): number }) => Promise<unknown>;

const { handler } = (await import(pathToFileURL(process.argv[2] ?? '').href)) as { handler: Handler };
const { user, system } = process.cpuUsage();
process.send?.({ initMs: performance.now(), initCpuMs: (user + system) / 1000 });
process.on('disconnect', () => process.exit());
process.on('message', async ({ id, event, timeoutMs }: Invocation) => {
  const deadline = performance.now() + timeoutMs;
  const context = { getRemainingTimeInMillis: () => Math.max(0, deadline - performance.now()) };
  try {
    process.send?.({ id, answer: await handler(event, context) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
