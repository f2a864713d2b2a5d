import { type AuthMode, openApiDocument } from '../../services/producer/http/openapi.ts';
import { PROBLEMS, type ProblemCode } from '../../services/producer/http/problems.ts';
import { fieldsOf, type JsonSchema } from './fields.ts';
import { ADVICE, BODIES, IDEMPOTENCY, OPERATIONS, WHO } from './http-prose.ts';
import { cell, table } from './markdown.ts';

/** As much of our OpenAPI document as the page tells. */
interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    securitySchemes?: Record<string, { type: string; name?: string; description: string }>;
  };
}
interface Operation {
  summary: string;
  parameters?: { name: string; in: string; description: string; example?: string }[];
  requestBody?: { description?: string; content: Record<string, Content> };
  responses: Record<string, Answer>;
}
interface Content {
  schema: Schema;
  example?: unknown;
}
interface Answer {
  description: string;
  headers?: Record<string, { description: string }>;
  content: Record<string, Content>;
}
type Schema = JsonSchema & { $ref?: string; items?: Schema };

const AUTH_MODES: readonly AuthMode[] = ['none', 'api-key', 'jwt'];
const documents = AUTH_MODES.map((mode) => ({ mode, document: openApiDocument('', mode) as OpenApi }));
/** What everybody may send to; what keys and tokens add is told beside it. */
const [{ document: open }] = documents as [(typeof documents)[number]];
const operations = Object.entries(open.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({ name: `${method.toUpperCase()} ${path}`, method, path })),
);
type At = (typeof operations)[number];

/** The page of the producer's HTTP API, from the document that it serves. */
export function httpReference(notice: string): string {
  const rows = operations.map((at) => [
    `[\`${at.name}\`](#${anchor(at.name)})`,
    cell(operationOf(open, at).summary),
  ]);
  return `${notice}

# HTTP API of the producer

${table(
  ['request', 'what it is for'],
  [...rows, ['`GET /openapi.json`', 'This API as OpenAPI 3.1.'], ['`GET /docs`', 'The same as a page.']],
)}

\`/metrics\`, \`/livez\` and \`/readyz\` are on the admin port. Where the examples send to:

\`\`\`sh
URL=http://127.0.0.1:8080
\`\`\`

## Who may send

Everybody, unless \`AUTH\` says otherwise. All but \`/send\` and \`/send/batch\` is open in any case.

${table(['`AUTH`', 'header', 'what it holds'], schemes())}

${WHO}

${operations.map(section).join('\n\n')}

## Bodies

${Object.keys(open.components.schemas).map(body).join('\n\n')}

## Idempotency

${IDEMPOTENCY}

## Problems

Errors are [problem documents](#problem) (RFC 9457). \`Retry-After\` is computed from what waits and how fast it goes.

${table(['status', 'code', 'what is wrong', 'send it again?'], problems())}
`;
}

function operationOf(document: OpenApi, { path, method }: At): Operation {
  const operation = document.paths[path]?.[method];
  if (!operation) throw new Error(`${method} ${path} is not in each document`);
  return operation;
}

function section(at: At): string {
  const { summary, parameters = [], requestBody } = operationOf(open, at);
  const taken = Object.entries(requestBody?.content ?? {});
  const prose = OPERATIONS[at.name];
  const parts = [
    `## ${at.name}`,
    summary,
    `\`\`\`sh\n${curl(at)}\n\`\`\``,
    ...(parameters.length > 0
      ? [
          table(
            ['parameter', 'in', 'what it is'],
            parameters.map(({ name, in: where, description }) => [`\`${name}\``, where, cell(description)]),
          ),
        ]
      : []),
    ...(requestBody?.description ? [requestBody.description] : []),
    ...(taken.length > 0
      ? [
          table(
            ['`Content-Type`', 'body'],
            taken.map(([type, { schema }]) => [`\`${type}\``, named(schema)]),
          ),
        ]
      : []),
    ...(prose === undefined ? [] : [prose]),
    table(['status', 'answer', 'what it says', 'headers'], answers(at)),
  ];
  return parts.join('\n\n');
}

