/** Who sent a request, and what it may send. */
export interface Identity {
  /** Name of the client: of its API key, or the `sub` of its token. Its quota goes by it. */
  client: string;
  maySend(source: string): boolean;
}

/** A source as it is, or the beginning of sources with a `*` behind it; `*` alone is all of them. */
export const SOURCE_PATTERN = /^[^*]{0,256}\*$|^[^*]{1,256}$/u;

/** @param patterns each of `SOURCE_PATTERN`. @returns whether a source is one of them; none for no patterns. */
export function sourceMatcher(patterns: readonly string[]): (source: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith('*')));
  const prefixes = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1));
  return (source) => exact.has(source) || prefixes.some((prefix) => source.startsWith(prefix));
}
