/**
 * Trains the tiny model that ships with the `onnx` detector, and writes it: `node scripts/onnx/train.ts`. With `--check` it
 * writes nothing and fails when the file is stale. It learns on series that it makes up (seeded): a daily swing, a
 * drift, noise of several kinds, and in them spikes, dips and steps as anomalies. It shows the way from training to
 * detection; it is not a good detector.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { FIXED_FEATURES, initialState, takeFeatures } from '../../services/detectors/onnx/features.ts';
import { encodeModel, type Layer } from './encode.ts';

const FILE = new URL('../../services/detectors/onnx/tiny.onnx', import.meta.url);
const LAGS = 8;
const WIDTH = LAGS + FIXED_FEATURES;
const HIDDEN = 16;
const SERIES = 24;
const RECORDS = 1_500;
const WARM_UP = 100;
const STEP_MS = 600_000;
const EPOCHS = 12;
const BATCH = 64;
const LEARNING_RATE = 0.01;
/** Weight of an anomaly: they are rare. */
const RARE = 8;

let seed = 20_260_301;
/** Uniform in [0, 1) (Numerical Recipes' linear congruential generator): the same model each time. */
function random(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
}

/** About normal, by twelve uniform numbers: without functions that engines round in their own way. */
function normal(): number {
  let sum = -6;
  for (let n = 0; n < 12; n++) sum += random();
  return sum;
}

interface Samples {
  features: Float32Array;
  labels: Uint8Array;
}

function makeSamples(): Samples {
  const features = new Float32Array(SERIES * RECORDS * WIDTH);
  const labels = new Uint8Array(SERIES * RECORDS);
  for (let series = 0; series < SERIES; series++) {
    const state = initialState();
    const swing = random() * 10;
    const noise = 0.2 + random();
    const level = normal() * 100;
    let step = 0;
    for (let n = 0; n < RECORDS; n++) {
      const row = series * RECORDS + n;
      const time = n * STEP_MS;
      let amount = level + swing * Math.sin((2 * Math.PI * time) / 86_400_000) + noise * normal() + step;
      if (n > WARM_UP && random() < 0.01) {
        labels[row] = 1;
        const jump = (random() < 0.5 ? -1 : 1) * (swing + 6 * noise) * (1 + 2 * random());
        amount += jump;
        if (random() < 0.1) step += jump;
      }
      takeFeatures(state, amount, time, features, row, LAGS);
    }
  }
  return { features, labels };
}

function layer(inputs: number, outputs: number, activation: Layer['activation']): Layer {
  const weights = Float32Array.from({ length: inputs * outputs }, () => normal() / Math.sqrt(inputs));
  return { inputs, outputs, weights, bias: new Float32Array(outputs), activation };
}

/** Adam (Kingma and Ba, 2015) on the log loss, one hidden layer. */
function train({ features, labels }: Samples): Layer[] {
  const hidden = layer(WIDTH, HIDDEN, 'Relu');
  const output = layer(HIDDEN, 1, 'Sigmoid');
  const parameters = [hidden.weights, hidden.bias, output.weights, output.bias];
  const gradients = parameters.map(({ length }) => new Float64Array(length));
  const first = parameters.map(({ length }) => new Float64Array(length));
  const second = parameters.map(({ length }) => new Float64Array(length));
  const [hiddenSlope, hiddenBiasSlope, outputSlope, outputBiasSlope] = gradients as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const active = new Float64Array(HIDDEN);
  const at = (values: ArrayLike<number>, n: number) => values[n] ?? 0;
  let step = 0;
  for (let update = 0; update < (EPOCHS * labels.length) / BATCH; update++) {
    for (const gradient of gradients) gradient.fill(0);
    for (let sample = 0; sample < BATCH; sample++) {
      const row = Math.floor(random() * labels.length);
      let sum = at(output.bias, 0);
      for (let unit = 0; unit < HIDDEN; unit++) {
        let total = at(hidden.bias, unit);
        for (let n = 0; n < WIDTH; n++) {
          total += at(features, row * WIDTH + n) * at(hidden.weights, n * HIDDEN + unit);
        }
        active[unit] = Math.max(0, total);
        sum += at(active, unit) * at(output.weights, unit);
      }
      const label = at(labels, row);
      const error = ((1 / (1 + Math.exp(-sum)) - label) * (label ? RARE : 1)) / BATCH;
      outputBiasSlope[0] = at(outputBiasSlope, 0) + error;
      for (let unit = 0; unit < HIDDEN; unit++) {
        if (at(active, unit) === 0) continue;
        outputSlope[unit] = at(outputSlope, unit) + error * at(active, unit);
        const back = error * at(output.weights, unit);
        hiddenBiasSlope[unit] = at(hiddenBiasSlope, unit) + back;
        for (let n = 0; n < WIDTH; n++) {
          const weight = n * HIDDEN + unit;
          hiddenSlope[weight] = at(hiddenSlope, weight) + back * at(features, row * WIDTH + n);
        }
      }
    }
    step++;
    for (const [p, values] of parameters.entries()) {
      const [gradient, mean, square] = [gradients[p], first[p], second[p]];
      if (!gradient || !mean || !square) continue;
      for (let n = 0; n < values.length; n++) {
        const slope = at(gradient, n);
        mean[n] = 0.9 * at(mean, n) + 0.1 * slope;
        square[n] = 0.999 * at(square, n) + 0.001 * slope * slope;
        const change =
          at(mean, n) / (1 - 0.9 ** step) / (Math.sqrt(at(square, n) / (1 - 0.999 ** step)) + 1e-8);
        values[n] = at(values, n) - LEARNING_RATE * change;
      }
    }
  }
  return [hidden, output];
}

const model = encodeModel(train(makeSamples()));
if (process.argv.includes('--check')) {
  if (!readFileSync(FILE).equals(model)) {
    console.error('services/detectors/onnx/tiny.onnx is stale: run "node scripts/onnx/train.ts"');
    process.exitCode = 1;
  }
} else {
  writeFileSync(FILE, model);
  console.log(`services/detectors/onnx/tiny.onnx  ${model.length} bytes`);
}
