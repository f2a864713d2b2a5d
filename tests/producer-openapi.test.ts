import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../services/producer/auth/api-keys.ts';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';

const run = promisify(execFile);
const STREAM = 'stream';
let kinesis: KinesisDouble;
let producer: ServiceProcess;
/** As `producer`, for clients with a key, and for those with a token while the issuer is not to be had. */
let guarded: ServiceProcess;
let tokens: ServiceProcess;
let document: OpenApi;
let folder: string;
const { key, entry } = createApiKey('a', ['mine']);

interface Answer {
  description: string;
  headers?: Record<string, object>;
  content: Record<string, { schema: object }>;
}
interface OpenApi {
  openapi: string;
  paths: Record<string, Record<string, { responses: Record<string, Answer>; security?: object[] }>>;
  components: { schemas: Record<string, object>; securitySchemes?: Record<string, object> };
}

beforeAll(async () => {
  kinesis = await startKinesisDouble({ limits: 'none' });
  kinesis.createStream(STREAM, 1);
  folder = await mkdtemp(join(tmpdir(), 'openapi-'));
  const AUTH_KEYS_FILE = join(folder, 'keys.json');
  await writeFile(AUTH_KEYS_FILE, JSON.stringify({ keys: [entry] }));
  const start = (env: Record<string, string>) =>
    spawnService({
      name: 'producer',
      entry: 'services/producer/main.ts',
      env: {
        STREAM_NAME: STREAM,
        AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint,
        EVENT_DEADLINE_MS: '400',
        SOURCE_EVENTS_PER_SECOND: '5',
        REQUEST_TIMEOUT_MS: '1000',
        ...env,
      },
    });
  [producer, guarded, tokens] = await Promise.all([
    start({}),
    start({ AUTH: 'api-key', AUTH_KEYS_FILE }),
    start({
      AUTH: 'jwt',
      JWT_ISSUER: 'https://issuer.example.com',
      JWT_AUDIENCE: 'weir',
      JWT_JWKS_URL: 'http://127.0.0.1:9/jwks',
    }),
  ]);
  document = (await (await get('/openapi.json')).json()) as OpenApi;
});
afterAll(async () => {
  await Promise.all([producer.stop(), guarded.stop(), tokens.stop()]);
  await kinesis.stop();
  await rm(folder, { recursive: true });
});

