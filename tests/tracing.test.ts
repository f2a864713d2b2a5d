import { afterEach, beforeEach, expect, it } from 'vitest';
import { type KinesisDouble, startKinesisDouble } from '../services/testkit/kinesis-double/kinesis-double.ts';
import { type OtlpCollector, startOtlpCollector } from '../services/testkit/otlp-collector.ts';
import { type ServiceProcess, spawnService } from '../services/testkit/service-process.ts';
import { eventsOf } from '../services/testkit/stream-events.ts';

const STREAM = 'stream';
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const TRACEPARENT = `00-${TRACE}-b7ad6b7169203331-01`;
let kinesis: KinesisDouble;
let collector: OtlpCollector;
let producer: ServiceProcess;

beforeEach(async () => {
  kinesis = await startKinesisDouble({ limits: 'none' });
  kinesis.createStream(STREAM, 1);
  collector = await startOtlpCollector();
});
afterEach(async () => {
  await producer.stop();
  await collector.stop();
  await kinesis.stop();
});

async function start(env: Record<string, string>): Promise<void> {
  producer = await spawnService({
    name: 'producer',
    entry: 'services/producer/main.ts',
    env: { STREAM_NAME: STREAM, AWS_ENDPOINT_URL_KINESIS: kinesis.endpoint, ...env },
  });
}

function send(body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${producer.ports.port}/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}

const streamed = () =>
  kinesis
    .records(STREAM)
    .flatMap(eventsOf)
    .map(({ event }) => event.traceparent);

it("carries a client's trace context on the stream, and a wrong one is left out", async () => {
  await start({});
  await send('{"amount":1}', { traceparent: TRACEPARENT });
  await send('{"amount":1}', { traceparent: '00-nonsense' });
  expect(streamed()).toEqual([TRACEPARENT, undefined]);
});

it('adds a span to the trace when there is a collector, which the event on the stream goes on from', async () => {
  await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
  expect((await send('{"amount":1}', { traceparent: TRACEPARENT })).status).toBe(200);
  expect((await send('{"amount":"x"}')).status).toBe(422);
  expect(await producer.stop()).toEqual({ code: 0, signal: null });
  expect(collector.services).toEqual(['weir-producer']);
  const [sent, refused] = collector.spans;
  expect(sent).toMatchObject({ name: 'POST /send', traceId: TRACE, parentSpanId: 'b7ad6b7169203331' });
  expect(streamed()).toEqual([`00-${TRACE}-${sent!.spanId}-01`]);
  expect(refused!.traceId).not.toBe(TRACE);
  const status = refused!.attributes.find(({ key }) => key === 'http.response.status_code');
  expect(Number(status?.value.intValue)).toBe(422);
});
