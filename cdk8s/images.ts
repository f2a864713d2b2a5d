import { z } from 'zod';
import { ConfigError } from '../services/shared/errors.ts';
import { type Image, stageOf } from './environments/names.ts';
import { repositoryUri } from './environments/registry.ts';
import type { Environment } from './environments/schema.ts';
import digests from './images.json' with { type: 'json' };

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hexadecimal digits');
const images = z.strictObject({ producer: digest, consumer: digest, controller: digest });
const schema = z.strictObject({ dev: images, staging: images, prod: images });

/** The digests that each stage runs, as the workflows `images` and `promote` write them. */
export type ImageDigests = z.output<typeof schema>;

/** @throws ConfigError when `cdk8s/images.json` names something else than a digest. */
export function parseDigests(json: unknown): ImageDigests {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`cdk8s/images.json is not usable:\n${problems.join('\n')}`);
}

/** The image of an environment's stage, by its digest: `<registry>/weir/<image>@sha256:…`. */
export function imageReference(env: Environment, image: Image): string {
  return `${repositoryUri(image)}@${parseDigests(digests)[stageOf(env)][image]}`;
}
