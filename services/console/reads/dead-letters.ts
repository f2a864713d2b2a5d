import { type AttributeValue, type DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';

/** Dead letters that are shown, the latest. */
const SHOWN = 50;
/** Items of a page: with their bytes a page is 1 MB at most all the same. */
const PAGE_ITEMS = 200;

export interface DeadLetter {
  id: string;
  reason: string;
  errorCode: string;
  message: string;
  /** ISO 8601. */
  failedAt: string;
  shardId: string;
  sequenceNumber: string;
  partitionKey: string;
  sizeBytes: number;
}

export interface DeadLetters {
  /** The latest that were seen, latest first. */
  latest: DeadLetter[];
  /** How many there are by reason, at the last walk through the whole table; `undefined` before its end. */
  counts: Record<string, number> | undefined;
}

/**
 * Walks through the dead letters, a page a reading, over and over: the table has no index by time, and one that is
 * large must not cost more. So a small table is read whole each time, and of a large one new letters show up late.
 */
export class DeadLetterWalk {
  readonly #dynamodb: DynamoDBClient;
  readonly #table: string;
  #from: Record<string, AttributeValue> | undefined;
  #found: DeadLetter[] = [];
  #counts = new Map<string, number>();
  #whole: DeadLetters | undefined;

  constructor(dynamodb: DynamoDBClient, table: string) {
    this.#dynamodb = dynamodb;
    this.#table = table;
  }

  async next(signal: AbortSignal): Promise<DeadLetters> {
    const answer = await this.#dynamodb.send(
      new ScanCommand({
        TableName: this.#table,
        Limit: PAGE_ITEMS,
        // Chunk 0 alone has the reason.
        FilterExpression: 'attribute_exists(reason)',
        ProjectionExpression:
          'id, reason, error_code, message, failed_at, shard_id, sequence_number, partition_key, size_bytes',
        ...(this.#from ? { ExclusiveStartKey: this.#from } : {}),
      }),
      { abortSignal: signal },
    );
    for (const item of answer.Items ?? []) {
      const letter = toDeadLetter(item);
      this.#found.push(letter);
      this.#counts.set(letter.reason, (this.#counts.get(letter.reason) ?? 0) + 1);
    }
    this.#found.sort((a, b) => b.failedAt.localeCompare(a.failedAt));
    this.#found.length = Math.min(this.#found.length, SHOWN);
    this.#from = answer.LastEvaluatedKey;
    if (!this.#from) {
      this.#whole = { latest: this.#found, counts: Object.fromEntries(this.#counts) };
      this.#found = [];
      this.#counts = new Map();
    }
    return this.#whole ?? { latest: this.#found, counts: undefined };
  }
}

function toDeadLetter(item: Record<string, AttributeValue>): DeadLetter {
  return {
    id: item.id?.S ?? '',
    reason: item.reason?.S ?? '',
    errorCode: item.error_code?.S ?? '',
    message: item.message?.S ?? '',
    failedAt: item.failed_at?.S ?? '',
    shardId: item.shard_id?.S ?? '',
    sequenceNumber: item.sequence_number?.S ?? '',
    partitionKey: item.partition_key?.S ?? '',
    sizeBytes: Number(item.size_bytes?.N ?? 0),
  };
}
