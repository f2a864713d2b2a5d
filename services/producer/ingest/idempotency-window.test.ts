import { describe, expect, it } from 'vitest';
import { HttpProblem } from '../http/problems.ts';
import { IdempotencyWindow } from './idempotency-window.ts';
import type { Outcome, StoredEvent } from './outcome.ts';

const EVENT = { source: 'a', amount: 1 };
const stored = (requestId: string, size = 100): StoredEvent => ({
  requestId,
  data: Buffer.alloc(size),
  position: { shardId: 's', sequenceNumber: '1' },
});

function make(maxBytes = 10_000) {
  let now = 0;
  const window = new IdempotencyWindow({ maxBytes, maxAgeMs: 1_000 }, () => now);
  const answers: Outcome[] = [];
  return {
    window,
    answers,
    enter: (id: string, event: unknown = EVENT) =>
      window.enter(id, event, (outcome) => answers.push(outcome)),
    advance: (ms: number) => {
      now += ms;
    },
  };
}

describe('the idempotency window', () => {
  it('gives the same answer again, and tells when the key is used for another event', () => {
    const { window, answers, enter } = make();
    expect(enter('1')).toBe('first');
    const answer = stored('1');
    window.finish('1', answer);
    expect(enter('1')).toBe('again');
    expect(answers).toEqual([answer]);
    expect(enter('1', { ...EVENT, amount: 2 })).toBe('reused');
  });

  it('lets those who come meanwhile wait for the answer, also when it is a refusal, which is not remembered', () => {
    const { window, answers, enter } = make();
    enter('1');
    expect([enter('1'), enter('1'), enter('1', { other: true })]).toEqual(['again', 'again', 'reused']);
    const problem = new HttpProblem('buffer-full', 'for now');
    window.finish('1', problem);
    expect(answers).toEqual([problem, problem]);
    expect(window.bytes).toBe(0);
    expect(enter('1')).toBe('first');
  });

  it('keeps an answer and nothing that hangs on it, neither the batch that waited nor the slab of its bytes', () => {
    const { window, answers, enter } = make();
    enter('1');
    const waited = { results: new Array(10_000) };
    window.finish('1', Object.assign(stored('1'), { data: Buffer.from('{"source":"a"}'), waited }));
    enter('1');
    const [again] = answers as [StoredEvent];
    expect(Object.keys(again)).toEqual(['requestId', 'data', 'position']);
    expect(again.data.toString()).toBe('{"source":"a"}');
    expect(again.data.buffer.byteLength).toBe(again.data.byteLength);
  });

  it('forgets after its time', () => {
    const { window, enter, advance } = make();
    enter('1');
    window.finish('1', stored('1'));
    advance(999);
    expect(enter('1')).toBe('again');
    advance(1);
    expect(enter('1')).toBe('first');
  });

  it('forgets the oldest when it is full, but nobody who still waits', () => {
    const { window, enter } = make(3_000);
    enter('waiting');
    for (let i = 0; i < 100; i++) {
      enter(`${i}`);
      window.finish(`${i}`, stored(`${i}`, 400));
      expect(window.bytes).toBeLessThanOrEqual(3_000);
    }
    expect([enter('99'), enter('0'), enter('waiting')]).toEqual(['again', 'first', 'again']);
  });
});
