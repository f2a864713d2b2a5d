import { HttpProblem } from './problems.ts';

/** What a body may be. */
export type BodyKind = 'json' | 'ndjson' | 'cloudevent' | 'cloudevents-batch';

const OTHER_CHARSET = /;\s*charset\s*=\s*(?!"?utf-?8"?\s*(?:;|$))/i;
const TYPES: readonly [RegExp, BodyKind][] = [
  [/^application\/cloudevents\+json$/, 'cloudevent'],
  [/^application\/cloudevents-batch\+json$/, 'cloudevents-batch'],
  [/^application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines|json-lines)$/, 'ndjson'],
  [/^application\/(?:[\w.-]+\+)?json$/, 'json'],
];

/**
 * Which of the accepted kinds a `Content-Type` is.
 *
 * @throws HttpProblem 415 for any other, and for text that is not UTF-8.
 */
export function bodyKind(
  contentType: string | undefined,
  accepted: readonly BodyKind[],
  hint: string,
): BodyKind {
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const kind = TYPES.find(([pattern]) => pattern.test(type))?.[1];
  if (!kind || !accepted.includes(kind) || OTHER_CHARSET.test(contentType ?? '')) {
    throw new HttpProblem('media-type-unsupported', hint);
  }
  return kind;
}
