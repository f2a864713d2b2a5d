import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { Verdict } from '../../detectors/detector.ts';
import { isStorableNumber } from '../../shared/event.ts';
import type { JsonValue } from '../../shared/json.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import type { DecodedRecord } from '../pipeline/decode.ts';

/**
 * The item of the records table for one scored record. Everything in it but `processed_at` follows from the
 * record alone, so whoever writes it, and however often, writes the same.
 *
 * @param processedAt ISO 8601.
 */
export function toItem(decoded: DecodedRecord, verdict: Verdict, processedAt: string): Row {
  const { record, event } = decoded;
  return {
    id: { S: decoded.id },
    source: { S: event.source },
    amount: { N: String(event.amount) },
    timestamp: { S: decoded.timestamp },
    processed_at: { S: processedAt },
    kinesis_metadata: {
      M: {
        partition_key: { S: record.partitionKey },
        sequence_number: { S: record.sequenceNumber },
        // Seconds with a fraction, as a Lambda function gets it.
        approximate_arrival_timestamp: { N: String(record.arrivedAt / 1000) },
        shard_id: { S: record.shardId },
        ...(record.subSequenceNumber === undefined
          ? {}
          : { sub_sequence_number: { N: String(record.subSequenceNumber) } }),
      },
    },
    anomaly_score: { N: String(verdict.score) },
    is_anomaly: { BOOL: verdict.isAnomaly },
    detection_method: { S: verdict.method },
    payload: toAttribute(event.payload),
    ...(verdict.isAnomaly ? anomalyKeys(record.arrivedAt) : {}),
  };
}

/** Keys of the sparse `anomalies` index: the day and time of arrival (an event's own time may be any). */
function anomalyKeys(arrivedAt: number): Row {
  const time = new Date(arrivedAt).toISOString();
  return { anomaly_day: { S: time.slice(0, 10) }, anomaly_time: { S: time } };
}

/** A JSON value as DynamoDB keeps it. A number outside DynamoDB's range is kept as its text. */
export function toAttribute(value: JsonValue): AttributeValue {
  switch (typeof value) {
    case 'string':
      return { S: value };
    case 'number':
      return isStorableNumber(value) ? { N: String(value) } : { S: String(value) };
    case 'boolean':
      return { BOOL: value };
    default:
      if (value === null) return { NULL: true };
      if (Array.isArray(value)) return { L: value.map(toAttribute) };
      return {
        M: Object.fromEntries(Object.entries(value).map(([key, child]) => [key, toAttribute(child)])),
      };
  }
}
