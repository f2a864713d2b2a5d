import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';

/** What a test file may not leave behind, by the names of `process.getActiveResourcesInfo()`. */
const WATCHED = new Set([
  'Timeout',
  'TCPSocketWrap',
  'TCPServerWrap',
  'ProcessWrap',
  'TLSWrap',
  'HTTP2SESSION',
]);
const GRACE_MS = 3_000;

let before = new Map<string, number>();

beforeAll(() => {
  before = count();
});

// Registered before any hook of the test file, so it runs after all of them.
afterAll(async () => {
  const deadline = Date.now() + GRACE_MS;
  for (;;) {
    const left = [...count()].filter(([name, n]) => n > (before.get(name) ?? 0));
    if (left.length === 0) return;
    if (Date.now() > deadline) {
      const list = left.map(([name, n]) => `${n - (before.get(name) ?? 0)} ${name}`).join(', ');
      throw new Error(`this test file left behind: ${list}`);
    }
    await sleep(50);
  }
});

function count(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    if (WATCHED.has(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
