import type { SinkRecord } from './sink.ts';

const DATA = '{"Data":"';
/** What a record's JSON has beside its data and its keys, and more than that. */
const FRAME_BYTES = 64;

/**
 * The body of a PutRecords call (API reference, PutRecords). Written into its bytes piece by piece: to join texts of
 * hundreds of kilobytes and to encode them then takes six times as long.
 */
export function putRecordsBody(stream: string, records: readonly SinkRecord[]): Buffer {
  const head = `{"StreamName":${JSON.stringify(stream)},"Records":[`;
  const keys = records.map(keysJson);
  let size = head.length + 2;
  for (const [i, { data }] of records.entries()) {
    size += FRAME_BYTES + base64Length(data) + (keys[i] as string).length;
  }
  const body = Buffer.allocUnsafe(size);
  let at = body.write(head, 0, 'latin1');
  for (const [i, { data }] of records.entries()) {
    at += body.write(i === 0 ? DATA : `,${DATA}`, at, 'latin1');
    at += body.write(base64(data), at, 'latin1');
    at += body.write(keys[i] as string, at, 'latin1');
  }
  at += body.write(']}', at, 'latin1');
  return body.subarray(0, at);
}

function base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function base64Length({ byteLength }: Uint8Array): number {
  return Math.ceil(byteLength / 3) * 4;
}

/** From the end of the data to the end of the record. */
function keysJson({ partitionKey, explicitHashKey }: SinkRecord): string {
  const hashKey = explicitHashKey === undefined ? '' : `,"ExplicitHashKey":"${explicitHashKey}"`;
  return `","PartitionKey":${asciiJson(partitionKey)}${hashKey}}`;
}

const NOT_ASCII = /[^\0-\x7f]/g;

/** JSON of a text with escapes for all that is not ASCII, so that a character is a byte. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replace(
    NOT_ASCII,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
