/** How shards are read, as `FETCH` says. */
export const FETCH_MODES = ['polling', 'fanout', 'auto'] as const;

export type FetchMode = (typeof FETCH_MODES)[number];
