import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiKey } from '../services/producer/auth/api-keys.ts';
import { close, listen } from '../services/shared/server.ts';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { launch } from '../services/testkit/processes.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { eventsOf } from '../services/testkit/stream-events.ts';

const STREAM = 'stream';
const billing = createApiKey('billing', ['billing', 'invoice-*']);
const sensors = createApiKey('sensors', ['*']);
let kinesis: KinesisDouble;
let producer: ServiceProcess | undefined;
let folder: string;
let keysFile: string;
let output: string[];

beforeEach(async () => {
  kinesis = await startKinesisDouble({ limits: 'none' });
  kinesis.createStream(STREAM, 2);
  folder = await mkdtemp(join(tmpdir(), 'auth-'));
  keysFile = join(folder, 'keys.json');
  output = [];
  await writeKeys(billing);
});
afterEach(async () => {
  await producer?.stop();
  producer = undefined;
  await kinesis.stop();
  await rm(folder, { recursive: true });
});

async function writeKeys(...made: (typeof billing)[]): Promise<void> {
  await writeFile(`${keysFile}.new`, JSON.stringify({ keys: made.map(({ entry }) => entry) }));
  await rename(`${keysFile}.new`, keysFile);
}

const environment = (env: Record<string, string>) => ({
  STREAM_NAME: STREAM,
  AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint,
  ...env,
});

async function start(env: Record<string, string>): Promise<void> {
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: environment(env),
    onLine: (line) => output.push(line),
  });
}

const url = (path: string) => `http://127.0.0.1:${producer?.ports.port}${path}`;
const admin = async () => (await fetch(`http://127.0.0.1:${producer?.ports.adminPort}/metrics`)).text();

async function post(path: string, body: object, headers: Record<string, string> = {}) {
  const response = await fetch(url(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { code?: string; results?: { status: number; code?: string }[] };
  return { status: response.status, headers: response.headers, answer };
}

const bearer = ({ key }: typeof billing) => ({ authorization: `Bearer ${key}` });
const streamed = () => kinesis.records(STREAM).flatMap(eventsOf);

describe('AUTH=api-key', () => {
  it('takes events of who has a key, of the sources of that key only', async () => {
    await start({ AUTH: 'api-key', AUTH_KEYS_FILE: keysFile });
    const event = { source: 'billing', amount: 1 };
    const nobody = await post('/send', event);
    expect([nobody.status, nobody.answer.code, nobody.headers.get('www-authenticate')]).toEqual([
      401,
      'unauthenticated',
      'Bearer realm="weir"',
    ]);
    for (const headers of [bearer(sensors), { authorization: 'Basic eDp5' }, { 'x-api-key': 'weir' }]) {
      const stranger = await post('/send', event, headers);
      expect([stranger.status, stranger.headers.get('www-authenticate')]).toEqual([
        401,
        'Bearer realm="weir", error="invalid_token"',
      ]);
    }
    expect((await post('/send', event, bearer(billing))).status).toBe(200);
    expect((await post('/send', event, { 'x-api-key': billing.key })).status).toBe(200);
    const other = await post('/send', { source: 'sensor-1', amount: 1 }, bearer(billing));
    expect([other.status, other.answer.code]).toEqual([403, 'source-forbidden']);
    const sources = ['invoice-1', 'billing-2', 'billing', undefined];
    const { status, answer } = await post(
      '/send/batch',
      sources.map((source) => ({ source, amount: 2 })),
      bearer(billing),
    );
    expect([status, answer.results?.map((result) => result.status)]).toEqual([207, [200, 403, 200, 403]]);
    expect(
      streamed()
        .map(({ event: { source } }) => source)
        .sort(),
    ).toEqual(['billing', 'billing', 'billing', 'invoice-1']);
    for (const path of ['/health', '/ready', '/openapi.json', '/docs'])
      expect((await fetch(url(path))).status).toBe(200);
    const metrics = await admin();
    expect(metrics).toMatch(/auth_failures_total\{reason="missing",[^}]*\} 1$/m);
    expect(metrics).toMatch(/auth_failures_total\{reason="invalid",[^}]*\} 3$/m);
    expect(metrics).toMatch(/events_total\{outcome="unauthenticated",[^}]*\} 4$/m);
    for (const { key } of [billing, sensors]) expect(output.join('\n')).not.toContain(key.slice(-43));
  });

  it('reads a changed file while it runs, and keeps the keys before when that is bad', async () => {
    await start({ AUTH: 'api-key', AUTH_KEYS_FILE: keysFile });
    const asSensors = async () => (await post('/send', { amount: 1 }, bearer(sensors))).status;
    expect(await asSensors()).toBe(401);
    await writeKeys(sensors);
    await expect.poll(asSensors, { timeout: 8_000, interval: 100 }).toBe(200);
    expect((await post('/send', { source: 'billing', amount: 1 }, bearer(billing))).status).toBe(401);
    await writeFile(keysFile, 'oh no');
    await expect
      .poll(admin, { timeout: 8_000, interval: 100 })
      .toMatch(/key_file_reads_total\{outcome="failed",[^}]*\} 1$/m);
    expect(await asSensors()).toBe(200);
  });

  it('counts a quota by client, wherever its requests come from', async () => {
    await writeKeys(billing, sensors);
    await start({
      AUTH: 'api-key',
      AUTH_KEYS_FILE: keysFile,
      CLIENT_EVENTS_PER_SECOND: '1',
      TRUST_PROXY: '1',
    });
    const status = async (as: typeof billing, from: string) =>
      (await post('/send', { source: 'billing', amount: 1 }, { ...bearer(as), 'x-forwarded-for': from }))
        .status;
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push(await status(billing, `10.0.0.${i}`));
    expect(statuses).toEqual([200, 200, 429, 429]);
    expect(await status(sensors, '10.0.0.1')).toBe(200);
  });

  it.each([
    [{ AUTH: 'api-key' }, 'AUTH=api-key needs AUTH_KEYS_FILE'],
    [{ AUTH: 'api-key', AUTH_KEYS_FILE: '/nowhere' }, 'ENOENT'],
    [
      { AUTH: 'jwt', JWT_JWKS_URL: 'http://a.example.com', JWT_ISSUER: 'a', JWT_AUDIENCE: 'b' },
      'JWT_JWKS_URL must be https',
    ],
    [{ JWT_ALGORITHMS: 'HS256', CORS_ORIGINS: 'https://a.example.com/' }, 'JWT_ALGORITHMS[^]*CORS_ORIGINS'],
  ])('does not start with %j', async (env, message) => {
    const started = launch({
      name: 'producer',
      args: ['services/producer/main.ts'],
      env: { ...environment(env), PORT: '0', ADMIN_PORT: '0' },
      ready: () => undefined,
    });
    await expect(started).rejects.toThrow(new RegExp(`\\(78\\)[\\s\\S]*${message}`));
  });
});

