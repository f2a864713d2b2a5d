/** An event as a client sent it, out of whatever envelope it came in. */
export interface RawEvent {
  /** Any parsed JSON; not yet checked. */
  value: unknown;
  /** Makes a retry count once, within its source. */
  idempotencyKey?: string | undefined;
  /** How the client calls it; comes back with its outcome. */
  clientId?: string | number | undefined;
}
