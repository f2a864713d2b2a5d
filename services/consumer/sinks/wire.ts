import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { isStorableNumber } from '../../shared/event.ts';
import type { JsonValue } from '../../shared/json.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';

/** An item as DynamoDB's JSON protocol carries it, with what tells it from the others of a batch. */
export interface WireItem {
  /** Its primary key in one string. */
  key: string;
  /** `{"id":{"S":"…"},…}` */
  json: string;
}

/**
 * A JSON value as the text of a DynamoDB attribute. A number outside DynamoDB's range is kept as its text.
 * Straight to text: building attribute objects first and serialising them is twice the work of a whole batch.
 */
export function valueJson(value: JsonValue): string {
  switch (typeof value) {
    case 'string':
      return `{"S":${JSON.stringify(value)}}`;
    case 'number':
      return numberJson(value);
    case 'boolean':
      return value ? '{"BOOL":true}' : '{"BOOL":false}';
    default:
      if (value === null) return '{"NULL":true}';
      if (Array.isArray(value)) return `{"L":[${value.map(valueJson).join()}]}`;
      return mapJson(value);
  }
}

/** A number; outside DynamoDB's range as its text. */
export function numberJson(value: number): string {
  return isStorableNumber(value) ? `{"N":"${value}"}` : `{"S":"${value}"}`;
}

/** The fields of an object as a DynamoDB map, without those named. */
export function mapJson(
  fields: { readonly [key: string]: JsonValue },
  without?: ReadonlySet<string>,
): string {
  let text = '';
  for (const key in fields) {
    if (without?.has(key)) continue;
    const value = fields[key];
    if (value === undefined) continue;
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${valueJson(value)}`;
  }
  return `{"M":{${text}}}`;
}

/** A row as the SDK's client knows it; bytes at its top level only. */
export function rowJson(row: Row): string {
  const attributes = Object.entries(row).map(
    ([name, value]) => `${JSON.stringify(name)}:${attributeJson(value)}`,
  );
  return `{${attributes.join()}}`;
}

/** One attribute of a row. */
export function attributeJson(value: AttributeValue): string {
  return value.B ? `{"B":"${Buffer.from(value.B).toString('base64')}"}` : JSON.stringify(value);
}

/** An item in an answer's JSON. */
export type WireRow = Readonly<Record<string, { readonly [type: string]: unknown }>>;

/** The same as the SDK's client gives it; bytes at its top level only. */
export function rowFrom(wire: WireRow): Row {
  const row: Row = {};
  for (const [name, value] of Object.entries(wire)) {
    const attribute = typeof value.B === 'string' ? { B: Buffer.from(value.B, 'base64') } : value;
    row[name] = attribute as unknown as AttributeValue;
  }
  return row;
}
