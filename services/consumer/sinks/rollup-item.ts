import type { Rollup } from '../state/rollup.ts';
import { minuteOf, rollupFields } from '../state/source-state.ts';
import type { AnsweredItem } from './batch-writer.ts';
import type { WireItem } from './wire.ts';

/** `WireItem.key` of an item of the state table. */
export const stateKey = (item: AnsweredItem): string => `${item.series?.S}\n${item.part?.S}`;
/** A key of the state table. */
export const stateKeyWith = (value: string): string => `{"series":{"S":"${value}"},"part":{"S":"none"}}`;

/**
 * The item of a minute that closed. Its figures are absolute and final, so it may be written again. The minute that is
 * open is in the item of the state, under `rollup`; the two come with one Query of the series.
 */
export function toRollupItem(series: string, source: string, rollup: Rollup): WireItem {
  const part = `minute#${minuteOf(rollup.minute)}`;
  return {
    key: `${series}\n${part}`,
    json:
      `{"series":{"S":${JSON.stringify(series)}},"part":{"S":"${part}"},` +
      `"source":{"S":${JSON.stringify(source)}},${rollupFields(rollup)}}`,
  };
}
