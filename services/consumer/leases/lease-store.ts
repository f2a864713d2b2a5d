import { randomBytes } from 'node:crypto';
import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  paginateScan,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { WeirError } from '../../shared/errors.ts';
import {
  damagedLease,
  fromRow,
  type Lease,
  type LeaseReport,
  type Row,
  reportAttributes,
  toRow,
} from '../../shared/kcl/lease-row.ts';
import { type Checkpoint, isBefore } from '../../shared/kcl/position.ts';
import { fromWorkerRow, toWorkerRow, type WorkerPresence } from '../../shared/kcl/worker-row.ts';
import { LeaseLostError } from '../errors.ts';

/** Writes of one `update` whose answers may be lost, each of them sent again by the SDK's client. */
const MAX_UPDATES = 4;

/** A worker as the leases name it. */
export interface WorkerRef {
  workerId: string;
  /** `host:port` of its admin server; `undefined` when the table doesn't tell. */
  address: string | undefined;
}

/** What the owner of a lease writes along with its next counter. */
export interface OwnerWrite {
  checkpoint?: Checkpoint;
  childShardIds?: readonly string[];
  /** Gives the lease up: to that worker, or to whoever takes it first. */
  release?: { to: WorkerRef | undefined };
  /** How the work goes. */
  report?: LeaseReport;
}

/** One reading of the lease table. */
export interface GroupReading {
  leases: Lease[];
  /** Keys of rows that stand in the place of a lease and are none. */
  damaged: string[];
  /** The workers that hold nothing and said that they are there. */
  idle: WorkerPresence[];
}

/** Leases and checkpoints of one application (consumer group), and its workers that hold none. */
export interface LeaseStore {
  /** The whole table; rows of other kinds are passed over. */
  read(): Promise<GroupReading>;
  /** Adds a lease unless there is one. @returns whether it was added. */
  create(lease: Lease): Promise<boolean>;
  /**
   * Makes `worker` the owner if the lease still is as `seen`.
   * @returns the lease as it stands now, or `undefined` when another worker was quicker.
   */
  take(seen: Lease, worker: WorkerRef): Promise<Lease | undefined>;
  /**
   * A write of the owner: raises the counter, which renews the lease, and sets what `write` says. A checkpoint never
   * goes back: one behind that of the lease is left out.
   * @param lost aborted: no further write is begun.
   * @returns the lease as it stands now.
   * @throws LeaseLostError when `held.leaseOwner` no longer owns it, and nothing was written then, or when `lost` aborted;
   *   WeirError `lease-unanswered` when it is the owner's, and no answer to what may have been written came: ask again.
   */
  update(held: Lease, write: OwnerWrite, lost?: AbortSignal): Promise<Lease>;
  /** Takes the owner out of a lease that nobody touched since `given` was written, else does nothing. */
  revoke(given: Lease): Promise<void>;
  /** Deletes the lease if it still is as `seen`, else does nothing. */
  remove(seen: Lease): Promise<void>;
  /** Writes that a worker is there that holds nothing. */
  announce(presence: WorkerPresence): Promise<void>;
  /** Deletes such a row; given `seenAt`, only if it didn't move since. */
  withdraw(workerId: string, seenAt?: number): Promise<void>;
}

