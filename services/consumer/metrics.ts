import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { LATENCY_BUCKETS_SECONDS } from '../shared/metrics.ts';

export type ConsumerMetrics = ReturnType<typeof createConsumerMetrics>;

const LEASE_EVENTS = ['taken', 'received', 'lost', 'released', 'handed-on', 'shard-end', 'trimmed'];

/** All metrics of the consumer. Labels are bounded: shards held by this worker, and our own codes. */
export function createConsumerMetrics(registry: Registry) {
  const registers = [registry];
  const metrics = {
    records: new Counter({
      name: 'weir_consumer_records_total',
      help: 'Records that are done with: stored in the records table, counted in a rollup only, kept as dead letters, passed over as duplicates, or included in the state already and so stored before.',
      labelNames: ['outcome'],
      registers,
    }),
    deadLetters: new Counter({
      name: 'weir_consumer_dead_letters_total',
      help: 'Records kept as dead letters, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    endToEndSeconds: new Histogram({
      name: 'weir_consumer_end_to_end_seconds',
      help: "From the producer's acceptance of an event to DynamoDB's answer that its result is stored.",
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    batchRecords: new Histogram({
      name: 'weir_consumer_batch_records',
      help: 'Kinesis records that came at once, by a GetRecords call or in an event of a subscription.',
      buckets: [0, 1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000],
      registers,
    }),
    sliceSeconds: new Histogram({
      name: 'weir_consumer_slice_seconds',
      help: 'Time that a slice of a few hundred records takes in the pipeline, from decoding to stored.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    writeSeconds: new Histogram({
      name: 'weir_consumer_write_seconds',
      help: 'Duration of one BatchWriteItem call.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    writeRetries: new Counter({
      name: 'weir_consumer_write_retries_total',
      help: 'BatchWriteItem calls that had to be made again, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    verdicts: new Counter({
      name: 'weir_consumer_verdicts_total',
      help: 'What detectors said, the champion that decides and the challengers that do not.',
      labelNames: ['detector', 'role', 'verdict'],
      registers,
    }),
    agreement: new Counter({
      name: 'weir_consumer_challenger_agreement_total',
      help: "Verdicts of a challenger that agreed with the champion's, or differed.",
      labelNames: ['challenger', 'verdict'],
      registers,
    }),
    detectorSeconds: new Counter({
      name: 'weir_consumer_detector_seconds_total',
      help: 'Time spent in detectors.',
      labelNames: ['detector', 'role'],
      registers,
    }),
    challengerCutOffs: new Counter({
      name: 'weir_consumer_challenger_cut_offs_total',
      help: 'Challengers that were cut off, since they threw or were slow.',
      labelNames: ['detector', 'reason'],
      registers,
    }),
    stateWrites: new Counter({
      name: 'weir_consumer_state_writes_total',
      help: "Writes of a source's state: stored, or fenced off because the stored state was ahead.",
      labelNames: ['outcome'],
      registers,
    }),
    stateRetries: new Counter({
      name: 'weir_consumer_state_retries_total',
      help: 'Calls to the state table that had to be made again, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    stateResets: new Counter({
      name: 'weir_consumer_state_resets_total',
      help: 'Stored states that could not be used, and so began anew: a part of one, which is a detector or `rollup`, or with `watermark` all of it.',
      labelNames: ['part'],
      registers,
    }),
    stateEvictions: new Counter({
      name: 'weir_consumer_state_evictions_total',
      help: 'States that were written and let go to keep within `STATE_CACHE_BYTES`.',
      registers,
    }),
    stateBytes: new Gauge({
      name: 'weir_consumer_state_bytes',
      help: 'Bytes of states in memory, as estimated.',
      registers,
    }),
    fetchErrors: new Counter({
      name: 'weir_consumer_fetch_errors_total',
      help: 'Reads of a shard that failed and were made again, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    millisBehindLatest: new Gauge({
      name: 'weir_consumer_millis_behind_latest',
      help: 'How far processing is behind the tip of a shard that this worker holds, in ms; absent while unknown.',
      labelNames: ['shard'],
      registers,
    }),
    leasesHeld: new Gauge({
      name: 'weir_consumer_leases_held',
      help: 'Shards this worker processes.',
      registers,
    }),
    workersSeen: new Gauge({
      name: 'weir_consumer_workers_seen',
      help: 'Workers of the group at the last look at the lease table, this one included.',
      registers,
    }),
    hashRangeHoles: new Gauge({
      name: 'weir_consumer_hash_range_holes',
      help: 'Ranges of the hash key space that no lease covers: records in them are not read.',
      registers,
    }),
    unlistedLeases: new Gauge({
      name: 'weir_consumer_unlisted_leases',
      help: 'Unfinished leases of shards that the stream does not have, and nothing shows that it ever had.',
      registers,
    }),
    listingFailures: new Counter({
      name: 'weir_consumer_shard_listing_failures_total',
      help: 'Listings of the shards that failed: meanwhile leases are shared by the table alone, and new shards wait.',
      registers,
    }),
    pokes: new Counter({
      name: 'weir_consumer_pokes_total',
      help: 'Times another worker was told to look at the lease table, by whether it heard.',
      labelNames: ['outcome'],
      registers,
    }),
    leaseEvents: new Counter({
      name: 'weir_consumer_lease_events_total',
      help: 'What happened to leases, as this worker saw it.',
      labelNames: ['event'],
      registers,
    }),
  };
  for (const outcome of ['stored', 'rolled_up', 'dead_letter', 'duplicate', 'included'])
    metrics.records.inc({ outcome }, 0);
  for (const outcome of ['stored', 'fenced']) metrics.stateWrites.inc({ outcome }, 0);
  for (const reason of ['throttled', 'error']) metrics.stateRetries.inc({ reason }, 0);
  for (const reason of ['unprocessed', 'throttled', 'error']) metrics.writeRetries.inc({ reason }, 0);
  for (const reason of ['throttled', 'expired-iterator', 'in-use', 'stalled', 'error'])
    metrics.fetchErrors.inc({ reason }, 0);
  for (const event of LEASE_EVENTS) metrics.leaseEvents.inc({ event }, 0);
  for (const outcome of ['heard', 'unheard']) metrics.pokes.inc({ outcome }, 0);
  return metrics;
}
