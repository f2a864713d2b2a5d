import { setTimeout as sleep } from 'node:timers/promises';

/** Looks until `look` answers something (not false, undefined or null). @throws Error after `timeoutMs`, with the last error of `look`. */
export async function waitFor<T>(
  look: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<Exclude<T, false | undefined | null>> {
  const deadline = performance.now() + timeoutMs;
  for (let last: unknown; ; await sleep(10)) {
    try {
      const found = await look();
      if (found !== false && found !== undefined && found !== null)
        return found as Exclude<T, false | undefined | null>;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`not seen within ${timeoutMs} ms: ${look.toString()}`, { cause: last });
    }
  }
}
