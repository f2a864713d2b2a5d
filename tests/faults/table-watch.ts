import type { ProxiedCall } from '../../services/testkit/fault-proxy.ts';
import type { Resources } from '../../services/testkit/provision.ts';
import type { Write } from './schedule.ts';

type Attribute = { S?: string; N?: string };
type Wire = Record<string, Attribute>;

interface Update {
  TableName: string;
  Key: Wire;
  UpdateExpression: string;
  ExpressionAttributeValues?: Wire;
}

/** What the leases of a shard went through. */
interface Watched {
  /** The worker that took the lease and did not give it up, by the name of its endpoints. */
  holder: string | undefined;
  checkpoint: { text: string; rank: readonly [bigint, number] };
}

const END = 2n ** 200n;
/** Differ between two writings of the same. */
const TIMES = /"(processed_at|failed_at)":\{"S":"[^"]*"\},?/g;

/**
 * Looks at every write on its way to the tables, so that what must never happen is seen even when a later write covers it:
 *
 * - a checkpoint is moved only by who holds the lease, and never back;
 * - a state never goes back;
 * - whoever writes an item, and however often, writes the same.
 */
export class TableWatch {
  readonly violations: string[] = [];
  /** Checkpoints and states that were written. */
  moves = 0;
  readonly #tables: Resources;
  readonly #leases = new Map<string, Watched>();
  readonly #watermarks = new Map<string, string>();
  readonly #items = new Map<string, string>();
  /** Updates of one item go one after another, so that their order is known. */
  readonly #tails = new Map<string, Promise<void>>();
  readonly #releases = new Map<ProxiedCall, () => void>();

  constructor(tables: Resources) {
    this.#tables = tables;
  }

  /** True when a checkpoint of the shard is at this record or behind it; given none, when it is at the shard's end. */
  done(shardId: string, sequenceNumber?: string): boolean {
    const [at] = this.#leases.get(shardId)?.checkpoint.rank ?? [-1n];
    return at >= (sequenceNumber === undefined ? END : BigInt(sequenceNumber));
  }

  /** True for the write that says that all of a shard is done with. */
  endsShard({ operation, body }: ProxiedCall): boolean {
    if (operation !== 'UpdateItem') return false;
    const { TableName, ExpressionAttributeValues: values } = JSON.parse(body.toString()) as Update;
    return TableName === this.#tables.leaseTable && values?.[':checkpoint']?.S === 'SHARD_END';
  }

  /** What a call writes; `undefined` for all that is none of these. A checkpoint renews a lease too. */
  writes({ operation, body }: ProxiedCall): Write | 'renewal' | undefined {
    if (operation !== 'UpdateItem') return undefined;
    const update = JSON.parse(body.toString()) as Update;
    if (update.TableName === this.#tables.stateTable) return 'state';
    if (update.TableName !== this.#tables.leaseTable) return undefined;
    if (update.ExpressionAttributeValues?.[':checkpoint']) return 'checkpoint';
    return update.UpdateExpression.includes('leaseOwner') ? undefined : 'renewal';
  }

  async before(call: ProxiedCall): Promise<void> {
    if (call.operation !== 'UpdateItem') return;
    const { TableName, Key } = JSON.parse(call.body.toString()) as Update;
    const key = `${TableName} ${JSON.stringify(Key)}`;
    const turn = this.#tails.get(key) ?? Promise.resolve();
    let release = () => {};
    const done = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#tails.set(
      key,
      turn.then(() => done),
    );
    await turn;
    this.#releases.set(call, release);
  }

  after(worker: string, call: ProxiedCall, status: number | undefined): void {
    if (status === 200) this.#look(worker, call);
    this.#releases.get(call)?.();
    this.#releases.delete(call);
  }

  #look(worker: string, { operation, body }: ProxiedCall): void {
    if (operation === 'UpdateItem') {
      const update = JSON.parse(body.toString()) as Update;
      if (update.TableName === this.#tables.leaseTable) this.#lease(worker, update);
      else if (update.TableName === this.#tables.stateTable) this.#state(worker, update);
    } else if (operation === 'BatchWriteItem') this.#batch(worker, body);
  }

  #lease(worker: string, { Key, UpdateExpression, ExpressionAttributeValues: values = {} }: Update): void {
    const shard = Key.leaseKey?.S ?? '';
    const before = this.#leases.get(shard);
    const lease: Watched = {
      holder: before?.holder,
      checkpoint: before?.checkpoint ?? { text: 'none', rank: [-1n, 0] },
    };
    const checkpoint = values[':checkpoint']?.S;
    if (checkpoint !== undefined) {
      const sub = Number(values[':checkpointSubSequenceNumber']?.N ?? 0);
      const moved = { text: `${checkpoint}.${sub}`, rank: rankOf(checkpoint, sub) };
      if (lease.holder !== worker) {
        this.#say(
          `${worker} moved the checkpoint of ${shard} to ${moved.text}, but ${lease.holder ?? 'nobody'} holds it`,
        );
      }
      if (isBefore(moved.rank, lease.checkpoint.rank)) {
        this.#say(
          `${worker} moved the checkpoint of ${shard} back from ${lease.checkpoint.text} to ${moved.text}`,
        );
      }
      lease.checkpoint = moved;
      this.moves++;
    }
    if (values[':weirTenure']) lease.holder = worker;
    else if (UpdateExpression.includes('leaseOwner')) lease.holder = undefined; // given up
    this.#leases.set(shard, lease);
  }

  #state(worker: string, { Key, ExpressionAttributeValues: values = {} }: Update): void {
    const series = Key.series?.S ?? '';
    const watermark = values[':w']?.S ?? '';
    const before = this.#watermarks.get(series) ?? '';
    if (watermark < before)
      this.#say(`${worker} moved the state of ${series} back from ${before} to ${watermark}`);
    this.#watermarks.set(series, watermark);
    this.moves++;
  }

  #batch(worker: string, body: Buffer): void {
    const { RequestItems } = JSON.parse(body.toString()) as {
      RequestItems: Record<string, { PutRequest: { Item: Wire } }[]>;
    };
    for (const [table, requests] of Object.entries(RequestItems)) {
      for (const { PutRequest } of requests) {
        const { id, chunk, series, part } = PutRequest.Item;
        const key = `${table} ${id?.S ?? series?.S} ${chunk?.N ?? part?.S ?? ''}`;
        const written = JSON.stringify(PutRequest.Item).replace(TIMES, '');
        const before = this.#items.get(key);
        if (before === undefined) this.#items.set(key, written);
        else if (before !== written)
          this.#say(`${worker} wrote ${key} anew and otherwise: ${written} after ${before}`);
      }
    }
  }

  #say(violation: string): void {
    this.violations.push(violation.length > 800 ? `${violation.slice(0, 800)}…` : violation);
  }
}

function rankOf(checkpoint: string, sub: number): readonly [bigint, number] {
  if (checkpoint === 'SHARD_END') return [END, 0];
  return [/^\d+$/.test(checkpoint) ? BigInt(checkpoint) : -1n, sub];
}

function isBefore([a, subA]: readonly [bigint, number], [b, subB]: readonly [bigint, number]): boolean {
  return a < b || (a === b && subA < subB);
}
