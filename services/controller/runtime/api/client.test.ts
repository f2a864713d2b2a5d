import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { FakeApiServer, type Fault } from '../../../testkit/kube/fake-api-server.ts';
import { KubeClient, type KubeObject, type Resource } from './client.ts';
import { type ApiError, apiErrorOf } from './errors.ts';
import { Transport } from './transport.ts';

const THINGS: Resource = { group: 'test.dev', version: 'v1', plural: 'things', namespaced: true };
const COLLECTION = 'apis/test.dev/v1/things';

let server: FakeApiServer;
let transport: Transport;
let client: KubeClient;

beforeAll(async () => {
  server = await FakeApiServer.start();
  transport = new Transport(server.kubeConfig(), systemClock, 'test');
  client = new KubeClient(transport);
});
afterAll(async () => {
  transport.close();
  await server.stop();
});
beforeEach(() => {
  server.fault = () => undefined;
});

const get = (timeoutMs = 5_000) => client.get(THINGS, { namespace: 'a', name: 'b' }, { timeoutMs });
const failure = async (call: Promise<unknown>) =>
  await call.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error as ApiError,
  );

describe('errors of the API server', () => {
  it.each<[Exclude<Fault, undefined>, string, boolean, number?]>([
    [{ status: 404, reason: 'NotFound' }, 'kube-not-found', false],
    [{ status: 409, reason: 'Conflict' }, 'kube-conflict', true],
    [{ status: 409, reason: 'AlreadyExists' }, 'kube-already-exists', false],
    [{ status: 422, reason: 'Invalid' }, 'kube-invalid', false],
    [{ status: 400, reason: 'BadRequest' }, 'kube-invalid', false],
    [{ status: 401, reason: 'Unauthorized' }, 'kube-unauthorized', true],
    [{ status: 403, reason: 'Forbidden' }, 'kube-forbidden', true],
    [{ status: 410, reason: 'Expired' }, 'kube-gone', true],
    [{ status: 410, reason: 'Gone' }, 'kube-gone', true],
    [{ status: 429, reason: 'TooManyRequests', retryAfterSeconds: 7 }, 'kube-too-many-requests', true, 7_000],
    [{ status: 500, reason: 'InternalError' }, 'kube-unavailable', true],
    [{ status: 504, reason: 'Timeout' }, 'kube-timeout', true],
    [{ status: 503, body: '<html>a proxy</html>' }, 'kube-unavailable', true],
    [{ status: 429, body: 'slow down', retryAfterSeconds: 1 }, 'kube-too-many-requests', true, 1_000],
    [{ status: 418, body: '' }, 'kube-refused', false],
    [{ status: 200, body: 'not json' }, 'kube-bad-answer', true],
    ['cut', 'kube-network', true],
  ])('%o is %s', async (fault, code, retryable, retryAfterMs) => {
    server.fault = () => fault;
    expect(await failure(get())).toMatchObject({ code, retryable, retryAfterMs });
  });

  it('are time-outs when nothing is answered', async () => {
    server.fault = () => 'hang';
    expect(await failure(get(50))).toMatchObject({ code: 'kube-timeout', retryable: true });
    const watch = client.watch(
      THINGS,
      { resourceVersion: '1', timeoutSeconds: 1, signal: AbortSignal.timeout(50) },
      () => {},
    );
    expect(await failure(watch.next())).toMatchObject({ kind: 'network' });
  });

  it('say what was asked and what the server said, without credentials', async () => {
    server.fault = () => ({ status: 403, reason: 'Forbidden' });
    const { message } = await failure(get());
    expect(message).toBe('GET /apis/test.dev/v1/namespaces/a/things/b: 403 refused: Forbidden');
  });

  it('do not trust a Retry-After that is none', () => {
    for (const header of ['soon', '-1', 'Infinity', 'Wed, 21 Oct 2026 07:28:00 GMT']) {
      expect(apiErrorOf('x', 429, '', header).retryAfterMs).toBeUndefined();
    }
    // A timer of more than 24 days fires at once.
    expect(apiErrorOf('x', 429, '', '9999999999').retryAfterMs).toBe(300_000);
  });

  it('keep a long answer of a proxy short', () => {
    expect(apiErrorOf('x', 502, 'a'.repeat(100_000)).message.length).toBeLessThan(400);
  });
});

describe('the client', () => {
  it('names objects as the API server does, and lets no name out of its path', async () => {
    await failure(client.get(THINGS, { namespace: 'a/../..', name: '../secrets' }));
    expect(server.requests.at(-1)?.path).toBe('/apis/test.dev/v1/namespaces/a%2F..%2F../things/..%2Fsecrets');
    await client.list(THINGS, { namespace: 'a', limit: 2, labelSelector: 'x=y' });
    expect(server.requests.at(-1)).toMatchObject({ path: '/apis/test.dev/v1/namespaces/a/things' });
    expect(Object.fromEntries(server.requests.at(-1)!.query)).toEqual({ limit: '2', labelSelector: 'x=y' });
  });

  it('writes with a content type for each patch, and with the version it read', async () => {
    const made = await client.create<KubeObject>(THINGS, 'a', { metadata: { name: 'w' } });
    const at = { namespace: 'a', name: 'w' };
    await client.patch(THINGS, at, 'merge', { color: 'red' });
    expect(server.requests.at(-1)?.contentType).toBe('application/merge-patch+json');
    await client.apply(THINGS, at, 'me', { status: { ok: true } }, { subresource: 'status' });
    expect(server.requests.at(-1)).toMatchObject({
      contentType: 'application/apply-patch+yaml',
      method: 'PATCH',
    });
    expect(server.requests.at(-1)?.query.get('fieldManager')).toBe('me');
    expect(server.get(COLLECTION, 'a', 'w')).toMatchObject({ color: 'red', status: { ok: true } });
    expect(await failure(client.update(THINGS, at, made))).toMatchObject({ kind: 'conflict' });
    await client.delete(THINGS, at);
    expect(await failure(client.get(THINGS, at))).toMatchObject({ kind: 'not-found' });
  });

  it('keeps its connections', async () => {
    let connections = 0;
    const before = server.requests.length;
    for (let i = 0; i < 5; i++) await client.list(THINGS);
    connections = new Set(server.requests.slice(before).map(({ port }) => port)).size;
    expect(connections).toBe(1);
  });

  it('refuses a list that is none', async () => {
    server.fault = () => ({ status: 200, body: '{"items":"no"}' });
    expect(await failure(client.list(THINGS))).toMatchObject({ kind: 'bad-answer' });
  });
});
