import { createServer, type Server } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { close, listen } from '../../shared/server.ts';
import { VirtualClock } from '../../testkit/kinesis-double/virtual-clock.ts';
import { JwtAuthenticator } from './jwt.ts';

const ISSUER = 'https://issuer.example.com';
const AUDIENCE = 'weir';
const keys = new Map<string, Awaited<ReturnType<typeof generateKeyPair>>>();

let jwks: Server;
let served: string[];
let answer: 'keys' | 'down' | 'garbage';
let requests: number;
let clock: VirtualClock;
let jwt: JwtAuthenticator;
let stop: AbortController;
let refreshing: Promise<void>;

beforeEach(async () => {
  for (const kid of ['a', 'b']) if (!keys.has(kid)) keys.set(kid, await generateKeyPair('ES256'));
  served = ['a'];
  answer = 'keys';
  requests = 0;
  jwks = createServer((_request, response) => {
    requests++;
    if (answer === 'down') return void response.socket?.destroy();
    if (answer === 'garbage') return void response.end('<html>');
    const of = async (kid: string) => ({ ...(await exportJWK(keys.get(kid)!.publicKey)), kid, alg: 'ES256' });
    void Promise.all(served.map(of)).then((set) => response.end(JSON.stringify({ keys: set })));
  });
  const port = await listen(jwks, 0, '127.0.0.1');
  clock = new VirtualClock(Date.now());
  stop = new AbortController();
  jwt = new JwtAuthenticator(
    {
      issuer: ISSUER,
      audience: AUDIENCE,
      jwksUrl: `http://127.0.0.1:${port}/jwks`,
      algorithms: ['ES256'],
      clockToleranceSeconds: 30,
      sourcesClaim: 'weir_sources',
    },
    { clock, log: pino({ level: 'silent' }) },
  );
  refreshing = Promise.resolve();
});
afterEach(async () => {
  stop.abort();
  await refreshing;
  jwks.closeAllConnections();
  await close(jwks);
});

interface Made {
  kid?: string;
  claims?: Record<string, unknown>;
  signer?: string;
}

function token({ kid = 'a', claims = {}, signer = kid }: Made = {}): Promise<string> {
  const now = Math.floor(clock.now() / 1_000);
  const payload = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'billing',
    exp: now + 300,
    weir_sources: ['bill-*'],
    ...claims,
  };
  return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid }).sign(keys.get(signer)!.privateKey);
}

async function who(made: Made | string): Promise<string> {
  const text = typeof made === 'string' ? made : await token(made);
  const headers = { authorization: `Bearer ${text}` };
  return jwt.authenticate(headers).then(
    ({ client }) => client,
    (error: { reason: string }) => error.reason,
  );
}
const seconds = (offset: number) => Math.floor(clock.now() / 1_000) + offset;
const unsigned = (header: object, claims: object) =>
  `${[header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`;

describe('JSON Web Tokens', () => {
  it('tell the client and the sources that it may send', async () => {
    const identity = await jwt.authenticate({ authorization: `Bearer ${await token()}` });
    expect(identity.client).toBe('billing');
    expect([identity.maySend('bill-7'), identity.maySend('other')]).toEqual([true, false]);
    const asText = await token({ claims: { weir_sources: 'a b-*' } });
    const { maySend } = await jwt.authenticate({ authorization: `Bearer ${asText}` });
    expect([maySend('a'), maySend('b-1'), maySend('c')]).toEqual([true, true, false]);
  });

  it.each([[undefined], [7], [['a', 7]], [{ a: 1 }], [['a*b']]])(
    'with the sources %j may send nothing',
    async (weir_sources) => {
      const { maySend } = await jwt.authenticate({
        authorization: `Bearer ${await token({ claims: { weir_sources } })}`,
      });
      expect([maySend('a'), maySend('default-partition'), maySend('')]).toEqual([false, false, false]);
    },
  );

  it('are refused when anything is wrong with them', async () => {
    const claims: [Record<string, unknown>, string][] = [
      [{ iss: 'https://else.example.com' }, 'invalid'],
      [{ aud: 'else' }, 'invalid'],
      [{ aud: ['else', AUDIENCE] }, 'billing'],
      [{ sub: undefined }, 'invalid'],
      [{ exp: undefined }, 'invalid'],
      [{ exp: seconds(-29) }, 'billing'],
      [{ exp: seconds(-31) }, 'expired'],
      [{ nbf: seconds(29) }, 'billing'],
      [{ nbf: seconds(40) }, 'invalid'],
    ];
    for (const [claim, expected] of claims)
      expect([claim, await who({ claims: claim })]).toEqual([claim, expected]);
    expect(await who({ kid: 'a', signer: 'b' })).toBe('invalid');
    const good = await token();
    expect(await who(`${good.slice(0, -4)}AAAA`)).toBe('invalid');
    for (const text of ['x', 'a.b.c', '..', `${good}.x`]) expect(await who(text)).toBe('invalid');
    const payload = { iss: ISSUER, aud: AUDIENCE, sub: 'billing', exp: seconds(60) };
    expect(await who(unsigned({ alg: 'none' }, payload))).toBe('invalid');
    const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(keys.get('a')!.publicKey)));
    const confused = await new SignJWT(payload).setProtectedHeader({ alg: 'HS256', kid: 'a' }).sign(secret);
    expect(await who(confused)).toBe('invalid');
  });

  it('are looked at again after a minute, and never after they end', async () => {
    const short = await token({ claims: { exp: seconds(20) } });
    expect(await who(short)).toBe('billing');
    clock.advance(19_000);
    expect(await who(short)).toBe('billing');
    clock.advance(32_000);
    expect(await who(short)).toBe('expired');
  });

  it('can not be checked while the JWKS was never had, and are as soon as it is', async () => {
    for (const state of ['down', 'garbage'] as const) {
      answer = state;
      expect(await who({})).toBe('unavailable');
      clock.advance(3_000);
    }
    answer = 'keys';
    expect(await who({})).toBe('billing');
  });

  it('go on through an outage of the JWKS, which is not asked more often for it', async () => {
    expect(await who({})).toBe('billing');
    answer = 'down';
    refreshing = jwt.refreshing(stop.signal);
    for (let minute = 0; minute < 30; minute++) {
      clock.advance(60_000);
      expect(await who({})).toBe('billing');
    }
    const asked = requests;
    const unknown = await Promise.all(
      Array.from({ length: 50 }, (_, i) => who({ kid: `x${i}`, signer: 'b' })),
    );
    // Within the cooldown of the last success; without it, in vain.
    for (const outcome of unknown) expect(['invalid', 'unavailable']).toContain(outcome);
    expect(requests - asked).toBeLessThanOrEqual(1);
  });

  it('of a new key are taken once the set was read again', async () => {
    expect(await who({})).toBe('billing');
    served = ['a', 'b'];
    refreshing = jwt.refreshing(stop.signal);
    clock.advance(3_000);
    await expect
      .poll(async () => {
        clock.advance(600_000);
        return who({ kid: 'b' });
      })
      .toBe('billing');
  });
});
