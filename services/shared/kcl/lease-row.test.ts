import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LEASE_TABLE } from '../tables.ts';
import { fromRow, type Lease, type Row, toRow } from './lease-row.ts';

/** A table as KCL 3.5.1 in Java left it. */
const kcl = JSON.parse(readFileSync(new URL('kcl-3-lease-rows.json', import.meta.url), 'utf8')) as {
  table: { keys: unknown; attributes: unknown; gsi: { n: string; k: unknown; p: unknown }[] };
  rows: { item: Row }[];
};
const rows = kcl.rows.map(({ item }) => item);

describe('lease rows', () => {
  it('has the keys and the index of the table that KCL 3 makes', () => {
    expect(LEASE_TABLE.KeySchema).toEqual(kcl.table.keys);
    expect(LEASE_TABLE.AttributeDefinitions).toEqual(kcl.table.attributes);
    expect(
      LEASE_TABLE.GlobalSecondaryIndexes?.map(({ IndexName, KeySchema, Projection }) => ({
        n: IndexName,
        k: KeySchema,
        p: Projection,
      })),
    ).toEqual(kcl.table.gsi.map(({ n, k, p }) => ({ n, k, p })));
  });

  it('reads the leases of KCL 3 and passes over its rows of other kinds', () => {
    const leases = rows.map(fromRow).filter((lease) => lease !== undefined);
    const expected = rows.filter((row) => row.entityType?.S === 'LEASE');
    expect(expected.length).toBeGreaterThan(0);
    expect(expected.length).toBeLessThan(rows.length);
    expect(leases.map((lease) => lease.leaseKey)).toEqual(expected.map((row) => row.leaseKey?.S));
  });

  it('writes a lease of KCL 3 back attribute by attribute as KCL wrote it', () => {
    for (const row of rows) {
      const lease = fromRow(row);
      if (lease) expect(toRow(lease)).toEqual(row);
    }
  });

  it('leaves out what has no value, and keeps parents, children and our own attribute', () => {
    const lease: Lease = {
      leaseKey: 'shardId-000000000003',
      leaseOwner: undefined,
      leaseCounter: 0,
      checkpoint: { sequenceNumber: 'LATEST', subSequenceNumber: 0 },
      ownerSwitchesSinceCheckpoint: 0,
      parentShardIds: ['shardId-000000000001', 'shardId-000000000002'],
      childShardIds: ['shardId-000000000004'],
      hashKeyRange: undefined,
      startedAt: 1_795_486_231_778,
    };
    expect(Object.keys(toRow(lease))).not.toContain('leaseOwner');
    expect(fromRow(toRow(lease))).toEqual(lease);
  });
});
