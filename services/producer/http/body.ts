import { type Request, type RequestHandler, raw } from 'express';
import { InvalidEventError } from '../../shared/errors.ts';
import { decodeRecord } from '../../shared/record.ts';
import { HttpProblem } from './problems.ts';

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;
const OTHER_CHARSET = /;\s*charset\s*=\s*(?!"?utf-?8"?\s*(?:;|$))/i;

/**
 * Reads a body of JSON, gzip, deflate or brotli undone, up to `limit` bytes of it: what is more is never kept. A body that
 * announces more is refused unread; express would read it to its end first.
 */
export function readBody(limit: number): RequestHandler {
  const read = raw({ limit, type: (request) => isJson(request.headers['content-type']) });
  return (request, response, next) => {
    if (Number(request.headers['content-length']) > limit) throw tooLarge(limit);
    read(request, response, next);
  };
}

/** The problem of a body over `limit` bytes. */
export function tooLarge(limit: number): HttpProblem {
  return new HttpProblem('body-too-large', `an event may have ${limit} bytes, decompressed`);
}

/**
 * The JSON value in a request that went through `readBody`.
 *
 * @throws HttpProblem 415 for another content type, 400 for a body that is not UTF-8 or not JSON.
 */
export function parseBody(request: Request): unknown {
  const type = request.headers['content-type'];
  if (!isJson(type)) {
    throw new HttpProblem(
      'media-type-unsupported',
      'send the event as JSON in UTF-8, with the header "Content-Type: application/json"',
    );
  }
  const body: unknown = request.body;
  if (!Buffer.isBuffer(body) || body.length === 0) throw new HttpProblem('body-invalid', 'the body is empty');
  try {
    return decodeRecord(body);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    const what = error.code === 'record-not-utf8' ? 'the body is not UTF-8' : 'the body is not JSON';
    throw new HttpProblem('body-invalid', what);
  }
}

function isJson(type: string | undefined): boolean {
  return type !== undefined && JSON_TYPE.test(type) && !OTHER_CHARSET.test(type);
}
