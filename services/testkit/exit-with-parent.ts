/**
 * Preloaded (`node --import`) into every process that the testkit starts. The parent holds the write end of this process's standard
 * input; when the parent is gone, however it died, the pipe closes and this process ends too. So a killed test run or demo leaves
 * nothing behind.
 */
const PARENT_LOST = 70;
const LOOK_INTERVAL_MS = 500;

process.stdin.on('close', () => process.exit(PARENT_LOST));
process.stdin.on('error', () => process.exit(PARENT_LOST));
process.stdin.resume();
// The pipe alone must not keep a process alive that has nothing left to do.
(process.stdin as unknown as { unref(): void }).unref();

// A program may read or pause its standard input itself (kinesis-local was seen to stay): an orphan has another parent.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(PARENT_LOST);
}, LOOK_INTERVAL_MS).unref();
