import { posix } from 'node:path';
import { z } from 'zod';
import { checkDetectors, detectionEnv } from '../../services/consumer/config.ts';
import { type DetectorParameters, scoresInBatches } from '../../services/detectors/registry.ts';
import { parseEnv } from '../../services/shared/config.ts';
import { ConfigError } from '../../services/shared/errors.ts';

/** Where pods have the models that stand in this repository. */
export const MODELS_FOLDER = '/etc/weir/models';
/** A process's variable may have 128 KiB. */
const MAX_PARAMS_BYTES = 100_000;

const fields = z.strictObject({
  /** Decides: a kind of detector, or a name that `params` defines. */
  detector: z.string(),
  /** Amount above which the `threshold` detector sees an anomaly, unless `params` says otherwise. */
  threshold: z.number(),
  /** Score along and decide nothing, so that their states are warm when one becomes `detector`. */
  challengers: z.array(z.string().regex(/^[^,]*$/, 'one name each, without commas')).optional(),
  /**
   * Parameters by name (docs/how-to/bring-your-detector.md). A `model` with a relative path is a file of this repository, which
   * pods get as a ConfigMap; an absolute one is in the image.
   */
  params: z.record(z.string().regex(/^[a-zA-Z0-9_.-]{1,64}$/), z.record(z.string(), z.json())).optional(),
  /** Time a challenger may take for a record, in µs. */
  challengerLimitMicros: z.number().optional(),
});

/** What scores events, in pods and Lambda alike; the consumer's own checks apply. */
export const detection = fields.superRefine((value, context) => {
  const issue = (message: string) => context.addIssue({ code: 'custom', message, input: value });
  if (Buffer.byteLength(JSON.stringify(value.params ?? {})) > MAX_PARAMS_BYTES)
    issue(`params has more than the ${MAX_PARAMS_BYTES} bytes that a variable can take`);
  try {
    checkDetectors(parseEnv(detectionEnv, detectionVariables(value)));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    issue(error.message);
  }
});

type Detection = z.output<typeof fields>;

/** What a consumer is told, by the names of its `config.ts`. */
export function detectionVariables(detection: Detection): Record<string, string> {
  const { detector, threshold, challengers = [], challengerLimitMicros } = detection;
  const params = { ...detection.params };
  for (const name of modelFiles(detection).keys()) params[name] = { ...params[name], model: mounted(name) };
  return {
    DETECTOR: detector,
    THRESHOLD: String(threshold),
    ...(challengers.length === 0 ? {} : { CHALLENGERS: challengers.join(',') }),
    ...(Object.keys(params).length === 0 ? {} : { DETECTOR_PARAMS: JSON.stringify(params) }),
    ...(challengerLimitMicros === undefined
      ? {}
      : { CHALLENGER_LIMIT_MICROS: String(challengerLimitMicros) }),
  };
}

/** Whether any detector needs ONNX Runtime, which images have by choice and functions have not. */
export function usesModels({ params = {} }: Detection): boolean {
  return Object.keys(params).some((name) => scoresInBatches(name, params as DetectorParameters));
}

/** The models of this repository, by their detector's name: paths in it. */
export function modelFiles({ params = {} }: Detection): Map<string, string> {
  const models = Object.entries(params).flatMap(([name, { model }]): [string, string][] =>
    typeof model === 'string' && !posix.isAbsolute(model) ? [[name, model]] : [],
  );
  return new Map(models);
}

/** Name of a detector's model in `MODELS_FOLDER`. */
export function modelFileName(detector: string): string {
  return `${detector}.onnx`;
}

function mounted(detector: string): string {
  return `${MODELS_FOLDER}/${modelFileName(detector)}`;
}
