/** One change of a stream's shards that the controller may carry out. */
export type ReshardStep =
  | { kind: 'update-shard-count'; target: number }
  | { kind: 'split-shard'; shardId: string; newStartingHashKey: string }
  | { kind: 'merge-shards'; shardId: string; adjacentShardId: string };
