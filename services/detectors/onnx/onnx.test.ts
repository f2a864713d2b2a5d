import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { encodeModel, type Layer } from '../../../scripts/onnx/encode.ts';
import { ConfigError } from '../../shared/errors.ts';
import { createDetector, loadDetector } from '../registry.ts';
import { FIXED_FEATURES, initialState, takeFeatures } from './features.ts';
import { loadModel } from './model.ts';

const TINY = 'services/detectors/onnx/tiny.onnx';
const resources = { readModel: (path: string) => readFile(path) };
const MINUTE = 60_000;

/** One layer without hidden ones; weights and bias all of one value. */
function layer(inputs: number, outputs: number, weight: number, bias = 0): Layer {
  return {
    inputs,
    outputs,
    weights: new Float32Array(inputs * outputs).fill(weight),
    bias: new Float32Array(outputs).fill(bias),
    activation: 'Relu',
  };
}

describe('onnx detector', () => {
  it('finds a spike with the model that ships', async () => {
    const parameters = { onnx: { model: TINY, threshold: 0.97 } };
    const detector = await loadDetector('onnx', parameters, resources);
    const state = detector.initial();
    const batch = Array.from({ length: 1_000 }, (_, n) => ({
      state,
      event: {
        source: 's',
        amount: n === 700 ? 90 : 50 + ((n * 7_919) % 101) / 50,
        timestamp: n * 5 * MINUTE,
      },
    }));
    const verdicts = await detector.scoreBatch(batch);
    const found = verdicts.flatMap(({ isAnomaly }, n) => (isAnomaly ? [n] : []));
    expect(found).toContain(700);
    expect(found.length).toBeLessThan(10);
    expect(verdicts[700]).toMatchObject({ method: 'onnx' });
  });

  it('computes what the model says', async () => {
    // The sum of five features and 7: amount, sine, cosine, hour, fast level.
    const model = await loadModel('sum', encodeModel([layer(5, 1, 1, 7)]));
    expect(model.lags).toBe(1);
    expect([...(await model.infer(Float32Array.from([1, 2, 3, 4, 5, 0, 0, 0, 0, -9]), 2))]).toEqual([22, 0]);
  });

  it('takes batches that are asked for at the same time', async () => {
    const model = await loadModel('sum', encodeModel([layer(5, 1, 1)]));
    const results = await Promise.all([1, 2, 3].map((n) => model.infer(new Float32Array(5).fill(n), 1)));
    expect(results.map(([score]) => score)).toEqual([5, 10, 15]);
  });

  it.each([
    ['bytes that are no model', new Uint8Array([1, 2, 3]), "ONNX Runtime can't load it"],
    ['no bytes', new Uint8Array(), "ONNX Runtime can't load it"],
    ['too few features', encodeModel([layer(4, 1, 1)]), 'has 4 features; it takes 4 and the last 1 to 32'],
    ['too many features', encodeModel([layer(37, 1, 1)]), 'has 37 features'],
    ['two scores', encodeModel([layer(5, 2, 1)]), 'not one float32 for each'],
    ['scores that are no number', encodeModel([layer(5, 1, Number.NaN)]), 'scores features of 0 with NaN'],
    ['scores that overflow', encodeModel([layer(5, 1, 3e38)]), 'scores features of 20 with Infinity'],
  ])('refuses %s at its start', async (_, bytes, message) => {
    await expect(loadModel('bad.onnx', bytes)).rejects.toThrow(message);
    await expect(loadModel('bad.onnx', bytes)).rejects.toThrow(/^model bad\.onnx: /);
    await expect(loadModel('bad.onnx', bytes)).rejects.toBeInstanceOf(ConfigError);
  });

  it.each([
    [{}, /model/],
    [{ model: 'no-such.onnx' }, /model of detector onnx: ENOENT/],
    [{ model: TINY, treshold: 1 }, /treshold/],
  ])('refuses the parameters %j', async (onnx, message) => {
    await expect(loadDetector('onnx', { onnx }, resources)).rejects.toThrow(message);
  });

  it('says that it is not for callers that score one event at a time', () => {
    expect(() => createDetector('mine', { mine: { detector: 'onnx', model: TINY } })).toThrow(
      'scores in batches',
    );
  });

  it('ships the model that the script trains', async () => {
    await promisify(execFile)(process.execPath, ['scripts/onnx/train.ts', '--check']);
  });
});

describe('features', () => {
  it('do not hang on the scale of the source', () => {
    const lags = 3;
    const rows = (scale: number) => {
      const state = initialState();
      const into = new Float32Array(400 * (lags + FIXED_FEATURES));
      for (let n = 0; n < 400; n++)
        takeFeatures(state, scale * ((n * 7_919) % 101), n * 10 * MINUTE, into, n, lags);
      return into.slice(-lags - FIXED_FEATURES);
    };
    const [once, more] = [rows(1), rows(1e6)];
    for (const [n, value] of once.entries()) expect(more[n]).toBeCloseTo(value, 4);
  });

  it('have the last amounts first, and nothing where there were none', () => {
    const state = initialState();
    const into = new Float32Array(3 * 7);
    for (const [row, amount] of [10, 20, 60].entries()) takeFeatures(state, amount, 0, into, row, 3);
    const [first, second, third] = [into.slice(0, 3), into.slice(7, 10), into.slice(14, 17)];
    expect([...first]).toEqual([0, 0, 0]);
    expect(second[0]).toBeGreaterThan(0);
    expect(second[2]).toBe(0);
    expect(third[0]).toBeGreaterThan(third[1] ?? 0);
    expect(third[1]).toBeGreaterThan(third[2] ?? 0);
  });
});
