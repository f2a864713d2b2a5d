import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../shared/clock.ts';
import { Readiness } from './readiness.ts';

const BUFFER = {
  bufferedRecords: 3,
  bufferedBytes: 700,
  oldestAgeMs: 12.4,
  throttledShards: 0,
  sinkDown: false,
};
/** A clock that does not wait. */
const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };

function setup() {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  return { readiness: new Readiness(BUFFER), lines, log };
}

describe('readiness', () => {
  it('starts as a no that says why, becomes a yes with the first answer, and ends with the stop', async () => {
    const { readiness, log, lines } = setup();
    expect(readiness.report()).toMatchObject({ ok: false, status: 'starting' });
    let asked = 0;
    await readiness.probe(
      async () => {
        if (++asked === 4) return;
        expect(readiness.report().ok).toBe(false);
        throw new TypeError('connection refused');
      },
      clock,
      log,
    );
    expect(asked).toBe(4);
    expect(lines).toHaveLength(1); // the same reason once
    expect(readiness.report()).toEqual({
      ok: true,
      status: 'ready',
      sink: 'up',
      oldest_waiting_ms: 12,
      buffered_records: 3,
      buffered_bytes: 700,
    });
    readiness.drain();
    expect(readiness.report()).toMatchObject({ ok: false, status: 'draining' });
  });

  it('tells the reason of a stream that does not answer, and stops asking when the process stops', async () => {
    const { readiness, log } = setup();
    let asked = 0;
    await readiness.probe(
      async () => {
        if (++asked === 3) readiness.drain();
        throw new TypeError('connection refused');
      },
      clock,
      log,
    );
    expect(asked).toBe(3);
    expect(readiness.report()).toMatchObject({ ok: false, status: 'draining' });
  });

  it('tells how the sink does, and stays ready through throttles and outages', async () => {
    const buffer = { ...BUFFER };
    const readiness = new Readiness(buffer);
    expect(readiness.report()).toMatchObject({ sink: 'unknown', oldest_waiting_ms: 12 });
    await readiness.probe(async () => {}, clock, pino({ level: 'silent' }));
    expect(readiness.report()).toMatchObject({ ok: true, sink: 'up' });
    buffer.throttledShards = 1;
    expect(readiness.report()).toMatchObject({ ok: true, sink: 'throttled' });
    buffer.sinkDown = true;
    expect(readiness.report()).toMatchObject({ ok: true, sink: 'down' });
  });
});
