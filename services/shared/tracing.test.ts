import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type OtlpCollector, startOtlpCollector } from '../testkit/otlp-collector.ts';
import { parseEnv, tracingEnv } from './config.ts';
import { createTracing } from './tracing.ts';

let collector: OtlpCollector;

beforeEach(async () => {
  collector = await startOtlpCollector();
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.endpoint);
  vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '500');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await collector.stop();
});

const config = (env: Record<string, string | undefined>) => parseEnv(tracingEnv, env);
const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('tracing', () => {
  it('is not there without an endpoint', async () => {
    expect(await createTracing('s', config({}))).toBeUndefined();
  });

  it('goes on with a trace, tells errors, and sends all of it at a stop', async () => {
    const tracing = (await createTracing('weir-test', config(process.env)))!;
    const span = tracing.start('POST /send', { kind: 'server', parent: PARENT });
    const next = tracing.start('score', { kind: 'consumer', parent: span.traceparent });
    next.end({ n: 1 }, 'broken');
    span.end();
    await tracing.stop();
    expect(collector.services).toEqual(['weir-test']);
    const [score, send] = collector.spans;
    expect(send).toMatchObject({
      name: 'POST /send',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      parentSpanId: 'b7ad6b7169203331',
      kind: 2,
    });
    expect(score).toMatchObject({
      traceId: send!.traceId,
      parentSpanId: send!.spanId,
      status: { code: 2, message: 'broken' },
    });
    expect(span.traceparent).toBe(`00-${send!.traceId}-${send!.spanId}-01`);
  });

  it('sends nothing of a trace that its client did not sample, nor of the share that is left out', async () => {
    const tracing = (await createTracing('s', config({ ...process.env, OTEL_TRACES_SAMPLER_ARG: '0' })))!;
    const unsampled = tracing.start('a', { kind: 'server', parent: PARENT.replace(/01$/, '00') });
    expect(unsampled.traceparent).toMatch(/-00$/);
    unsampled.end();
    tracing.start('b', { kind: 'server' }).end();
    await tracing.stop();
    expect(collector.spans).toEqual([]);
  });

  it('does not fail a stop when nobody collects', async () => {
    const tracing = (await createTracing('s', config(process.env)))!;
    await collector.stop();
    tracing.start('a', { kind: 'server' }).end();
    await tracing.stop();
    collector = await startOtlpCollector();
  }, 20_000);
});