/** Leases in a DynamoDB table with the row layout of KCL 3. Each write is conditional on owner and counter. */
export class DynamoDBLeaseStore implements LeaseStore {
  readonly #client: DynamoDBClient;
  readonly #table: string;

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client;
    this.#table = table;
  }

  async read(): Promise<GroupReading> {
    const reading: GroupReading = { leases: [], damaged: [], idle: [] };
    const pages = paginateScan({ client: this.#client }, { TableName: this.#table, ConsistentRead: true });
    for await (const page of pages) {
      for (const row of page.Items ?? []) {
        // A key with colons is a lease of a KCL application of several streams: not of ours, whatever its shard's number.
        if (row.leaseKey?.S?.includes(':') && row.checkpoint) continue;
        const lease = fromRow(row);
        const worker = lease ? undefined : fromWorkerRow(row);
        const damaged = damagedLease(row);
        if (damaged !== undefined) reading.damaged.push(damaged);
        if (lease) reading.leases.push(lease);
        else if (worker) reading.idle.push(worker);
      }
    }
    return reading;
  }

  async create(lease: Lease): Promise<boolean> {
    return this.#unlessMoved(async () => {
      await this.#client.send(
        new PutItemCommand({
          TableName: this.#table,
          Item: toRow(lease),
          ConditionExpression: 'attribute_not_exists(leaseKey)',
        }),
      );
    });
  }

  async take(seen: Lease, worker: WorkerRef): Promise<Lease | undefined> {
    const switched = seen.leaseOwner !== undefined && seen.leaseOwner !== worker.workerId;
    const next: Lease = {
      ...seen,
      leaseOwner: worker.workerId,
      leaseCounter: seen.leaseCounter + 1,
      ownerSwitchesSinceCheckpoint: seen.ownerSwitchesSinceCheckpoint + (switched ? 1 : 0),
      workerAddress: worker.address,
      tenure: randomBytes(6).toString('base64url'),
    };
    const write = new ItemUpdate()
      .set('leaseOwner', { S: worker.workerId })
      .set('leaseCounter', { N: String(next.leaseCounter) })
      .set('ownerSwitchesSinceCheckpoint', { N: String(next.ownerSwitchesSinceCheckpoint) })
      .set('weirWorkerAddress', worker.address === undefined ? undefined : { S: worker.address })
      .set('weirTenure', { S: next.tenure ?? '' })
      // KCL's mark of a handoff under way: a fresh assignment ends it, there as here.
      .set('checkpointOwner', undefined);
    if (await this.#unlessMoved(() => this.#update(seen, write))) return next;
    // Our own write whose answer was lost and which the client sent again? Then the lease is ours.
    const now = await this.#get(seen.leaseKey);
    return now?.tenure === next.tenure ? now : undefined;
  }

  async update(held: Lease, asked: OwnerWrite, lost?: AbortSignal): Promise<Lease> {
    let from = held;
    for (let attempt = 0; attempt < MAX_UPDATES; attempt++) {
      const write = onward(from, asked);
      const next = applyWrite(from, write);
      if (await this.#unlessMoved(() => this.#update(from, ownerUpdate(next, write)))) return next;
      // The counter is not what we left. While the row has our tenure, only we can have moved it, by a write whose
      // answer was lost: an earlier one, or this one, which the client sent again. Then write again on top of what is
      // there: the write is absolute, so twice does no harm.
      const row = await this.#get(held.leaseKey);
      const { to } = write.release ?? {};
      const given = write.release && row?.leaseOwner === to?.workerId && row?.tenure === undefined;
      if (row && given && row.leaseCounter === next.leaseCounter) return next;
      // Once lost, a write that others see as a renewal would only keep them from taking over.
      if (!row || row.leaseOwner !== held.leaseOwner || row.tenure !== held.tenure || lost?.aborted) {
        throw new LeaseLostError(held.leaseKey, row?.leaseOwner);
      }
      from = row;
    }
    throw new WeirError(
      'lease-unanswered',
      `${MAX_UPDATES} writes to the lease of ${held.leaseKey} had no answer`,
      {
        retryable: true,
      },
    );
  }

  async revoke(given: Lease): Promise<void> {
    const write = { release: { to: undefined } };
    await this.#unlessMoved(() => this.#update(given, ownerUpdate(applyWrite(given, write), write)));
  }

  async remove(seen: Lease): Promise<void> {
    await this.#unlessMoved(async () => {
      const { expression, values } = unmoved(seen);
      await this.#client.send(
        new DeleteItemCommand({
          TableName: this.#table,
          Key: { leaseKey: { S: seen.leaseKey } },
          ConditionExpression: expression,
          ExpressionAttributeValues: values,
        }),
      );
    });
  }

  async announce(presence: WorkerPresence): Promise<void> {
    await this.#client.send(new PutItemCommand({ TableName: this.#table, Item: toWorkerRow(presence) }));
  }

  async withdraw(workerId: string, seenAt?: number): Promise<void> {
    await this.#unlessMoved(async () => {
      await this.#client.send(
        new DeleteItemCommand({
          TableName: this.#table,
          Key: { leaseKey: { S: workerId } },
          ...(seenAt === undefined
            ? {}
            : {
                ConditionExpression: 'weirReportedAt = :seenAt',
                ExpressionAttributeValues: { ':seenAt': { N: String(seenAt) } },
              }),
        }),
      );
    });
  }

  /** Updates the row if its owner and counter are those of `expected`. */
  async #update(expected: Lease, update: ItemUpdate): Promise<void> {
    const condition = unmoved(expected);
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: { leaseKey: { S: expected.leaseKey } },
        UpdateExpression: update.expression,
        ConditionExpression: condition.expression,
        ExpressionAttributeValues: { ...update.values, ...condition.values },
      }),
    );
  }

  /** @returns false when the condition of the write did not hold. */
  async #unlessMoved(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      throw error;
    }
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

