import { WeirError } from '../../shared/errors.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import { AnotherStreamError } from '../errors.ts';
import type { AnyDetector } from '../pipeline/scoring.ts';
import type { StreamRecord } from '../record.ts';
import { attributeJson, numberJson } from '../sinks/wire.ts';
import { DedupeWindow } from './dedupe-window.ts';
import type { Rollup } from './rollup.ts';
import { includes, isOfAnotherStream, isWatermark, type Watermark, watermarkOf } from './watermark.ts';

/** `part` of the item that holds the state of a series; its rollups stand beside it. */
export const STATE_PART = 'state';
/** Bytes of an entry besides its window and its detectors' states: keys, position, the objects themselves. */
const OVERHEAD_BYTES = 600;
/** What a stateful detector's state may take; encoded it is at most 1 KiB. */
const DETECTOR_BYTES = 2_048;

/** What a state is made of, by configuration. */
export interface StateLayout {
  /** The champion first. */
  detectors: readonly AnyDetector[];
  /** Ids that a window keeps; 0 keeps none. */
  dedupeWindow: number;
  rollups: boolean;
}

/** Told when what was stored can't be used: `part` is a detector's name, `rollup`, or `watermark` for all of it. */
export type OnReset = (part: string, error: unknown) => void;

/**
 * Everything that is kept of one series between its records. It changes in place, record by record, and goes to the
 * table whole in one write, with the position of the last record it includes: there is never a part of it that is
 * ahead of another.
 */
export class SourceState {
  readonly series: string;
  readonly window: DedupeWindow | undefined;
  /** One for each of the layout's detectors. */
  readonly detectorStates: unknown[];
  rollup: Rollup | undefined;
  /** Its item has a minute that stands nowhere else, maybe of a time when `STORE` was `anomalies`. */
  readonly hasMinute: boolean;
  /** A stored watermark that is none, as the wire carries it: it orders nothing, so a write replaces just that. */
  readonly unusableWatermark: string | undefined;
  /** Changed since it was loaded or saved. */
  dirty = false;
  /** The slice that last met it. */
  slice = 0;
  readonly #layout: StateLayout;
  /** Of the row as it was loaded; `undefined` once a record after it came. */
  #loaded: Watermark | undefined;
  #last:
    | { shardId: string; sequenceNumber: string; subSequenceNumber: number | undefined; arrivedAt: number }
    | undefined;

  /** @param stored its item, or `undefined` for a series that has none. */
  constructor(series: string, layout: StateLayout, stored: Row | undefined, onReset: OnReset) {
    this.series = series;
    this.#layout = layout;
    const watermark = stored?.watermark;
    // Without the position that it includes, nobody can tell which records are to come: it begins anew, as a whole.
    const row = isWatermark(watermark?.S) ? stored : undefined;
    if (stored && !row) onReset('watermark', unusable('its watermark is no position'));
    this.unusableWatermark = row || !watermark ? undefined : attributeJson(watermark);
    this.#loaded = row?.watermark?.S;
    const ids = row?.dedupe?.B;
    if (layout.dedupeWindow > 0) {
      this.window = ids
        ? DedupeWindow.decode(ids, layout.dedupeWindow)
        : new DedupeWindow(layout.dedupeWindow);
    }
    this.detectorStates = layout.detectors.map((detector) => loadDetector(detector, row, onReset));
    this.rollup = layout.rollups ? loadRollup(row, onReset) : undefined;
    this.hasMinute = layout.rollups || row?.rollup !== undefined;
  }

  /** Estimate of what it takes in memory. */
  get bytes(): number {
    const stateful = this.#layout.detectors.filter(({ stateless }) => !stateless).length;
    return OVERHEAD_BYTES + this.series.length * 2 + (this.window?.bytes ?? 0) + stateful * DETECTOR_BYTES;
  }

  /**
   * True for a record that the state includes: its result is stored, since results are stored before states.
   *
   * @throws AnotherStreamError when it only seems so.
   */
  includes(record: StreamRecord): boolean {
    const loaded = this.#loaded;
    if (loaded === undefined) return false;
    if (includes(loaded, record)) {
      if (isOfAnotherStream(loaded, record)) throw new AnotherStreamError(`the state of ${this.series}`);
      return true;
    }
    this.#loaded = undefined; // the stream is in order: so is all that follows
    return false;
  }

