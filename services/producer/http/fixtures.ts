import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Express } from 'express';
import { pino } from 'pino';
import { expect } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { WeirError } from '../../shared/errors.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { close } from '../../shared/server.ts';
import { Quota } from '../admission/quota.ts';
import { IdempotencyWindow } from '../ingest/idempotency-window.ts';
import { Ingest } from '../ingest/ingest.ts';
import { createProducerMetrics } from '../metrics.ts';
import { buildApp } from './app.ts';
import { BodyBudget } from './body-reader.ts';
import { type ApiServerOptions, createApiServer } from './server.ts';

export const MAX_EVENT_BYTES = 2_000;
export const BODY_BUDGET_BYTES = 100_000;
export const EVENT = { source: 'sensor-1', amount: 12.5, timestamp: '2026-01-02T03:04:05Z', note: 'kept' };

type Limits = Omit<ApiServerOptions, 'metrics'>;
const LIMITS: Limits = { requestTimeoutMs: 15_000, idleTimeoutMs: 30_000, maxConnections: 1_000 };

/** The app on a port of its own, before a Kinesis that takes or refuses everything. */
export class ServedApp {
  readonly submitted: { key: string; event: Record<string, unknown> }[] = [];
  readonly logged: string[] = [];
  readonly registry = createRegistry('test');
  readonly budget = new BodyBudget(BODY_BUDGET_BYTES);
  readonly app: Express;
  readonly server: Server;
  /** What Kinesis answers to each event; undefined: it stores it. */
  refusal: Error | undefined;
  onSubmit = () => {};
  /** Called with each event as it was parsed. */
  onEvent = (_value: unknown) => {};
  /** When Kinesis answers. */
  answerLater: (answer: () => void) => void = setImmediate;
  draining = false;

  static async start(limits: Partial<Limits> = {}): Promise<ServedApp> {
    const served = new ServedApp({ ...LIMITS, ...limits });
    await new Promise<void>((resolve) => served.server.listen(0, '127.0.0.1', resolve));
    return served;
  }

  private constructor(limits: Limits) {
    const metrics = createProducerMetrics(this.registry);
    const ingest = this.#ingest();
    this.app = buildApp({
      ingest: {
        accept: (raw, ...more) => {
          this.onEvent(raw.value);
          ingest.accept(raw, ...more);
        },
      },
      refusal: () => undefined,
      budget: this.budget,
      maxBatchBytes: 1_000_000,
      maxBatchEvents: 2_000,
      readiness: () => ({
        ok: true,
        status: 'ready',
        sink: 'up',
        buffered_records: 0,
        buffered_bytes: 0,
        oldest_waiting_ms: 0,
      }),
      draining: () => this.draining,
      clock,
      log: pino({ level: 'trace' }, { write: (line: string) => void this.logged.push(line) }),
      metrics,
      maxEventBytes: MAX_EVENT_BYTES,
      trustProxy: false,
      auth: 'none',
      corsOrigins: [],
    });
    // As it is in a pod: express is less talkative in tests.
    this.app.set('env', 'production');
    this.server = createApiServer(this.app, { ...limits, metrics });
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await close(this.server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}/send`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    });
  }

  #ingest(): Ingest {
    return new Ingest({
      batcher: {
        offer: (key, data, owner, index) => {
          this.onSubmit();
          if (this.refusal instanceof WeirError) return this.refusal;
          if (this.refusal) throw this.refusal;
          this.submitted.push({ key, event: JSON.parse(Buffer.from(data).toString()) });
          this.answerLater(() => {
            owner.answer(index, {
              shardId: 'shardId-000000000001',
              sequenceNumber: `${495 + this.submitted.length}`,
            });
          });
          return undefined;
        },
      },
      window: new IdempotencyWindow({ maxBytes: 1e6, maxAgeMs: 60_000 }, () => clock.monotonic()),
      clientQuota: new Quota(0, 0),
      sourceQuota: new Quota(0, 0),
      maxEventBytes: MAX_EVENT_BYTES,
      clock,
    });
  }
}

/** The problem document of an answer, which has to be one. */
export async function problem(response: Response): Promise<Record<string, unknown>> {
  expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  const document = (await response.json()) as Record<string, unknown>;
  expect(document.status).toBe(response.status);
  expect(document.type).toBe(`urn:weir:problem:${document.code}`);
  expect(String(document.instance)).toMatch(/^urn:uuid:[0-9a-f-]{36}$/);
  return document;
}