/** The example of an operation, with the headers that have one. */
function curl(at: At): string {
  const { parameters = [], requestBody } = operationOf(open, at);
  const [type, content] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  const headers = parameters.flatMap(({ name, example }) =>
    example === undefined ? [] : [`${name}: ${example}`],
  );
  if (type !== undefined) headers.unshift(`Content-Type: ${type}`);
  const lines = [
    `curl -sS "$URL${at.path}"`,
    ...headers.map((header) => `-H '${header}'`),
    ...(content ? [`-d '${JSON.stringify(content.example)}'`] : []),
  ];
  return lines.join(' \\\n  ');
}

/** One row for each answer, and for each problem of an answer that is one. */
function answers(at: At): string[][] {
  const rows = new Map<string, { cells: string[]; modes: AuthMode[] }>();
  for (const { mode, document } of documents) {
    for (const [status, answer] of Object.entries(operationOf(document, at).responses)) {
      const headers = Object.keys(answer.headers ?? {}).map((name) => `\`${name}\``);
      for (const { key, is, says } of told(answer)) {
        const row = rows.get(`${status} ${key}`) ?? {
          cells: [status, is, says, headers.join(', ')],
          modes: [],
        };
        row.modes.push(mode);
        rows.set(`${status} ${key}`, row);
      }
    }
  }
  return [...rows.values()]
    .toSorted((a, b) => Number(a.cells[0]) - Number(b.cells[0]))
    .map(({ cells: [status = '', is = '', says = '', headers = ''], modes }) => [
      status,
      is,
      modes.includes('none') ? says : `${says} With ${modes.map((mode) => `\`AUTH=${mode}\``).join(' or ')}.`,
      headers,
    ]);
}

function told({ content, description }: Answer): { key: string; is: string; says: string }[] {
  const [schema] = Object.values(content).map((each) => each.schema);
  const codes = schema?.properties?.code?.enum as readonly ProblemCode[] | undefined;
  if (codes) return codes.map((code) => ({ key: code, is: `\`${code}\``, says: `${PROBLEMS[code].title}.` }));
  return [{ key: '', is: schema ? named(schema) : '', says: cell(description) }];
}

/** A body by its name, or by what it is. */
function named(schema: Schema): string {
  if (schema.items) return `array of ${named(schema.items)}`;
  const name = schema.$ref?.replace('#/components/schemas/', '');
  return name === undefined ? cell(schema.description ?? '') : `[${name}](#${anchor(name)})`;
}

function body(name: string): string {
  const schema = open.components.schemas[name] as JsonSchema;
  const rows = fieldsOf(schema).map(({ path, type, required, default: value, description }) => [
    `\`${path}\``,
    path.endsWith('code') ? '[code](#problems)' : cell(type),
    required ? 'yes' : value === '' ? '' : `\`${value}\``,
    cell(description),
  ]);
  const prose = BODIES[name];
  const parts = [
    `### ${name}`,
    table(['field', 'type', 'required, or default', 'what it is'], rows),
    ...(prose ? [prose] : []),
  ];
  return parts.join('\n\n');
}

function schemes(): string[][] {
  return documents.flatMap(({ mode, document }) =>
    Object.values(document.components.securitySchemes ?? {}).map(({ type, name, description }) => [
      `\`${mode}\``,
      type === 'http' ? '`Authorization: Bearer …`' : `\`${name}: …\``,
      cell(description),
    ]),
  );
}

function problems(): string[][] {
  return Object.entries(PROBLEMS).map(([code, { status, title }]) => [
    String(status),
    `\`${code}\``,
    title,
    ADVICE[code as ProblemCode],
  ]);
}

/** As GitHub makes it of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');
}
