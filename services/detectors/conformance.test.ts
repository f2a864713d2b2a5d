import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BatchDetector, ScorableEvent, Verdict } from './detector.ts';
import { DetectorStateError } from './errors.ts';
import { DETECTOR_NAMES, loadDetector } from './registry.ts';

const MINUTE = 60_000;
const START = Date.parse('2026-03-01T00:00:00Z');

/** Anything the event contract lets through, and worse: repeated, out of order, far apart, of any size. */
const events = fc.array(
  fc.record({
    source: fc.constantFrom('a', '', 'constructor', 'é'.repeat(100)),
    amount: fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer({ min: -5, max: 5 }),
      fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, -0, 1e37, 1e38),
    ),
    timestamp: fc.oneof(
      fc.integer({ min: START, max: START + 3 * 86_400_000 }),
      fc.constantFrom(0, -1, 8.64e15, -8.64e15, START, START + 0.5),
    ),
  }),
  { maxLength: 300 },
);

/** A few days of a source with a daily pattern, reproducible noise and, at the end, something unusual. */
function usual(count: number): ScorableEvent[] {
  return Array.from({ length: count }, (_, n) => ({
    source: 'a',
    amount:
      100 + 40 * Math.sin((n / 288) * 2 * Math.PI) + ((n * 7919) % 101) / 10 + (n > count - 20 ? 500 : 0),
    timestamp: START + n * 5 * MINUTE,
  }));
}

async function scoreAll(
  detector: BatchDetector,
  state: unknown,
  sequence: readonly ScorableEvent[],
): Promise<Verdict[]> {
  return detector.scoreBatch(sequence.map((event) => ({ state, event })));
}

const PARAMETERS = { onnx: { model: 'services/detectors/onnx/tiny.onnx' } };
const load = (name: string) => loadDetector(name, PARAMETERS, { readModel: (path) => readFile(path) });

describe.each([...DETECTOR_NAMES, 'onnx'])('detector %s', (name) => {
  it('is deterministic, wherever a batch ends', async () => {
    const detector = await load(name);
    const sequence = usual(1_000);
    const state = detector.initial();
    const whole = await scoreAll(detector, state, sequence);
    const other = (await load(name)).initial();
    const parts: Verdict[] = [];
    for (let at = 0; at < sequence.length; at += 7) {
      parts.push(...(await scoreAll(detector, other, sequence.slice(at, at + 7))));
    }
    expect(parts).toEqual(whole);
    expect(detector.encode(other)).toEqual(detector.encode(state));
  });

  it('gives finite scores and a state of at most 1 KiB for any events, and goes on from its encoded state', async () => {
    const detector = await load(name);
    await fc.assert(
      fc.asyncProperty(events, fc.nat({ max: 300 }), async (sequence, cut) => {
        const state = detector.initial();
        await scoreAll(detector, state, sequence.slice(0, cut));
        const bytes = detector.encode(state);
        expect(bytes.length).toBeLessThanOrEqual(1024);
        const restored = detector.decode(bytes, detector.stateVersion);
        expect(detector.encode(restored)).toEqual(bytes);
        const rest = [...sequence.slice(cut), ...usual(150)];
        const verdicts = await scoreAll(detector, state, rest);
        for (const { score } of verdicts) expect(Number.isFinite(score)).toBe(true);
        expect(await scoreAll(detector, restored, rest)).toEqual(verdicts);
      }),
      { numRuns: 60 },
    );
  });

  it('encodes bytes that later events leave alone, and decodes ones that the caller may reuse', async () => {
    const detector = await load(name);
    const state = detector.initial();
    await scoreAll(detector, state, usual(200));
    const bytes = detector.encode(state);
    const copy = bytes.slice();
    await scoreAll(detector, state, usual(200));
    expect(bytes).toEqual(copy);
    // As views into larger buffers, of both kinds: how a store hands them over.
    for (const larger of [new Uint8Array(bytes.length + 9), Buffer.alloc(bytes.length + 9)]) {
      larger.set(bytes, 5);
      const restored = detector.decode(larger.subarray(5, 5 + bytes.length), detector.stateVersion);
      larger.fill(0xff);
      expect(detector.encode(restored)).toEqual(copy);
    }
  });

  it('keeps a state whose size does not grow with time', async () => {
    const detector = await load(name);
    const state = detector.initial();
    const size = detector.encode(state).length;
    await scoreAll(detector, state, usual(20_000));
    expect(detector.encode(state)).toHaveLength(size);
  });

  it('keeps the states of sources apart within a batch', async () => {
    const detector = await load(name);
    const [one, two] = [detector.initial(), detector.initial()];
    const sequence = usual(300);
    const mixed = await detector.scoreBatch(
      sequence.flatMap((event) => [
        { state: one, event },
        { state: two, event: { ...event, amount: -event.amount * 3 } },
      ]),
    );
    const alone = await scoreAll(detector, detector.initial(), sequence);
    expect(mixed.filter((_, at) => at % 2 === 0)).toEqual(alone);
  });

  it('refuses damaged bytes and unknown versions', async () => {
    const detector = await load(name);
    const bytes = detector.encode(detector.initial());
    const version = detector.stateVersion;
    for (const unknown of [0, -1, version + 1, 1.5, Number.NaN]) {
      expect(() => detector.decode(bytes, unknown)).toThrow(DetectorStateError);
    }
    expect(() => detector.decode(new Uint8Array(bytes.length + 1), version)).toThrow(DetectorStateError);
    if (bytes.length === 0) return;
    expect(() => detector.decode(bytes.subarray(1), version)).toThrow(DetectorStateError);
    expect(() => detector.decode(new Uint8Array(), version)).toThrow(DetectorStateError);
    expect(() => detector.decode(bytes.slice().fill(0xff), version)).toThrow(DetectorStateError);
  });

  it('never throws on, or grows numbers out of, a state whose bytes were turned over', async () => {
    const detector = await load(name);
    const state = detector.initial();
    await scoreAll(detector, state, usual(400));
    const bytes = detector.encode(state);
    if (bytes.length === 0) return;
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: bytes.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const damaged = bytes.slice();
          damaged[at] = (damaged[at] ?? 0) ^ flip;
          let restored: unknown;
          try {
            restored = detector.decode(damaged, detector.stateVersion);
          } catch (error) {
            expect(error).toBeInstanceOf(DetectorStateError);
            return;
          }
          for (const { score } of await scoreAll(detector, restored, usual(30)))
            expect(Number.isFinite(score)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
