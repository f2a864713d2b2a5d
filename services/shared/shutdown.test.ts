import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from './clock.ts';
import { Shutdown } from './shutdown.ts';

let codes: number[];
let logged: Record<string, unknown>[];
let exited: Promise<void>;
let shutdown: Shutdown;

beforeEach(() => {
  codes = [];
  logged = [];
  exited = new Promise((resolve) => {
    const log = pino({}, { write: (line: string) => void logged.push(JSON.parse(line)) });
    const exit = (code: number) => {
      codes.push(code);
      resolve();
    };
    shutdown = new Shutdown({ log, clock, timeoutMs: 100, exit });
  });
});

const never = () => new Promise<void>(() => {});

describe('shutdown', () => {
  it('runs the steps in their order and exits 0', async () => {
    const done: string[] = [];
    for (const name of ['a', 'b', 'c']) shutdown.add(name, async () => void done.push(name));
    shutdown.signal('SIGTERM');
    await exited;
    expect(done).toEqual(['a', 'b', 'c']);
    expect(codes).toEqual([0]);
  });

  it('exits 1 when a step fails, after the others ran, and says which is left', async () => {
    let ran = false;
    shutdown.add('bad', () => Promise.reject(new Error('no')));
    shutdown.add('good', async () => {
      ran = true;
    });
    await shutdown.run('test');
    expect([ran, codes]).toEqual([true, [1]]);
    expect(logged.at(-1)).toMatchObject({ left: ['bad'] });
  });

  it('exits 1 at the deadline, and says what was left', async () => {
    shutdown.add('stuck', never);
    shutdown.signal('SIGTERM');
    await exited;
    expect(codes).toEqual([1]);
    expect(logged.at(-1)).toMatchObject({ left: ['stuck'], msg: expect.stringContaining('100 ms') });
  });

  it('exits 1 at once on a second signal', async () => {
    shutdown.add('stuck', never);
    shutdown.signal('SIGTERM');
    shutdown.signal('SIGINT');
    expect(codes).toEqual([1]);
    await clock.sleep(150); // the deadline passes; it must not exit again
    expect(codes).toEqual([1]);
  });
});
