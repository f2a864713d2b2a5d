import { type Enrichment, enrichEvent, type IncomingEvent } from '../../shared/event.ts';
import { encodeRecord } from '../../shared/record.ts';

/** What the events of a request get alike. */
export type SharedEnrichment = Omit<Enrichment, 'request_id'>;

/**
 * Makes records of the events of one request. What it adds is the same text for all of them but for the id, so it is
 * put behind each event's JSON as text: `encodeRecord(enrichEvent(…))` at two thirds of the cost, byte for byte.
 */
export class Enricher {
  readonly #added: SharedEnrichment;
  readonly #timestamp: string;
  readonly #head: string;

  constructor(added: SharedEnrichment) {
    const { ingestion_timestamp, source_ip, traceparent } = added;
    this.#added = added;
    this.#timestamp = `,"timestamp":${JSON.stringify(ingestion_timestamp)}`;
    const trace = traceparent === undefined ? '' : `,"traceparent":${JSON.stringify(traceparent)}`;
    this.#head = `,"ingestion_timestamp":${JSON.stringify(ingestion_timestamp)},"source_ip":${JSON.stringify(source_ip)}${trace},"request_id":"`;
  }

  /** @param event as `parseEvent` gave it; it has at least one field. */
  encode(event: IncomingEvent, requestId: string): Buffer {
    if (sendsOurs(event)) return encodeRecord(enrichEvent(event, { ...this.#added, request_id: requestId }));
    const json = JSON.stringify(event);
    const timestamp = event.timestamp === undefined ? this.#timestamp : '';
    return Buffer.from(`${json.slice(0, -1)}${timestamp}${this.#head}${requestId}"}`);
  }
}

/** True when the client put something where we do: the same name twice would be two values for one field. */
function sendsOurs({ ingestion_timestamp, source_ip, request_id, traceparent }: IncomingEvent): boolean {
  return (
    ingestion_timestamp !== undefined ||
    source_ip !== undefined ||
    request_id !== undefined ||
    traceparent !== undefined
  );
}
