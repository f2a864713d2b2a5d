import { DescribeStreamSummaryCommand, RegisterStreamConsumerCommand } from '@aws-sdk/client-kinesis';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import type { KinesisDouble } from '../../testkit/kinesis-double/kinesis-double.ts';
import { StoppedError } from '../errors.ts';
import { HORIZON, next, numbers, OTHER_SHARD, onDouble, read, Trial, texts } from './fixtures.ts';
import type { FetchMode } from './modes.ts';

describe('a reader by fan-out', () => {
  let trial: Trial;
  let double: KinesisDouble;
  const onItsDouble = async (mode: FetchMode, options: object = {}) => {
    const subject = await onDouble(mode, options);
    double = subject.double;
    trial = await Trial.begin(subject);
  };
  afterEach(() => trial.end());

  it('renews its subscription before its time is over, without a gap', async () => {
    await onItsDouble('fanout');
    const reader = trial.readerFrom(HORIZON, { renewAfterMs: 6_000 });
    const reading = read(reader, 100);
    for (let i = 0; i < 100; i += 5) {
      await trial.put(...numbers(i, i + 5));
      await trial.subject.clock.sleep(1_000);
    }
    expect(texts(await reading)).toEqual(numbers(0, 100));
    expect(double.calls.get('SubscribeToShard')).toBeGreaterThan(2);
  });

  it('goes on when the service ends the subscription, and when it stalls', async () => {
    await onItsDouble('fanout', { subscriptionMs: 8_000 });
    double.faults.next({ kind: 'subscription', does: 'stall', afterEvents: 1 });
    const reader = trial.readerFrom(HORIZON);
    await trial.put('0');
    expect(texts(await read(reader, 1))).toEqual(['0']);
    const reading = read(reader, 20);
    for (let i = 1; i <= 20; i++) {
      await trial.put(String(i));
      await trial.subject.clock.sleep(1_500);
    }
    expect(texts(await reading)).toEqual(numbers(1, 21));
    expect(double.calls.get('SubscribeToShard')).toBeGreaterThan(2);
  });

  it('takes a shard over from another worker, which gives way', async () => {
    await onItsDouble('fanout');
    const first = trial.readerFrom(HORIZON);
    await trial.put('1');
    expect(texts(await read(first, 1))).toEqual(['1']);
    await trial.subject.clock.sleep(5_000);
    const second = trial.readerFrom(HORIZON);
    expect(texts(await read(second, 1))).toEqual(['1']);
    const before = double.calls.get('SubscribeToShard') ?? 0;
    await trial.subject.clock.sleep(3_000);
    expect(double.calls.get('SubscribeToShard')).toBe(before); // not fought over: it waits five seconds
    await trial.put('2');
    expect(texts(await read(second, 1))).toEqual(['2']);
  });

  it('waits longer for what takes longer than Kinesis is silent, so that it comes at last', async () => {
    await onItsDouble('fanout');
    await trial.put('1');
    double.faults.rule(({ operation }) =>
      operation === 'SubscribeToShard' ? { kind: 'latency', ms: 20_000 } : undefined,
    );
    expect(texts(await read(trial.readerFrom(HORIZON, { stallMs: 8_000 }), 1))).toEqual(['1']);
    expect(double.calls.get('SubscribeToShard')).toBeGreaterThan(2);
  });

  it('tells that it is subscribed as progress, before the first event comes', async () => {
    await onItsDouble('fanout');
    await trial.put('1');
    double.faults.next({ kind: 'subscription', does: 'stall' });
    const subscriptions: number[] = [];
    const reader = trial.readerFrom(HORIZON);
    await reader.next(AbortSignal.timeout(15_000), () => {
      subscriptions.push(double.calls.get('SubscribeToShard') ?? 0);
    });
    // Once when the first one was opened, and again before the second.
    expect(subscriptions.filter((count) => count === 1).length).toBeGreaterThan(2);
  });

  it('waits out a subscription that is younger than five seconds', async () => {
    await onItsDouble('fanout');
    const first = trial.readerFrom(HORIZON);
    await trial.put('1');
    await read(first, 1);
    first.close();
    expect(texts(await read(trial.readerFrom(HORIZON), 1))).toEqual(['1']);
  });

  it('says what to do when its consumer is not registered and it may not register it', async () => {
    await onItsDouble('fanout');
    const reader = trial.readerFrom(HORIZON, { register: false });
    const waiting = reader.next(AbortSignal.timeout(400), () => {});
    await expect(waiting).rejects.toBeInstanceOf(StoppedError);
    expect(double.calls.get('RegisterStreamConsumer')).toBeUndefined();
    expect(double.calls.get('DescribeStreamConsumer')).toBeGreaterThan(0);
  });

  it('polls by FETCH=auto when it may not subscribe', async () => {
    await onItsDouble('auto');
    await trial.put('1');
    const reader = trial.readerFrom(HORIZON, { register: false });
    expect(texts(await read(reader, 1))).toEqual(['1']);
    expect(double.calls.get('GetRecords')).toBeGreaterThan(0);
  });

  it('subscribes by FETCH=auto when it may', async () => {
    await onItsDouble('auto');
    await trial.put('1');
    expect(texts(await read(trial.readerFrom(HORIZON), 1))).toEqual(['1']);
    expect(double.calls.get('GetRecords')).toBeUndefined();
  });

  it('polls by FETCH=auto until it may subscribe again, and loses and repeats nothing', async () => {
    await onItsDouble('auto');
    await trial.put('1');
    const reader = trial.readerFrom(HORIZON, { register: false });
    expect(texts(await read(reader, 1))).toEqual(['1']);
    const { StreamDescriptionSummary } = await trial.client.send(
      new DescribeStreamSummaryCommand({ StreamName: trial.stream }),
    );
    const StreamARN = StreamDescriptionSummary?.StreamARN;
    await trial.client.send(new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: 'app' }));
    await trial.put('2');
    expect(texts(await read(reader, 1))).toEqual(['2']);
    expect(double.calls.get('SubscribeToShard')).toBeUndefined();
    // Its minute is 1.2 s here.
    const deadline = performance.now() + 10_000;
    for (let n = 3; !double.calls.has('SubscribeToShard'); n++) {
      expect(performance.now()).toBeLessThan(deadline);
      await trial.put(String(n));
      expect(texts(await read(reader, 1))).toEqual([String(n)]);
    }
    await trial.put('pushed');
    expect(texts(await read(reader, 1))).toEqual(['pushed']);
    const polls = double.calls.get('GetRecords');
    await trial.put('pushed too');
    expect(texts(await read(reader, 1))).toEqual(['pushed too']);
    expect(double.calls.get('GetRecords')).toBe(polls);
  });

  it('polls by FETCH=auto what it may no longer subscribe to, while an older subscription goes on', async () => {
    await onItsDouble('auto');
    const sources = trial.sourcesOf();
    await trial.put('0');
    const subscribed = trial.readerFrom(HORIZON, { sources });
    expect(texts(await read(subscribed, 1))).toEqual(['0']);
    let refused = 0;
    double.faults.rule(({ operation }) => {
      if (operation !== 'SubscribeToShard') return undefined;
      refused++;
      return { kind: 'subscription', does: 'error', type: 'AccessDeniedException' };
    });
    const polled = trial.readerFrom(HORIZON, { sources, shardId: OTHER_SHARD });
    await next(polled);
    const polling = (async () => {
      for (;;) await next(polled);
    })().catch(() => {});
    for (let n = 1; n <= 40; n++) {
      await trial.put(String(n));
      expect(texts(await read(subscribed, 1))).toEqual([String(n)]);
      await trial.subject.clock.sleep(500);
    }
    expect(refused).toBeLessThan(4); // once, and at the trials that are due on a slow machine
    polled.close();
    await polling;
  });

  it('polls by FETCH=auto when the service speaks no HTTP/2', async () => {
    trial = await Trial.begin({
      endpoint: inject('kinesisEndpoint'),
      clock: systemClock,
      mode: 'auto',
      stop: async () => {},
    });
    await trial.put('1');
    expect(texts(await read(trial.readerFrom(HORIZON), 1))).toEqual(['1']);
  });
});
