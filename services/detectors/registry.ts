import * as z from 'zod';
import { ConfigError } from '../shared/errors.ts';
import { adaptiveDetector, adaptiveParameters } from './adaptive.ts';
import type { BatchDetector, Detector } from './detector.ts';
import { loadModel } from './onnx/model.ts';
import { onnxDetector, onnxParameters } from './onnx/onnx.ts';
import { thresholdDetector, thresholdParameters } from './threshold.ts';

/**
 * Parameters by detector, as `DETECTOR_PARAMS` holds them in JSON. A name that is not a registered detector defines
 * one: `{"strict": {"detector": "threshold", "threshold": 500}}`, so that the same kind may run twice with
 * different parameters.
 */
export type DetectorParameters = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** A kind of detector: what its parameters must look like, and how it is made. */
interface DetectorKind {
  create(name: string, parameters: unknown): Detector;
}

/** @throws ConfigError naming each bad parameter. */
function check<P extends z.ZodType>(name: string, schema: P, input: unknown): z.output<P> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new ConfigError(`parameters of detector ${name}:\n${z.prettifyError(result.error)}`);
}

function kind<P extends z.ZodType>(
  schema: P,
  create: (name: string, parameters: z.output<P>) => Detector,
): DetectorKind {
  return { create: (name, input) => create(name, check(name, schema, input)) };
}

const KINDS: Readonly<Record<string, DetectorKind>> = {
  threshold: kind(thresholdParameters, thresholdDetector),
  adaptive: kind(adaptiveParameters, adaptiveDetector),
};

/** Kinds of detectors that score one event at a time; `DETECTOR` accepts them and the names that `DETECTOR_PARAMS` defines. */
export const DETECTOR_NAMES = Object.keys(KINDS);
/** The kind that scores in batches: what `loadDetector` makes besides. */
const ONNX = 'onnx';

/** What a detector needs from the world when it is made. */
export interface DetectorResources {
  readModel(path: string): Promise<Uint8Array>;
}

/** The kind that `name` stands for, and its parameters. */
function resolve(name: string, parameters: DetectorParameters): { kind: string; own: unknown } {
  const { detector: kind = name, ...own } = Object.hasOwn(parameters, name) ? { ...parameters[name] } : {};
  if (typeof kind === 'string' && (kind === ONNX || Object.hasOwn(KINDS, kind))) return { kind, own };
  const known = [...new Set([...DETECTOR_NAMES, ONNX, ...Object.keys(parameters)])].join(', ');
  throw new ConfigError(`there is no detector ${JSON.stringify(kind)}; there are: ${known}`);
}

/**
 * Makes the detector `name` with its parameters out of `parameters`.
 *
 * @throws ConfigError for an unknown name, parameters it does not take, or a kind that scores in batches.
 */
export function createDetector(name: string, parameters: DetectorParameters = {}): Detector {
  const { kind, own } = resolve(name, parameters);
  const found = KINDS[kind];
  if (!found) {
    throw new ConfigError(
      `detector ${name} is of kind ${kind}, that scores in batches: this caller scores one event at a time`,
    );
  }
  return found.create(name, own);
}

/**
 * Checks what can be known of the detector `name` without a model.
 *
 * @throws ConfigError for an unknown name, or parameters it does not take.
 */
export function checkDetector(name: string, parameters: DetectorParameters): void {
  const { kind, own } = resolve(name, parameters);
  if (kind === ONNX) check(name, onnxParameters, own);
  else createDetector(name, parameters);
}

/**
 * True for a detector that `loadDetector` makes and `createDetector` does not.
 *
 * @throws ConfigError for an unknown name.
 */
export function scoresInBatches(name: string, parameters: DetectorParameters): boolean {
  return resolve(name, parameters).kind === ONNX;
}

/**
 * Makes a detector of any kind, for callers that score batches.
 *
 * @throws ConfigError as `createDetector` does, and for a model that can't be used.
 */
export async function loadDetector(
  name: string,
  parameters: DetectorParameters,
  resources: DetectorResources,
): Promise<BatchDetector> {
  const { kind, own } = resolve(name, parameters);
  if (kind === ONNX) {
    const checked = check(name, onnxParameters, own);
    const bytes = await resources.readModel(checked.model).catch((error: Error) => {
      throw new ConfigError(`model of detector ${name}: ${error.message}`);
    });
    return onnxDetector(name, checked, await loadModel(checked.model, bytes));
  }
  const detector = createDetector(name, parameters);
  const { stateVersion, stateless } = detector;
  return {
    name,
    stateVersion,
    stateless,
    initial: () => detector.initial(),
    encode: (state) => detector.encode(state),
    decode: (bytes, version) => detector.decode(bytes, version),
    scoreBatch: async (batch) => batch.map(({ state, event }) => detector.score(state, event)),
  };
}

const parametersSchema = z.record(z.string(), z.record(z.string(), z.unknown()));

/** `DETECTOR_PARAMS`: a JSON object of objects; `undefined` for anything else. */
export function parseDetectorParameters(json: string): DetectorParameters | undefined {
  try {
    return parametersSchema.parse(JSON.parse(json));
  } catch {
    return undefined;
  }
}
