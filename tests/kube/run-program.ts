/**
 * `node run-program.ts <folder> <program> [argument…]`: runs a program that isn't node's in a folder, and ends it with itself.
 * The testkit's `launch` sees to it that this process ends when the test run does, however that ended.
 */
import { spawn } from 'node:child_process';

const GRACE_MS = 2_000;

const [folder = '.', program = '', ...args] = process.argv.slice(2);
const child = spawn(program, args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
child.once('spawn', () => process.stdout.write('spawned\n'));
child.once('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(127);
});
child.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGTERM' ? 0 : 1)));
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    child.kill(signal);
    // An API server waits a minute for its watches to end.
    setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
  });
}
process.on('exit', () => child.kill('SIGKILL'));
