import { randomUUID } from 'node:crypto';
import {
  type AttributeValue,
  DeleteTableCommand,
  type DynamoDBClient,
  paginateScan,
} from '@aws-sdk/client-dynamodb';
import { type KinesisClient, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { createDynamoDBClient, createKinesisClient } from '../shared/aws.ts';
import { EMULATOR_CREDENTIALS } from './emulators.ts';
import { provision, type Resources } from './provision.ts';
import { type ServiceProcess, spawnService } from './service-process.ts';

const REGION = 'us-east-1';
const MAX_RECORDS_PER_PUT = 500;

export interface Endpoints {
  kinesis: string;
  dynamodb: string;
}

/** A stream, its tables and clients for one test; names are its own, so tests share the emulators. */
export class TestStack {
  readonly resources: Resources;
  readonly kinesis: KinesisClient;
  readonly dynamodb: DynamoDBClient;
  readonly #endpoints: Endpoints;
  readonly #services = new Set<ServiceProcess>();

  private constructor(endpoints: Endpoints, resources: Resources) {
    this.#endpoints = endpoints;
    this.resources = resources;
    this.kinesis = createKinesisClient({
      region: REGION,
      credentials: EMULATOR_CREDENTIALS,
      kinesisEndpoint: endpoints.kinesis,
    });
    this.dynamodb = createDynamoDBClient({
      region: REGION,
      credentials: EMULATOR_CREDENTIALS,
      dynamodbEndpoint: endpoints.dynamodb,
    });
  }

  static async create(
    endpoints: Endpoints,
    options: { shards?: number; stream?: string } = {},
  ): Promise<TestStack> {
    const name = `test-${randomUUID().slice(0, 8)}`;
    const stack = new TestStack(endpoints, {
      stream: options.stream ?? name,
      shards: options.shards ?? 2,
      recordsTable: `${name}-records`,
      leaseTable: `${name}-leases`,
      stateTable: `${name}-state`,
      deadLetterTable: `${name}-dead-letters`,
    });
    await provision(stack, stack.resources);
    return stack;
  }

  /** The environment that points a service at this stack. */
  get env(): Record<string, string> {
    return {
      STREAM_NAME: this.resources.stream,
      RECORDS_TABLE: this.resources.recordsTable,
      LEASE_TABLE: this.resources.leaseTable,
      STATE_TABLE: this.resources.stateTable,
      DEAD_LETTER_TABLE: this.resources.deadLetterTable,
      AWS_REGION: REGION,
      AWS_ENDPOINT_URL_KINESIS: this.#endpoints.kinesis,
      AWS_ENDPOINT_URL_DYNAMODB: this.#endpoints.dynamodb,
    };
  }

  /** Starts `services/<name>/main.ts` on this stack; `close` stops it. */
  async start(name: string, env: Record<string, string> = {}): Promise<ServiceProcess> {
    const service = await spawnService({
      name,
      entry: `services/${name}/main.ts`,
      env: { ...this.env, ...env },
    });
    this.#services.add(service);
    void service.exited.then(() => this.#services.delete(service));
    return service;
  }

  /** Puts records as they are, in this order within a partition key. */
  async put(records: readonly { key: string; data: string | Uint8Array }[]): Promise<void> {
    for (let i = 0; i < records.length; i += MAX_RECORDS_PER_PUT) {
      const Records = records.slice(i, i + MAX_RECORDS_PER_PUT).map(({ key, data }) => ({
        PartitionKey: key,
        Data: typeof data === 'string' ? Buffer.from(data) : data,
      }));
      const { FailedRecordCount } = await this.kinesis.send(
        new PutRecordsCommand({ StreamName: this.resources.stream, Records }),
      );
      if (FailedRecordCount) throw new Error(`the emulator refused ${FailedRecordCount} records`);
    }
  }

  records(): Promise<Record<string, unknown>[]> {
    return this.#scan(this.resources.recordsTable);
  }

  async countRecords(): Promise<number> {
    let count = 0;
    const input = { TableName: this.resources.recordsTable, ConsistentRead: true, Select: 'COUNT' as const };
    for await (const page of paginateScan({ client: this.dynamodb }, input)) count += page.Count ?? 0;
    return count;
  }

  /** The leases; the lease table has rows of other kinds too. */
  async leases(): Promise<Record<string, unknown>[]> {
    const rows = await this.#scan(this.resources.leaseTable);
    return rows.filter(({ entityType }) => entityType === 'LEASE');
  }

  /** Items of the state table: states of sources, and rollups. */
  states(): Promise<Record<string, unknown>[]> {
    return this.#scan(this.resources.stateTable);
  }

  deadLetters(): Promise<Record<string, unknown>[]> {
    return this.#scan(this.resources.deadLetterTable);
  }

  async #scan(TableName: string): Promise<Record<string, unknown>[]> {
    const items: Record<string, unknown>[] = [];
    for await (const page of paginateScan({ client: this.dynamodb }, { TableName, ConsistentRead: true })) {
      for (const item of page.Items ?? []) items.push(unmarshall(item as Record<string, AttributeValue>));
    }
    return items;
  }

  /** Deletes the tables, for who makes many in one emulator. */
  async dropTables(): Promise<void> {
    const { recordsTable, leaseTable, stateTable, deadLetterTable } = this.resources;
    for (const TableName of [recordsTable, leaseTable, stateTable, deadLetterTable]) {
      await this.dynamodb.send(new DeleteTableCommand({ TableName }));
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#services].map((service) => service.stop()));
    this.kinesis.destroy();
    this.dynamodb.destroy();
  }
}
