import { describe, inject } from 'vitest';
import { kinesisConformance } from '../services/testkit/kinesis-conformance/suite.ts';

/** So throttling is shown on the double alone. */
const NO_LIMITS = 'it has no limits over time';

describe('kinesis-local', () => {
  kinesisConformance({
    endpoint: () => inject('kinesisEndpoint'),
    differences: {
      'filter AT_TRIM_HORIZON gives those that were open then':
        'it gives all, so a reader must tolerate ranges that overlap',
      'an explicit hash key that is no number is refused': 'a status 400 without the name of an error',
      'a record of a MiB and its key is refused': 'the key is not counted',
      'PutRecords refuses 501 records': 'it takes them',
      'PutRecords refuses no records': 'it takes them',
      'a sequence number of another stream is refused': 'ResourceNotFoundException',
      'an iterator that is none is refused': 'a status 400 without the name of an error',
      'a closed shard ends with a sequence number above those of its records': 'it ends with 2^63 - 1',
      'UpdateShardCount leaves shards of equal size': 'it splits and merges as few as it can',
      'UpdateShardCount gives at most double, at least half': 'InvalidArgumentException',
      'a hash key that leaves a side empty, or is none, does not split a shard': 'it splits at any hash key',
      'a shard takes five reads a second': NO_LIMITS,
    },
    skipped: {
      'filter AT_TIMESTAMP gives those that were open then': 'it knows whole seconds only',
      'a stream takes ten UpdateShardCount calls in 24 hours': NO_LIMITS,
      'filter FROM_TIMESTAMP gives those that were open then or since': 'it knows whole seconds only',
      'a shard takes 1,000 records a second, and fails those above it one by one': NO_LIMITS,
      'a shard takes 1 MiB a second': NO_LIMITS,
      'a shard gives 2 MiB a second, and closes for a while after more': NO_LIMITS,
    },
  });
});
