import { describe } from 'vitest';
import { Bench, type Target } from './conformance.ts';
import { limitRules } from './limits.ts';
import { putRules } from './put.ts';
import { readRules } from './read.ts';
import { reshardRules } from './reshard.ts';
import { listRules, streamRules } from './streams.ts';

/** What we rely on of Kinesis, as tests of a target: of each call that we make, what it does and how it refuses. */
export function kinesisConformance(target: Target): void {
  const bench = new Bench(target);
  describe('streams', () => streamRules(bench));
  describe('ListShards', () => listRules(bench));
  describe('PutRecord and PutRecords', () => putRules(bench));
  describe('GetShardIterator and GetRecords', () => readRules(bench));
  describe('resharding', () => reshardRules(bench));
  describe('limits', () => limitRules(bench));
}
