import { STREAM_SCALER_CRD } from '../../cdk8s/crd/stream-scaler.ts';
import { fieldsOf, type JsonSchema } from './fields.ts';
import { cell, table } from './markdown.ts';

/** The page of the StreamScaler, from the schema that the API server is given. */
export function crdReference(notice: string): string {
  const [version] = STREAM_SCALER_CRD.spec.versions;
  const { openAPIV3Schema } = version.schema;
  const of = (part: unknown) =>
    table(
      ['field', 'type', 'default', 'what it is'],
      fieldsOf(part as JsonSchema).map((field) => [
        `\`${field.path}\`${field.required ? ' (required)' : ''}`,
        cell(field.type),
        field.default === '' ? '' : `\`${cell(field.default)}\``,
        cell(field.description),
      ]),
    );
  const columns = version.additionalPrinterColumns.map(({ name, description }) => [name, cell(description)]);
  return `${notice}

# StreamScaler

\`${openAPIV3Schema.properties.apiVersion.description}\`, kind \`${STREAM_SCALER_CRD.spec.names.kind}\`, namespaced, short name
\`${STREAM_SCALER_CRD.spec.names.shortNames.join('`, `')}\`. ${openAPIV3Schema.description}
How it decides: [scaling](../explanation/scaling.md).

## spec

${of(openAPIV3Schema.properties.spec)}

## status

${of(openAPIV3Schema.properties.status)}

## Columns of kubectl get

${table(['column', 'what it is'], columns)}
`;
}
