import { ConfigError } from '../../shared/errors.ts';
import { FIXED_FEATURES, MAX_LAGS } from './features.ts';

/** A loaded model. */
export interface Model {
  /** Last amounts that its input holds. */
  lags: number;
  /** One score for each row of `features`. */
  infer(features: Float32Array, rows: number): Promise<Float32Array>;
}

/**
 * Loads a model into ONNX Runtime (the package `onnxruntime-web`, an optional dependency: WebAssembly on one thread,
 * all in the package), and tries it on rows of zeros and of extremes.
 *
 * @param path for messages.
 * @throws ConfigError when the runtime is not installed, the bytes are no model, or it has other inputs or outputs.
 */
export async function loadModel(path: string, bytes: Uint8Array): Promise<Model> {
  const runtime = await import('onnxruntime-web').catch((error) => {
    throw new ConfigError(
      `detector onnx needs the package onnxruntime-web, that is not here: npm install onnxruntime-web, or for a bundle or an image docs/how-to/bring-your-detector.md: ${error.message}`,
    );
  });
  runtime.env.wasm.numThreads = 1;
  const refuse = (problem: string): never => {
    throw new ConfigError(`model ${path}: ${problem}`);
  };
  const session = await runtime.InferenceSession.create(bytes).catch((error: Error) =>
    refuse(`ONNX Runtime can't load it: ${error.message}`),
  );
  const [input, ...moreInputs] = session.inputMetadata;
  const [output, ...moreOutputs] = session.outputNames;
  if (!input?.isTensor || output === undefined || moreInputs.length > 0 || moreOutputs.length > 0) {
    return refuse(
      `needs one tensor as input and one as output, has ${session.inputNames} and ${session.outputNames}`,
    );
  }
  const width = input.shape[1];
  if (input.type !== 'float32' || input.shape.length !== 2 || typeof input.shape[0] !== 'string') {
    return refuse(
      `input ${input.name} is ${input.type}[${input.shape}], not float32[batch,features] with a free batch`,
    );
  }
  if (typeof width !== 'number' || width <= FIXED_FEATURES || width > FIXED_FEATURES + MAX_LAGS) {
    return refuse(
      `input ${input.name} has ${width} features; it takes ${FIXED_FEATURES} and the last 1 to ${MAX_LAGS} amounts`,
    );
  }

  const once = async (features: Float32Array, rows: number): Promise<Float32Array> => {
    const tensor = new runtime.Tensor('float32', features, [rows, width]);
    const result = (await session.run({ [input.name]: tensor }))[output];
    if (!(result?.data instanceof Float32Array) || result.data.length !== rows) {
      return refuse(`gives ${result?.type}[${result?.dims}] for ${rows} rows, not one float32 for each`);
    }
    return result.data;
  };
  // A session takes one call at a time.
  let last: Promise<unknown> = Promise.resolve();
  const infer = (features: Float32Array, rows: number) => {
    const next = last.then(() => once(features, rows));
    last = next.catch(() => {});
    return next;
  };
  for (const value of [0, 20, -20]) {
    const scores = await infer(new Float32Array(3 * width).fill(value), 3).catch((error: Error) =>
      error instanceof ConfigError
        ? Promise.reject(error)
        : refuse(`fails on a batch of 3 rows: ${error.message}`),
    );
    if (!scores.every(Number.isFinite)) refuse(`scores features of ${value} with ${scores[0]}`);
  }
  return { lags: width - FIXED_FEATURES, infer };
}
