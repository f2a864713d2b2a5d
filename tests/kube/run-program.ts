/**
 * `node run-program.ts <folder> <program> [argument…]`: runs a program that isn't node's in a folder, and ends it with itself.
 * The testkit's `launch` sees to it that this process ends when the test run does, however that ended. SIGTERM gives the program
 * two seconds, SIGINT nothing.
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
process.on('SIGTERM', () => {
  child.kill('SIGTERM');
  // An API server waits a minute for its watches to end.
  setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
});
process.on('SIGINT', () => child.kill('SIGKILL'));
process.on('exit', () => child.kill('SIGKILL'));
