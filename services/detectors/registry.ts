import { z } from 'zod';
import { ConfigError } from '../shared/errors.ts';
import { adaptiveDetector, adaptiveParameters } from './adaptive.ts';
import type { BatchDetector, Detector } from './detector.ts';
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
function kind<P extends z.ZodType>(
  parameters: P,
  create: (name: string, parameters: z.output<P>) => Detector,
): DetectorKind {
  return {
    create(name, input) {
      const result = parameters.safeParse(input);
      if (!result.success) {
        throw new ConfigError(`parameters of detector ${name}:\n${z.prettifyError(result.error)}`);
      }
      return create(name, result.data);
    },
  };
}

const KINDS: Readonly<Record<string, DetectorKind>> = {
  threshold: kind(thresholdParameters, thresholdDetector),
  adaptive: kind(adaptiveParameters, adaptiveDetector),
};

/** Kinds of detectors that exist; `DETECTOR` accepts them and the names that `DETECTOR_PARAMS` defines. */
export const DETECTOR_NAMES = Object.keys(KINDS);

/**
 * Makes the detector `name` with its parameters out of `parameters`.
 *
 * @throws ConfigError for an unknown name, or parameters it does not take.
 */
export function createDetector(name: string, parameters: DetectorParameters = {}): Detector {
  const { detector = name, ...own } = Object.hasOwn(parameters, name) ? { ...parameters[name] } : {};
  const found = Object.hasOwn(KINDS, String(detector)) ? KINDS[String(detector)] : undefined;
  if (!found) {
    const known = [...new Set([...DETECTOR_NAMES, ...Object.keys(parameters)])].join(', ');
    throw new ConfigError(`there is no detector ${JSON.stringify(detector)}; there are: ${known}`);
  }
  return found.create(name, own);
}

/** A detector for callers that score batches: any kind. @throws ConfigError as `createDetector` does. */
export async function loadDetector(
  name: string,
  parameters: DetectorParameters = {},
): Promise<BatchDetector> {
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
