import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LEASE_TABLE } from '../tables.ts';
import { fromRow, type Lease, type Row, streamMark, toRow } from './lease-row.ts';

/** A table as KCL 3.5.1 in Java left it. */
const kcl = JSON.parse(readFileSync(new URL('kcl-3-lease-rows.json', import.meta.url), 'utf8')) as {
  table: { keys: unknown; attributes: unknown; gsi: { n: string; k: unknown; p: unknown }[] };
  rows: { item: Row }[];
  reshard: Row[];
  handoff: Row;
};
const rows = kcl.rows.map(({ item }) => item);
const REPORT = {
  reportedAt: 1_795_486_303_000,
  workerUtilization: 0.123,
  millisBehindLatest: 1_500,
  recordsPerSecond: 812.5,
  putsPerSecond: 8.5,
  bytesPerSecond: 190_000,
  busyShare: 0.25,
  lastArrivalAt: 1_795_486_301_500,
};

/** Size of an item as DynamoDB counts it, from above: names, text and sets in UTF-8, 21 bytes a number. */
function bytesOf(row: Row): number {
  return Object.entries(row).reduce((sum, [name, { S, SS = [], N }]) => {
    const text = [S ?? '', ...SS].reduce((bytes, part) => bytes + Buffer.byteLength(part), 0);
    return sum + name.length + text + (N === undefined ? 0 : 21);
  }, 0);
}

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
      workerAddress: undefined,
      tenure: undefined,
      report: undefined,
    };
    expect(Object.keys(toRow(lease))).not.toContain('leaseOwner');
    expect(fromRow(toRow(lease))).toEqual(lease);
    const reported: Lease = { ...lease, report: { ...REPORT, millisBehindLatest: undefined } };
    expect(Object.keys(toRow(reported))).not.toContain('weirMillisBehindLatest');
    expect(fromRow(toRow(reported))).toEqual(reported);
  });

  it('takes a hash key range that is none for one that is not known', () => {
    const row = rows.find(({ startingHashKey }) => startingHashKey)!;
    expect(fromRow(row)?.hashKeyRange).toBeDefined();
    for (const S of ['', 'x', '-1', '1.5', '9'.repeat(40)]) {
      expect(fromRow({ ...row, endingHashKey: { S } })?.hashKeyRange).toBeUndefined();
    }
  });

  it("adds our attributes to KCL's, all of a report under its own name, within one write unit", () => {
    for (const row of [...rows, ...kcl.reshard, kcl.handoff]) {
      const lease = fromRow(row);
      if (!lease) continue;
      expect(lease.report).toBeUndefined();
      const ours = toRow({
        ...lease,
        leaseOwner: `a-long-deployment-name-7d4f9c6b5d-abcde-01890a5d-ac96-774b-bcce-000000000000`,
        startedAt: 1_795_486_231_778,
        stream: streamMark('arn:aws:kinesis:us-east-1:123456789012:stream/events'),
        workerAddress: '[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:9090',
        tenure: 'k3f9x0qa',
        report: REPORT,
      });
      expect(ours).toMatchObject({
        weirStartedAt: { N: '1795486231778' },
        weirReportedAt: { N: '1795486303000' },
        weirMillisBehindLatest: { N: '1500' },
        weirRecordsPerSecond: { N: '812.5' },
        weirPutsPerSecond: { N: '8.5' },
        weirBytesPerSecond: { N: '190000' },
        weirBusyShare: { N: '0.25' },
        weirLastArrivalAt: { N: '1795486301500' },
        weirWorkerAddress: { S: '[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:9090' },
        weirStream: { S: expect.stringMatching(/^[0-9a-f]{16}$/) },
        weirTenure: { S: 'k3f9x0qa' },
      });
      expect(fromRow(ours)?.stream).toBe(ours.weirStream?.S);
      expect(fromRow(ours)?.report).toEqual(REPORT);
      expect(bytesOf(ours)).toBeLessThan(1_024);
    }
  });
});
