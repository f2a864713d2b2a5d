import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { streamScalerSpec } from './spec.ts';
import { STREAM_SCALER_CRD, type StreamScalerSpec } from './stream-scaler.ts';
import { type StructuralSchema, structuralSchema } from './structural.ts';

const root = STREAM_SCALER_CRD.spec.versions[0].schema.openAPIV3Schema;

function walk(
  node: StructuralSchema,
  path: string,
  visit: (node: StructuralSchema, path: string) => void,
): void {
  visit(node, path);
  for (const [name, child] of Object.entries(node.properties ?? {})) walk(child, `${path}.${name}`, visit);
  if (node.items) walk(node.items, `${path}[]`, visit);
}

describe('the schema of StreamScaler', () => {
  it('explains every field', () => {
    for (const part of ['spec', 'status'] as const) {
      walk(root.properties[part], part, (node, path) => {
        if (!path.endsWith('[]')) expect(node.description, path).toMatch(/\.$/);
      });
    }
  });

  it('bounds every list and every string that people write, so that CEL rules stay cheap', () => {
    walk(root.properties.spec, 'spec', (node, path) => {
      if (node.type === 'array') expect(node.maxItems, path).toBeTypeOf('number');
      if (node.type === 'string' && !node.enum) expect(node.maxLength, path).toBeTypeOf('number');
    });
  });

  it('gives the defaults of the API server and of the type alike', () => {
    const spec = streamScalerSpec.parse({
      stream: { name: 's' },
      consumer: { leaseTable: 'leases' },
      scaleTargetRef: { name: 'consumer' },
      replicas: { max: 4 },
    });
    expectTypeOf(spec).toEqualTypeOf<StreamScalerSpec>();
    expect(spec).toMatchObject({
      mode: 'Recommend',
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment' },
      replicas: { min: 1, max: 4 },
      objective: { maxLagSeconds: 60, catchUpSeconds: 300, utilization: 0.7 },
      behavior: { reshard: { scaleDownWindowSeconds: 3600, reservedCalls: 4 } },
    });
    // A default of a nested field is applied only where its parent has one too.
    for (const name of ['objective', 'behavior']) {
      expect(root.properties.spec.properties?.[name]?.default, name).toEqual({});
    }
  });

  it('refuses what has no structural form', () => {
    expect(() => structuralSchema(z.object({ a: z.union([z.string(), z.int()]) }))).toThrow(/\/a: anyOf/);
    expect(() => structuralSchema(z.object({ a: z.unknown() }))).toThrow(/needs a type/);
  });
});