const get = (path: string, of = producer) => fetch(`http://127.0.0.1:${of.ports.port}${path}`);
function post(path: string, body: string, headers: Record<string, string> = {}, to = producer) {
  return fetch(`http://127.0.0.1:${to.ports.port}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

/** Sends what no client of HTTP sends, with these header lines. */
async function raw(path: string, lines: string, body = '{}'): Promise<Response> {
  const socket = connect(producer.ports.port ?? 0, '127.0.0.1');
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${lines}content-length: 2\r\n\r\n${body}`,
  );
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const [head = '', answer = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n', 2);
  const [first = '', ...others] = head.split('\r\n');
  const headers = others.map((line) => /^(.+?): (.*)$/.exec(line)?.slice(1) as [string, string]);
  return new Response(answer, { status: Number(first.split(' ')[1]), headers });
}

const slow = (path: string) => raw(path, '', '{');

/** Sends a request while every PutRecords call fails, after which Kinesis is well again. */
async function whileDown(request: () => Promise<Response>): Promise<Response> {
  kinesis.faults.next({ operation: 'PutRecords', kind: 'reset', times: 1e6 });
  const response = await request();
  kinesis.faults.clear();
  await expect.poll(async () => (await post('/send', '{"source":"probe","amount":1}')).status).not.toBe(503);
  return response;
}

const KEY = { 'idempotency-key': 'k' };
const CE = { 'content-type': 'application/cloudevents+json' };
const REQUESTS: [string, number, () => Promise<Response>][] = [
  ['POST /send', 200, () => post('/send', '{"source":"a","amount":"1.5","unit":"kPa"}', KEY)],
  [
    'POST /send',
    200,
    () => post('/send', '{"specversion":"1.0","id":"1","source":"ce","type":"t","data":{"amount":1}}', CE),
  ],
  ['POST /send', 400, () => post('/send', 'x')],
  ['POST /send', 408, () => slow('/send')],
  ['POST /send', 413, () => post('/send', `{"pad":"${'x'.repeat(300_000)}"}`)],
  ['POST /send', 415, () => post('/send', 'x', { 'content-type': 'text/plain' })],
  ['POST /send', 417, () => raw('/send', 'expect: foo\r\n')],
  ['POST /send', 431, () => raw('/send', `pad: ${'x'.repeat(20_000)}\r\n`)],
  ['POST /send', 400, () => raw('/send', 'no header\r\n')],
  ['POST /send', 422, () => post('/send', '{"source":"b","amount":"much"}')],
  ['POST /send', 422, () => post('/send', '{"source":"a","amount":2}', KEY)],
  [
    'POST /send',
    429,
    async () => {
      await post('/send/batch', JSON.stringify(Array(10).fill({ source: 'busy', amount: 1 })));
      return post('/send', '{"source":"busy","amount":1}');
    },
  ],
  ['POST /send', 503, () => whileDown(() => post('/send', '{"source":"c","amount":1}'))],
  [
    'POST /send/batch',
    200,
    () => post('/send/batch', '[{"source":"d","amount":1},{"source":"e","amount":2,"id":"mine"}]'),
  ],
  ['POST /send/batch', 200, () => post('/send/batch?compact=true', '[{"source":"d","amount":1}]')],
  ['POST /send/batch', 207, () => post('/send/batch', '[{"source":"f","amount":1},{"amount":"much"}]')],
  [
    'POST /send/batch',
    207,
    () => post('/send/batch?compact=true', JSON.stringify(Array(15).fill({ source: 'g', amount: 1, id: 7 }))),
  ],
  ['POST /send/batch', 400, () => post('/send/batch', '{}')],
  ['POST /send/batch', 408, () => slow('/send/batch')],
  ['POST /send/batch', 417, () => raw('/send/batch', 'expect: foo\r\n')],
  ['POST /send/batch', 431, () => raw('/send/batch', `pad: ${'x'.repeat(20_000)}\r\n`)],
  ['POST /send/batch', 413, () => post('/send/batch', JSON.stringify(Array(10_001).fill(1)))],
  ['POST /send/batch', 415, () => post('/send/batch', '', { 'content-type': 'text/csv' })],
  [
    'POST /send/batch',
    503,
    () =>
      whileDown(async () => {
        // Once the sink is known to be down, one request at a time asks it; others are refused before they are read.
        let refused: Response | undefined;
        while (!refused) {
          const both = await Promise.all(
            ['h', 'i'].map((source) => post('/send/batch', JSON.stringify([{ source, amount: 1 }]))),
          );
          refused = both.find(({ status }) => status === 503);
        }
        return refused;
      }),
  ],
  ['GET /health', 200, () => get('/health')],
  ['GET /ready', 200, () => get('/ready')],
];
/** Not to be had from a producer that is well and takes everybody: shown by the tests of the parts. */
const NOT_HERE = ['POST /send 500', 'POST /send/batch 500', 'GET /ready 503'];

const KEYED = { authorization: `Bearer ${key}` };
const UNKNOWN = { authorization: 'Bearer x.y.z' };
const JSON_TOKEN = { authorization: 'Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA' };
/** What only those answer who ask for keys or tokens. */
const AUTH_REQUESTS: [string, number, () => ServiceProcess, () => Promise<Response>][] = [
  ['POST /send', 200, () => guarded, () => post('/send', '{"source":"mine","amount":1}', KEYED, guarded)],
  ['POST /send', 401, () => guarded, () => post('/send', '{"amount":1}', {}, guarded)],
  ['POST /send', 403, () => guarded, () => post('/send', '{"source":"other","amount":1}', KEYED, guarded)],
  ['POST /send/batch', 401, () => guarded, () => post('/send/batch', '[{"amount":1}]', UNKNOWN, guarded)],
  [
    'POST /send/batch',
    207,
    () => guarded,
    () => post('/send/batch', '[{"source":"mine","amount":1},{"source":"other","amount":1}]', KEYED, guarded),
  ],
  ['POST /send', 401, () => tokens, () => post('/send', '{"amount":1}', UNKNOWN, tokens)],
  ['POST /send', 503, () => tokens, () => post('/send', '{"amount":1}', JSON_TOKEN, tokens)],
  ['POST /send/batch', 503, () => tokens, () => post('/send/batch', '[]', JSON_TOKEN, tokens)],
];

describe('the OpenAPI document', () => {
  it.each([
    ...REQUESTS.map(([operation, status, request]) => [operation, status, () => producer, request] as const),
    ...AUTH_REQUESTS,
  ])('says what %s answers with %i', async (operation, status, of, request) => {
    const document = (await (await get('/openapi.json', of())).json()) as OpenApi;
    const response = await request();
    expect(response.status).toBe(status);
    expect(response.headers.has('www-authenticate')).toBe(status === 401);
    const [method = '', path = ''] = operation.toLowerCase().split(' ');
    const answer = document.paths[path]?.[method]?.responses[status];
    const type = response.headers.get('content-type')?.split(';', 1)[0] ?? '';
    const schema = answer?.content[type]?.schema;
    expect(schema).toBeDefined();
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    (formats as unknown as (ajv: Ajv2020) => void)(ajv);
    const validate = ajv.compile({ ...schema, components: document.components });
    const body = await response.json();
    expect({ valid: validate(body), errors: validate.errors }).toEqual({ valid: true, errors: null });
    if (answer?.headers?.['Retry-After'] && status !== 207) {
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    }
  });

  it('has an example for each operation on its page, and they work', async () => {
    const page = await readFile('docs/reference/http.md', 'utf8');
    const examples = page.split(/^## (?=[A-Z]+ \/)/m).slice(1);
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(examples.map((section) => section.split('\n', 1)[0])).toEqual(operations);
    const env = { PATH: process.env.PATH, URL: `http://127.0.0.1:${producer.ports.port}` };
    for (const section of examples) {
      const [, example = ''] = /```sh\n(.*?)```/s.exec(section) ?? [];
      expect(example).toMatch(/^curl /);
      // One that is answered with a problem ends with an error.
      await run('bash', ['-c', `curl() { command curl --fail-with-body "$@"; }; ${example}`], { env });
    }
  });

  it('has no answer that was not tried', () => {
    const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { responses }]) =>
        Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`),
      ),
    );
    const tried = REQUESTS.map(([operation, status]) => `${operation} ${status}`);
    expect([...new Set([...tried, ...NOT_HERE])].sort()).toEqual(documented.sort());
  });

  it('says how clients say who they are, where they have to', async () => {
    const schemesOf = async (of: ServiceProcess) => {
      const { components, paths } = (await (await get('/openapi.json', of)).json()) as OpenApi;
      const schemes = Object.keys(components.securitySchemes ?? {});
      for (const path of ['/send', '/send/batch']) {
        expect((paths[path]?.post?.security ?? []).flatMap(Object.keys)).toEqual(schemes);
      }
      expect(paths['/health']?.get?.security).toBeUndefined();
      return schemes;
    };
    expect(await Promise.all([producer, guarded, tokens].map(schemesOf))).toEqual([
      [],
      ['bearer', 'header'],
      ['bearer'],
    ]);
  });

  it('is of version 3.1, and its references lead somewhere', () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    const references = JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g);
    for (const [, name] of references) expect(document.components.schemas).toHaveProperty(name!);
  });

  it('is shown by a page that loads nothing and runs nothing', async () => {
    const response = await get('/docs');
    const html = await response.text();
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    expect(response.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-/,
    );
    expect(html).not.toMatch(/<script|https?:\/\/|src=/);
    for (const path of Object.keys(document.paths)) expect(html).toContain(path);
  });
});
