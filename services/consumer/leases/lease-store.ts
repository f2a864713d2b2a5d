import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  paginateScan,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import {
  fromRow,
  type Lease,
  type LeaseReport,
  type Row,
  reportAttributes,
  toRow,
} from '../../shared/kcl/lease-row.ts';
import type { Checkpoint } from '../../shared/kcl/position.ts';
import { LeaseLostError } from '../errors.ts';

/** What the owner of a lease writes along with its next counter. */
export interface OwnerWrite {
  checkpoint?: Checkpoint;
  childShardIds?: readonly string[];
  /** Gives the lease up, so that another worker may take it at once. */
  release?: boolean;
  /** How the work goes. */
  report?: LeaseReport;
}

/** Leases and checkpoints of one application (consumer group). */
export interface LeaseStore {
  /** All leases; rows of other kinds are passed over. */
  list(): Promise<Lease[]>;
  /** Adds a lease unless there is one. @returns whether it was added. */
  create(lease: Lease): Promise<boolean>;
  /**
   * Makes `worker` the owner if the lease still is as `seen`.
   * @returns the lease as it stands now, or `undefined` when another worker was quicker.
   */
  take(seen: Lease, worker: string): Promise<Lease | undefined>;
  /**
   * A write of the owner: raises the counter, which renews the lease, and sets what `write` says.
   * @returns the lease as it stands now.
   * @throws LeaseLostError when `held.leaseOwner` no longer owns it: nothing was written then.
   */
  update(held: Lease, write: OwnerWrite): Promise<Lease>;
}

/** Leases in a DynamoDB table with the row layout of KCL 3. Each write is conditional on owner and counter. */
export class DynamoDBLeaseStore implements LeaseStore {
  readonly #client: DynamoDBClient;
  readonly #table: string;

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client;
    this.#table = table;
  }

  async list(): Promise<Lease[]> {
    const leases: Lease[] = [];
    const pages = paginateScan({ client: this.#client }, { TableName: this.#table, ConsistentRead: true });
    for await (const page of pages) {
      for (const row of page.Items ?? []) {
        const lease = fromRow(row);
        if (lease) leases.push(lease);
      }
    }
    return leases;
  }

  async create(lease: Lease): Promise<boolean> {
    try {
      await this.#client.send(
        new PutItemCommand({
          TableName: this.#table,
          Item: toRow(lease),
          ConditionExpression: 'attribute_not_exists(leaseKey)',
        }),
      );
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      throw error;
    }
  }

  async take(seen: Lease, worker: string): Promise<Lease | undefined> {
    const switched = seen.leaseOwner !== undefined && seen.leaseOwner !== worker;
    const next: Lease = {
      ...seen,
      leaseOwner: worker,
      leaseCounter: seen.leaseCounter + 1,
      ownerSwitchesSinceCheckpoint: seen.ownerSwitchesSinceCheckpoint + (switched ? 1 : 0),
    };
    try {
      await this.#conditionalUpdate(
        seen,
        'SET leaseOwner = :owner, leaseCounter = :next, ownerSwitchesSinceCheckpoint = :switches',
        {
          ':owner': { S: worker },
          ':next': { N: String(next.leaseCounter) },
          ':switches': { N: String(next.ownerSwitchesSinceCheckpoint) },
        },
      );
      return next;
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
      // Our own write whose answer was lost and which the client sent again? Then the lease is ours.
      const now = await this.#get(seen.leaseKey);
      return now?.leaseOwner === worker ? now : undefined;
    }
  }

  async update(held: Lease, write: OwnerWrite): Promise<Lease> {
    const next = applyWrite(held, write);
    try {
      await this.#writeAsOwner(held, next, write);
      return next;
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
      return this.#reconcile(held, write);
    }
  }

  /**
   * The counter is not what we left. While the row names us as owner, only we can have moved it: by a write whose
   * answer was lost. Then write again on top of it; the write is absolute, so twice does no harm.
   */
  async #reconcile(held: Lease, write: OwnerWrite): Promise<Lease> {
    const row = await this.#get(held.leaseKey);
    if (write.release && row && row.leaseOwner === undefined && row.leaseCounter === held.leaseCounter + 1) {
      return applyWrite(held, write);
    }
    if (!row || row.leaseOwner !== held.leaseOwner) throw new LeaseLostError(held.leaseKey, row?.leaseOwner);
    const current = { ...held, leaseCounter: row.leaseCounter };
    const next = applyWrite(current, write);
    try {
      await this.#writeAsOwner(current, next, write);
      return next;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException)
        throw new LeaseLostError(held.leaseKey, undefined);
      throw error;
    }
  }

  async #writeAsOwner(held: Lease, next: Lease, write: OwnerWrite): Promise<void> {
    const sets = ['leaseCounter = :next'];
    const values: Row = { ':next': { N: String(next.leaseCounter) } };
    if (write.checkpoint) {
      sets.push(
        'checkpoint = :checkpoint',
        'checkpointSubSequenceNumber = :sub',
        'ownerSwitchesSinceCheckpoint = :zero',
      );
      values[':checkpoint'] = { S: write.checkpoint.sequenceNumber };
      values[':sub'] = { N: String(write.checkpoint.subSequenceNumber) };
      values[':zero'] = { N: '0' };
    }
    if (write.childShardIds && write.childShardIds.length > 0) {
      sets.push('childShardIds = :children');
      values[':children'] = { SS: [...write.childShardIds] };
    }
    const removes = write.release ? ['leaseOwner'] : [];
    if (write.report) {
      const { values: reported, absent } = reportAttributes(write.report);
      for (const [attribute, value] of Object.entries(reported)) {
        sets.push(`${attribute} = :${attribute}`);
        values[`:${attribute}`] = value;
      }
      removes.push(...absent);
    }
    const remove = removes.length > 0 ? ` REMOVE ${removes.join(', ')}` : '';
    await this.#conditionalUpdate(held, `SET ${sets.join(', ')}${remove}`, values);
  }

  /** Updates the row if its owner and counter are those of `expected`. */
  async #conditionalUpdate(expected: Lease, update: string, values: Row): Promise<void> {
    const owner = expected.leaseOwner;
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: { leaseKey: { S: expected.leaseKey } },
        UpdateExpression: update,
        ConditionExpression: `leaseCounter = :counter AND ${owner === undefined ? 'attribute_not_exists(leaseOwner)' : 'leaseOwner = :expectedOwner'}`,
        ExpressionAttributeValues: {
          ...values,
          ':counter': { N: String(expected.leaseCounter) },
          ...(owner === undefined ? {} : { ':expectedOwner': { S: owner } }),
        },
      }),
    );
  }

  async #get(leaseKey: string): Promise<Lease | undefined> {
    const { Item } = await this.#client.send(
      new GetItemCommand({
        TableName: this.#table,
        Key: { leaseKey: { S: leaseKey } },
        ConsistentRead: true,
      }),
    );
    return Item && fromRow(Item);
  }
}

/** The lease after an owner's write: what the table then holds. */
function applyWrite(held: Lease, write: OwnerWrite): Lease {
  return {
    ...held,
    leaseCounter: held.leaseCounter + 1,
    leaseOwner: write.release ? undefined : held.leaseOwner,
    ...(write.checkpoint ? { checkpoint: write.checkpoint, ownerSwitchesSinceCheckpoint: 0 } : {}),
    ...(write.childShardIds ? { childShardIds: write.childShardIds } : {}),
    ...(write.report ? { report: write.report } : {}),
  };
}
