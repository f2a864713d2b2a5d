import type { Image } from './names.ts';

/**
 * The one image registry. An image is built once and promoted by its digest, so all environments pull from
 * the same repositories; their accounts get the right to.
 */
export const registry = {
  account: '444444444444',
  region: 'ap-south-1',
  /** Repository whose workflows may push, from the GitHub environment `images`. */
  githubRepository: 'weir-dev/weir',
  githubEnvironment: 'images',
} as const;

export type Registry = { readonly [K in keyof typeof registry]: string };

export function repositoryName(image: Image): string {
  return `weir/${image}`;
}

/** `<account>.dkr.ecr.<region>.amazonaws.com/weir/<image>`, to which a manifest adds `@sha256:…`. */
export function repositoryUri(image: Image): string {
  return `${registry.account}.dkr.ecr.${registry.region}.amazonaws.com/${repositoryName(image)}`;
}
