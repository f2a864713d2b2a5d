import type { StreamRecord } from '../record.ts';

/**
 * The position of the last record that a state includes, as a text whose order is the order of the stream along a
 * lineage: shard, sequence number, sub-sequence number.
 *
 * Kinesis numbers the shards of a stream in the order of their creation (`shardId-000000000012`), so a child comes
 * after its parents, and sequence numbers are compared within one shard only. Shards that are not of one lineage
 * never share a state: see `seriesOf`.
 */
export type Watermark = string;

export function watermarkOf(shardId: string, sequenceNumber: string, subSequenceNumber = 0): Watermark {
  return `${shardId}/${ordered(sequenceNumber)}/${ordered(String(subSequenceNumber))}`;
}

/** True for what `watermarkOf` makes. */
export function isWatermark(text: string | undefined): text is Watermark {
  return text !== undefined && /^[^/]+\/\d{3}:\d+\/\d{3}:\d+$/.test(text);
}

/** True when a state with this watermark includes the record. */
export function includes(watermark: Watermark, record: StreamRecord): boolean {
  return watermarkOf(record.shardId, record.sequenceNumber, record.subSequenceNumber) <= watermark;
}

/**
 * True when the two can't be of one stream: the record's shard is older, and its sequence number is higher. In a lineage these
 * grow from parent to child, since they hold the time at which the shard was made. A stream that was deleted and made again
 * under its name begins anew with shard 0, at higher ones.
 */
export function isOfAnotherStream(watermark: Watermark, { shardId, sequenceNumber }: StreamRecord): boolean {
  const [itsShard = '', itsSequence = ''] = watermark.split('/');
  return shardId < itsShard && ordered(sequenceNumber) > itsSequence;
}

/** Decimal digits so that the order of texts is that of numbers: the number of digits comes first. */
function ordered(digits: string): string {
  return `${String(digits.length).padStart(3, '0')}:${digits}`;
}
