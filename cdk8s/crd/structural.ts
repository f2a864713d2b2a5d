import { z } from 'zod';

/** A CEL rule of the API server (`x-kubernetes-validations`). */
interface CelRule {
  rule: string;
  message: string;
  /** Relative to the node that the rule is on. */
  fieldPath?: string;
}

/** Kubernetes' extensions of OpenAPI that our schemas use, as zod metadata. */
interface KubernetesMeta {
  description?: string;
  'x-kubernetes-validations'?: readonly CelRule[];
  'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set';
  'x-kubernetes-list-map-keys'?: readonly string[];
  'x-kubernetes-map-type'?: 'atomic' | 'granular';
  'x-kubernetes-preserve-unknown-fields'?: true;
}

/** Metadata for zod's `meta`, checked. */
export function k8s(meta: KubernetesMeta): Record<string, unknown> {
  return { ...meta };
}

/** One node of a structural schema: OpenAPI v3 as a CustomResourceDefinition holds it. */
export interface StructuralSchema extends KubernetesMeta {
  type: string;
  properties?: Record<string, StructuralSchema>;
  items?: StructuralSchema;
  additionalProperties?: StructuralSchema;
  required?: string[];
  enum?: string[];
  default?: unknown;
  format?: string;
  pattern?: string;
  [keyword: string]: unknown;
}

/**
 * The structural schema of a zod schema: what the API server stores, prunes, defaults and explains.
 * A zod schema that has no structural form (unions, transforms) is a mistake in the schema and throws.
 *
 * Source: kubernetes.io, "Custom Resources: Specifying a structural schema".
 */
export function structuralSchema(schema: z.ZodType): StructuralSchema {
  const json = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      const node = jsonSchema as Record<string, unknown>;
      // The API server knows this format by itself; zod's pattern for it is 300 characters in each `kubectl explain`.
      if (node.format === 'date-time') delete node.pattern;
      if (node.type === 'integer') {
        node.format = 'int64';
        if (node.minimum === Number.MIN_SAFE_INTEGER) delete node.minimum;
        if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
      }
      // Structural schemas prune what they don't know; `additionalProperties: false` beside `properties` is forbidden.
      if (zodSchema._zod.def.type === 'object') delete node.additionalProperties;
    },
  });
  const root = json as StructuralSchema;
  check(root, '');
  return root;
}

function check(node: StructuralSchema, path: string): void {
  for (const keyword of ['anyOf', 'allOf', 'oneOf', '$ref', 'nullable']) {
    if (keyword in node) throw new Error(`${path || '/'}: ${keyword} has no structural form`);
  }
  if (typeof node.type !== 'string') throw new Error(`${path || '/'}: a structural schema needs a type`);
  for (const [name, child] of Object.entries(node.properties ?? {})) check(child, `${path}/${name}`);
  if (node.items) check(node.items, `${path}[]`);
  if (node.additionalProperties) check(node.additionalProperties, `${path}{}`);
}
