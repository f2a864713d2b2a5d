import { describe, expect, it } from 'vitest';
import { WeirError } from './errors.ts';
import { createLogger, serializeError } from './log.ts';

function lines(): { log: ReturnType<typeof createLogger>; out: string[] } {
  const out: string[] = [];
  return { log: createLogger('test', 'info', { write: (line: string) => void out.push(line) }), out };
}

describe('the log', () => {
  it('is one JSON line an entry, whatever a client wrote', () => {
    const { log, out } = lines();
    log.info({ source: 'a\n{"level":"fatal"}\u001b[2J' }, 'seen');
    expect(out).toHaveLength(1);
    for (const raw of ['\n', '\u001b']) expect(out[0]!.trimEnd()).not.toContain(raw);
    expect(JSON.parse(out[0]!)).toMatchObject({ service: 'test', level: 'info', msg: 'seen' });
  });

  describe.each(['authorization', 'cookie', 'x-api-key'])('leaves out %s', (name) => {
    it.each([
      ['in headers', { headers: { [name]: 'secret' } }],
      ['in the headers of a request', { req: { headers: { [name]: 'secret' } } }],
      ['in another object', { request: { [name]: 'secret' } }],
      ['by itself', { [name]: 'secret' }],
    ])('%s', (_, fields) => {
      const { log, out } = lines();
      log.info(fields, 'request');
      expect(out[0]).not.toContain('secret');
      expect(out[0]).toContain('[redacted]');
    });
  });

  it('keeps of an SDK error what helps, and not the request with its signature', () => {
    const error = Object.assign(new Error('no'), {
      $metadata: { httpStatusCode: 400, requestId: 'aws-1' },
      $response: { headers: { authorization: 'secret' } },
    });
    const logged = serializeError(new WeirError('outer', 'failed', { cause: error }));
    expect(logged).toMatchObject({ code: 'outer', cause: { httpStatus: 400, awsRequestId: 'aws-1' } });
    expect(JSON.stringify(logged)).not.toContain('secret');
  });
});
