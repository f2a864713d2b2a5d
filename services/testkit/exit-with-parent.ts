/**
 * Preloaded (`node --import`) into every process that the testkit starts. The parent holds the write end of this process's standard
 * input; when the parent is gone, however it died, the pipe closes and this process ends too. So a killed test run or demo leaves
 * nothing behind.
 */
const LOOK_INTERVAL_MS = 500;

/** Not `process.exit`: that asks the program's own handlers, and kinesis-local was seen to stay. Nobody is left to be told a code. */
function end(): void {
  process.kill(process.pid, 'SIGKILL');
}

process.stdin.on('close', end);
process.stdin.on('error', end);
process.stdin.resume();
// The pipe alone must not keep a process alive that has nothing left to do.
(process.stdin as unknown as { unref(): void }).unref();

// A program may read or pause its standard input itself: an orphan is also known by its other parent.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) end();
}, LOOK_INTERVAL_MS).unref();