/** The condition that nobody wrote to a lease since it was `seen`. */
function unmoved(seen: Lease): { expression: string; values: Row } {
  const owner = seen.leaseOwner;
  const counter = { ':counter': { N: String(seen.leaseCounter) } };
  return owner === undefined
    ? { expression: 'leaseCounter = :counter AND attribute_not_exists(leaseOwner)', values: counter }
    : {
        expression: 'leaseCounter = :counter AND leaseOwner = :expected',
        values: { ...counter, ':expected': { S: owner } },
      };
}

/**
 * `write` without a checkpoint that is behind the lease's. One such comes from work that started over after a checkpoint
 * whose answer was lost: up to that one all is done with, and after `SHARD_END` the children may be read already.
 */
function onward(lease: Lease, write: OwnerWrite): OwnerWrite {
  const { checkpoint, ...rest } = write;
  return checkpoint && isBefore(checkpoint, lease.checkpoint) ? rest : write;
}

/** The lease after an owner's write: what the table then holds. */
function applyWrite(held: Lease, write: OwnerWrite): Lease {
  const { checkpoint, childShardIds, report, release } = write;
  return {
    ...held,
    leaseCounter: held.leaseCounter + 1,
    ...(checkpoint ? { checkpoint, ownerSwitchesSinceCheckpoint: 0 } : {}),
    ...(childShardIds ? { childShardIds } : {}),
    ...(report ? { report } : {}),
    ...(release
      ? { leaseOwner: release.to?.workerId, workerAddress: release.to?.address, tenure: undefined }
      : {}),
  };
}

/** The update that makes the row `next`. */
function ownerUpdate(next: Lease, { checkpoint, childShardIds, report, release }: OwnerWrite): ItemUpdate {
  const update = new ItemUpdate().set('leaseCounter', { N: String(next.leaseCounter) });
  if (checkpoint) {
    update
      .set('checkpoint', { S: checkpoint.sequenceNumber })
      .set('checkpointSubSequenceNumber', { N: String(checkpoint.subSequenceNumber) })
      .set('ownerSwitchesSinceCheckpoint', { N: '0' });
    // What a KCL application had prepared is overtaken, as by a checkpoint of its own.
    for (const pending of [
      'pendingCheckpoint',
      'pendingCheckpointSubSequenceNumber',
      'pendingCheckpointState',
    ]) {
      update.set(pending, undefined);
    }
  }
  if (childShardIds && childShardIds.length > 0) update.set('childShardIds', { SS: [...childShardIds] });
  if (report) {
    const { values, absent } = reportAttributes(report);
    for (const [attribute, value] of Object.entries(values)) update.set(attribute, value);
    for (const attribute of absent) update.set(attribute, undefined);
  }
  if (release) {
    const { to } = release;
    update
      .set('leaseOwner', to && { S: to.workerId })
      .set('weirWorkerAddress', to?.address === undefined ? undefined : { S: to.address })
      .set('weirTenure', undefined);
  }
  return update;
}

/** Gathers the attributes of one UpdateItem call. */
class ItemUpdate {
  readonly values: Row = {};
  readonly #sets: string[] = [];
  readonly #removes: string[] = [];

  /** Sets an attribute, or removes it when there is no value. */
  set(attribute: string, value: Row[string] | undefined): this {
    if (value === undefined) this.#removes.push(attribute);
    else {
      this.#sets.push(`${attribute} = :${attribute}`);
      this.values[`:${attribute}`] = value;
    }
    return this;
  }

  get expression(): string {
    const remove = this.#removes.length > 0 ? ` REMOVE ${this.#removes.join(', ')}` : '';
    return `SET ${this.#sets.join(', ')}${remove}`;
  }
}