  /** `record` is being taken in. */
  advance({ shardId, sequenceNumber, subSequenceNumber, arrivedAt }: StreamRecord): void {
    this.#last = { shardId, sequenceNumber, subSequenceNumber, arrivedAt };
    this.dirty = true;
  }

  /** When the last record that it took in arrived, in ms since the epoch. */
  get arrivedAt(): number {
    return this.#last?.arrivedAt ?? 0;
  }

  /** Position of the last record it took in. @throws Error when it took in none. */
  get watermark(): Watermark {
    if (!this.#last) throw new Error('a state that took in no record has no position');
    return watermarkOf(this.#last.shardId, this.#last.sequenceNumber, this.#last.subSequenceNumber);
  }

  /** Its attributes but for key and watermark, as the wire carries them: name to JSON text. */
  attributes(active: (detector: AnyDetector) => boolean): Map<string, string> {
    const attributes = new Map<string, string>();
    if (this.window) attributes.set('dedupe', bytesJson(this.window.encode()));
    for (const [i, detector] of this.#layout.detectors.entries()) {
      if (detector.stateless || !active(detector)) continue;
      attributes.set(
        attributeOf(detector, detector.stateVersion),
        bytesJson(detector.encode(this.detectorStates[i])),
      );
    }
    if (this.rollup) attributes.set('rollup', `{"M":{${rollupFields(this.rollup)}}}`);
    return attributes;
  }
}

/** The figures of a rollup as attributes. */
export function rollupFields(rollup: Rollup): string {
  const { minute, count, sum, min, max, scoreSum, anomalies } = rollup;
  return (
    `"minute":{"S":"${minuteOf(minute)}"},"count":{"N":"${count}"},"sum":${numberJson(sum)},` +
    `"min":${numberJson(min)},"max":${numberJson(max)},"score_sum":${numberJson(scoreSum)},` +
    `"mean_score":${numberJson(scoreSum / count)},"anomalies":{"N":"${anomalies}"}`
  );
}

/** ISO 8601 to the minute. */
export function minuteOf(minute: number): string {
  return `${new Date(minute).toISOString().slice(0, 16)}Z`;
}

function bytesJson(bytes: Uint8Array): string {
  return `{"B":"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}"}`;
}

/** Each version of a detector's state has an attribute of its own, so that versions never mix. */
function attributeOf({ name }: AnyDetector, version: number): string {
  return `detector:${name}@${version}`;
}

/**
 * What is stored of a detector. A state of an earlier version is migrated if the detector can, and stays as it is for a
 * way back; what it can't read counts as nothing.
 */
function loadDetector(detector: AnyDetector, row: Row | undefined, onReset: OnReset): unknown {
  if (detector.stateless || !row) return detector.initial();
  for (let version = detector.stateVersion; version > 0; version--) {
    const bytes = row[attributeOf(detector, version)]?.B;
    if (!bytes) continue;
    try {
      return detector.decode(bytes, version);
    } catch (error) {
      onReset(detector.name, error);
      break;
    }
  }
  return detector.initial();
}

/** The open minute; what is none counts as nothing, and its minute begins anew. */
function loadRollup(row: Row | undefined, onReset: OnReset): Rollup | undefined {
  if (!row?.rollup) return undefined;
  const fields = row.rollup.M ?? {};
  let whole = true;
  // A figure beyond DynamoDB's numbers is kept as its text; so is what a detector that scores NaN comes to.
  const number = (name: string) => {
    const text = fields[name]?.N ?? fields[name]?.S;
    const value = Number(text);
    if (Number.isNaN(value) && text !== 'NaN') whole = false;
    return value;
  };
  const rollup = {
    minute: Date.parse(fields.minute?.S ?? ''),
    count: number('count'),
    sum: number('sum'),
    min: number('min'),
    max: number('max'),
    scoreSum: number('score_sum'),
    anomalies: number('anomalies'),
  };
  if (whole && rollup.count > 0 && !Number.isNaN(rollup.minute)) return rollup;
  onReset('rollup', unusable('it has not all figures of a minute'));
  return undefined;
}

function unusable(why: string): WeirError {
  return new WeirError('state-unusable', why);
}
