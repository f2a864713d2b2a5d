import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Turns } from './turns.ts';

it('lets work that fills its slice go on in a turn of the event loop of its own, each in its order', async () => {
  const turns = new Turns();
  const log: string[] = [];
  let loopTurns = 0;
  const work = async (name: string) => {
    for (let slice = 0; slice < 3; slice++) {
      await turns.next();
      expect(turns.over).toBe(false);
      log.push(`${name}${slice} in ${loopTurns}`);
      while (!turns.over);
    }
  };
  let working = true;
  const counting = async () => {
    for (; working; loopTurns++) await nextTurn();
  };
  const counted = counting();
  await Promise.all(['a', 'b', 'c'].map(work));
  working = false;
  await counted;
  expect(log.map((line) => line.slice(0, 2))).toEqual(['a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'a2', 'b2', 'c2']);
  expect(new Set(log.map((line) => line.split(' in ')[1])).size).toBe(9);
});

it('ends a slice after a while', async () => {
  const turns = new Turns();
  await turns.next();
  const began = performance.now();
  while (!turns.over) expect(performance.now() - began).toBeLessThan(1_000);
  await turns.next();
  expect(turns.over).toBe(false);
});

it('lets work that is short go on in the same turn', async () => {
  const turns = new Turns();
  let counting = true;
  let loopTurns = 0;
  const counted = (async () => {
    for (; counting; loopTurns++) await nextTurn();
  })();
  await Promise.all(Array.from({ length: 50 }, () => turns.next()));
  counting = false;
  expect(loopTurns).toBeLessThan(10);
  await counted;
});

it('lets work that holds much end before other work begins', async () => {
  const turns = new Turns();
  let begun = 0;
  let ended = 0;
  const work = async () => {
    await turns.next();
    expect(begun++).toBe(ended);
    for (let slice = 0; slice < 3; slice++) {
      while (!turns.over);
      await turns.again();
    }
    ended++;
  };
  await Promise.all(Array.from({ length: 4 }, work));
  expect([begun, ended]).toEqual([4, 4]);
});
