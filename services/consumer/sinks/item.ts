import type { Verdict } from '../../detectors/detector.ts';
import { STREAM_FIELDS } from '../../shared/event.ts';
import { EXPIRES_AT } from '../../shared/tables.ts';
import type { DecodedRecord } from '../pipeline/decode.ts';
import type { AnsweredItem } from './batch-writer.ts';
import { mapJson, numberJson, type WireItem } from './wire.ts';

/** `WireItem.key` of an item of the records table. */
export const recordKey = (item: AnsweredItem): string => item.id?.S ?? '';
/** A key of the records table. */
export const recordKeyWith = (value: string): string => `{"id":{"S":"${value}"}}`;

/**
 * The item of the records table for one scored record. Everything in it but `processed_at` follows from the
 * record and the state of its source alone, so whoever writes it, and however often, writes the same.
 *
 * @param processedAt ISO 8601.
 * @param days after its arrival until DynamoDB may delete the item, by its `expires_at`; 0: never.
 */
export function toItem(decoded: DecodedRecord, verdict: Verdict, processedAt: string, days = 0): WireItem {
  const { id, record, event } = decoded;
  const sub = record.subSequenceNumber;
  const json =
    `{"id":{"S":${JSON.stringify(id)}},"source":{"S":${JSON.stringify(event.source)}},` +
    `"amount":{"N":"${event.amount}"},"timestamp":{"S":${JSON.stringify(decoded.timestamp)}},` +
    `"processed_at":{"S":"${processedAt}"},"kinesis_metadata":{"M":{` +
    `"partition_key":{"S":${JSON.stringify(record.partitionKey)}},` +
    `"sequence_number":{"S":"${record.sequenceNumber}"},` +
    // Seconds with a fraction, as a Lambda function gets it.
    `"approximate_arrival_timestamp":{"N":"${record.arrivedAt / 1000}"},"shard_id":{"S":"${record.shardId}"}` +
    `${sub === undefined ? '' : `,"sub_sequence_number":{"N":"${sub}"}`}}},` +
    `"anomaly_score":${numberJson(verdict.score)},"is_anomaly":{"BOOL":${verdict.isAnomaly}},` +
    `"detection_method":{"S":${JSON.stringify(verdict.method)}},` +
    `"payload":${mapJson(event.fields, STREAM_FIELDS)}` +
    `${verdict.isAnomaly ? anomalyKeys(record.arrivedAt) : ''}` +
    `${days === 0 ? '' : `,"${EXPIRES_AT}":{"N":"${Math.floor(record.arrivedAt / 1000) + days * 86_400}"}`}}`;
  return { key: id, json };
}

/** Keys of the sparse `anomalies` index: the day and time of arrival (an event's own time may be any). */
function anomalyKeys(arrivedAt: number): string {
  const time = new Date(arrivedAt).toISOString();
  return `,"anomaly_day":{"S":"${time.slice(0, 10)}"},"anomaly_time":{"S":"${time}"}`;
}
