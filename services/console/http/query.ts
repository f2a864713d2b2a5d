import type { Request } from 'express';
import { WeirError } from '../../shared/errors.ts';

/** Longest id and source that the event contract allows, in characters. */
const MAX_LENGTH = 512;

/** A parameter is missing or not usable; the message says which. */
export class BadQueryError extends WeirError {
  constructor(message: string) {
    super('query-invalid', message);
  }
}

/** The named parameters of a request. @throws BadQueryError when one is missing, twice there, or too long. */
export function queryOf<const N extends string>(request: Request, names: readonly N[]): Record<N, string> {
  const query = new URLSearchParams(request.url.split('?', 2)[1] ?? '');
  const found = names.map((name) => {
    const values = query.getAll(name);
    const [value] = values;
    if (values.length !== 1 || value === undefined || value === '')
      throw new BadQueryError(`give ${name} once, and not empty`);
    if (value.length > MAX_LENGTH) throw new BadQueryError(`${name} is longer than ${MAX_LENGTH} characters`);
    return [name, value] as const;
  });
  return Object.fromEntries(found) as Record<N, string>;
}

/** A time in ms since the epoch. @throws BadQueryError when it is none. */
export function time(text: string): number {
  const at = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw new BadQueryError('a time is to be ISO 8601 in UTC, like 2026-01-02T03:04:05.678Z');
  return at;
}
