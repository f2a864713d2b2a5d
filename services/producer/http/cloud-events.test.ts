import { CloudEvent, HTTP } from 'cloudevents';
import { describe, expect, it } from 'vitest';
import { fromBinaryMode, fromCloudEvent, isBinaryMode } from './cloud-events.ts';

/** Made by the CNCF's own SDK. */
const EVENT = new CloudEvent({
  id: 'a-1',
  source: 'urn:sensor:1',
  type: 'com.example.reading',
  time: '2026-01-02T03:04:05.678Z',
  subject: 'Druck-é',
  tenant: 'blue',
  data: { amount: 12.5, unit: 'kPa' },
});
const EXPECTED = {
  value: {
    amount: 12.5,
    unit: 'kPa',
    source: 'urn:sensor:1',
    timestamp: '2026-01-02T03:04:05.678Z',
    cloudevent: {
      id: 'a-1',
      specversion: '1.0',
      source: 'urn:sensor:1',
      type: 'com.example.reading',
      time: '2026-01-02T03:04:05.678Z',
      subject: 'Druck-é',
      tenant: 'blue',
      datacontenttype: 'application/json',
    },
  },
  idempotencyKey: 'a-1',
  clientId: 'a-1',
};

describe('a CloudEvent', () => {
  it('is read in structured mode', () => {
    const { body } = HTTP.structured(EVENT);
    const event = fromCloudEvent(JSON.parse(String(body)));
    expect(event).toMatchObject({ ...EXPECTED, value: expect.anything() });
    expect(event.value).toMatchObject({ ...EXPECTED.value, cloudevent: { id: 'a-1', tenant: 'blue' } });
  });

  it('is read in binary mode, percent-encoded headers decoded', () => {
    const { headers, body } = HTTP.binary(EVENT);
    const sent = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, String(value).replace('é', '%C3%A9')]),
    );
    expect(isBinaryMode(sent)).toBe(true);
    expect(isBinaryMode({ 'content-type': 'application/json' })).toBe(false);
    const event = fromBinaryMode(sent, JSON.parse(String(body)));
    expect(event.value).toMatchObject({
      amount: 12.5,
      source: 'urn:sensor:1',
      timestamp: EXPECTED.value.timestamp,
      cloudevent: { id: 'a-1', type: 'com.example.reading', subject: 'Druck-é', tenant: 'blue' },
    });
    expect(event.idempotencyKey).toBe('a-1');
  });

  it('wins over fields of the same name in its data', () => {
    const cloudEvent = {
      specversion: '1.0',
      id: '1',
      source: 'a',
      type: 't',
      data: { source: 'forged', amount: 1 },
    };
    expect(fromCloudEvent(cloudEvent).value).toMatchObject({ source: 'a', amount: 1 });
  });

  it.each([
    ['no id', { id: undefined }, '/id'],
    ['an empty source', { source: '' }, '/source'],
    ['no type', { type: undefined }, '/type'],
    ['another version', { specversion: '0.3' }, '/specversion'],
    ['a time that is a number', { time: 5 }, '/time'],
    ['no data', { data: undefined }, '/data'],
    ['data that is no object', { data: 'text' }, '/data'],
    ['binary data', { data_base64: 'AA==' }, '/data_base64'],
  ])('with %s is refused', (_, change, pointer) => {
    const event = { specversion: '1.0', id: '1', source: 'a', type: 't', data: { amount: 1 }, ...change };
    expect(() => fromCloudEvent(JSON.parse(JSON.stringify(event)))).toThrow(
      expect.objectContaining({
        code: 'event-invalid',
        errors: expect.arrayContaining([expect.objectContaining({ pointer })]),
      }),
    );
  });

  it.each([[null], [[]], ['text'], [1]])('is not %j', (value) => {
    expect(() => fromCloudEvent(value)).toThrow(expect.objectContaining({ code: 'event-invalid' }));
  });

  it('does not take data from a header, nor a header that is not UTF-8 when decoded', () => {
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': '1',
      'ce-source': 'a',
      'ce-type': 't',
      'ce-data': 'forged',
    };
    expect(fromBinaryMode(headers, { amount: 1 }).value).toMatchObject({ amount: 1 });
    expect(() => fromBinaryMode({ ...headers, 'ce-subject': '%ff' }, { amount: 1 })).toThrow(
      expect.objectContaining({ code: 'event-invalid' }),
    );
    expect(fromBinaryMode({ ...headers, 'ce-subject': '100%' }, { amount: 1 }).value).toMatchObject({
      cloudevent: { subject: '100%' },
    });
  });
});
