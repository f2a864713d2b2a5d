import { DeadLetterQueue } from '../../services/consumer/dead-letters/dead-letter-queue.ts';
import { systemClock } from '../../services/shared/clock.ts';
import type { TestStack } from '../../services/testkit/stack.ts';

/** Puts all dead letters through again, by somebody with a client of his own, whose calls are let alone. @returns their ids. */
export async function redriveAll({ kinesis, dynamodb, resources }: TestStack): Promise<string[]> {
  const table = resources.deadLetterTable;
  const queue = new DeadLetterQueue({ kinesis, dynamodb, table, clock: systemClock });
  const ids: string[] = [];
  for await (const { id } of queue.list()) ids.push(id);
  ids.sort();
  for (const id of ids) await queue.redrive(id, { force: true });
  return ids;
}