describe('AUTH=jwt', () => {
  let jwks: Server;
  afterEach(async () => {
    jwks.closeAllConnections();
    await close(jwks);
  });

  it('takes events of who has a token of the issuer', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256');
    const set = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'RS256' }] });
    jwks = createServer((_request, response) => void response.end(set));
    const port = await listen(jwks, 0, '127.0.0.1');
    await start({
      AUTH: 'jwt',
      JWT_ISSUER: 'https://issuer.example.com',
      JWT_AUDIENCE: 'weir',
      JWT_JWKS_URL: `http://127.0.0.1:${port}/`,
    });
    const token = await new SignJWT({ weir_sources: ['billing'] })
      .setProtectedHeader({ alg: 'RS256', kid: 'k' })
      .setIssuer('https://issuer.example.com')
      .setAudience('weir')
      .setSubject('billing-service')
      .setExpirationTime('5m')
      .sign(privateKey);
    const headers = { authorization: `Bearer ${token}` };
    const send = async (source: string, more = headers) =>
      (await post('/send', { source, amount: 1 }, more)).status;
    expect([await send('billing'), await send('billing'), await send('other')]).toEqual([200, 200, 403]);
    expect(await send('billing', { authorization: `Bearer ${token.slice(0, -9)}` })).toBe(401);
    expect(output.join('\n')).not.toContain(token.slice(-40));
  });
});

describe('a client at the front door', () => {
  it.each([
    ['none', '6.6.6.6', '127.0.0.1'],
    // What a client put there itself stands before what the proxy adds.
    ['1', '1.1.1.1, 6.6.6.6', '6.6.6.6'],
  ])('with TRUST_PROXY=%s and X-Forwarded-For: %s is %s', async (TRUST_PROXY, forwarded, sourceIp) => {
    await start({ TRUST_PROXY });
    await post(
      '/send',
      { amount: 1, source_ip: '9.9.9.9' },
      { 'x-forwarded-for': forwarded, 'x-real-ip': '9.9.9.9', forwarded: 'for=9.9.9.9' },
    );
    expect(streamed().map(({ event }) => event.source_ip)).toEqual([sourceIp]);
  });

  it('may be a web page of the listed origins only, and gets the headers that keep a browser safe', async () => {
    await start({ CORS_ORIGINS: 'https://a.example.com,https://b.example.com' });
    const preflight = (origin: string) =>
      fetch(url('/send'), {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization',
        },
      });
    const allowed = await preflight('https://b.example.com');
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([
      204,
      'https://b.example.com',
    ]);
    expect(allowed.headers.get('access-control-allow-headers')).toBe('authorization');
    expect(
      (await preflight('https://evil.example.com')).headers.get('access-control-allow-origin'),
    ).toBeNull();
    const { headers } = await post('/send', { amount: 1 }, { origin: 'https://a.example.com' });
    expect(headers.get('access-control-allow-origin')).toBe('https://a.example.com');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers.get('strict-transport-security')).toMatch(/^max-age=/);
    expect(headers.get('x-powered-by')).toBeNull();
  });

  it('gets no CORS headers unless origins are listed', async () => {
    await start({});
    const response = await fetch(url('/send'), {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example.com' },
    });
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([405, null]);
  });
});
