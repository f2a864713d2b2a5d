/** As much of JSON Schema as our schemas become. */
export interface JsonSchema {
  type?: string | readonly string[];
  description?: string;
  default?: unknown;
  enum?: readonly unknown[];
  const?: unknown;
  format?: string;
  minimum?: number;
  maximum?: number;
  properties?: Readonly<Record<string, JsonSchema>>;
  required?: readonly string[];
  additionalProperties?: unknown;
  items?: JsonSchema;
  anyOf?: readonly JsonSchema[];
}

interface Field {
  /** As in `shards[].lagSeconds`. */
  path: string;
  type: string;
  required: boolean;
  default: string;
  description: string;
}

/** The fields of an object, those of nested objects and of arrays included, in their order; of several alternatives all that they have. */
export function fieldsOf(schema: JsonSchema, prefix = ''): Field[] {
  const alternatives = objectsOf(schema).map((object) => ofObject(object, prefix));
  const fields = new Map<string, Field>();
  for (const field of alternatives.flat()) {
    const found = fields.get(field.path);
    fields.set(field.path, {
      ...field,
      type: [...new Set([...(found?.type.split(' or ') ?? []), ...field.type.split(' or ')])].join(' or '),
      required: alternatives.every((each) =>
        each.some(({ path, required }) => required && path === field.path),
      ),
      description: found?.description || field.description,
    });
  }
  return [...fields.values()];
}

function objectsOf(schema: JsonSchema): JsonSchema[] {
  return schema.properties ? [schema] : (schema.anyOf ?? []).flatMap(objectsOf);
}

function ofObject(schema: JsonSchema, prefix: string): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, given]) => {
    const path = `${prefix}${name}`;
    const inner = withoutNull(given);
    const isArray = inner.type === 'array';
    const element = isArray ? inner.items : inner;
    const nested = element ? fieldsOf(element, `${path}${isArray ? '[]' : ''}.`) : [];
    const field: Field = {
      path,
      type: typeOf(given),
      required: schema.required?.includes(name) ?? false,
      default: given.default === undefined ? '' : JSON.stringify(given.default),
      description: given.description ?? inner.description ?? '',
    };
    return [field, ...nested];
  });
}

function withoutNull(schema: JsonSchema): JsonSchema {
  const others = schema.anyOf?.filter(({ type }) => type !== 'null') ?? [];
  return others.length === 1 ? (others[0] as JsonSchema) : schema;
}

function typeOf(schema: JsonSchema): string {
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(' or ');
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.type === 'array') return `array of ${schema.items ? typeOf(schema.items) : 'any'}`;
  if (schema.format === 'date-time') return 'time, ISO 8601';
  if (schema.format === 'uuid') return 'UUID';
  return schema.type === undefined ? 'any' : [schema.type].flat().join(' or ');
}
