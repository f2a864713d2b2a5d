import { MAX_ENTRIES, type Memory, type ReshardCall } from './memory.ts';
import type { StreamObservation } from './observation.ts';
import type { ReshardStep } from './reshard.ts';

const DAY_MS = 86_400_000;
/** AWS counts by its own clock: calls count for a little longer with us. */
const MARGIN_MS = 60_000;
/** After AWS said that the budget is spent, it is asked again in this time at the earliest. */
const SPENT_MS = 3_600_000;

/** UpdateShardCount calls that still count. AWS counts neither SplitShard nor MergeShards, nor what it refused. */
export function usedCalls(memory: Memory, now: number): number {
  return memory.ledger.filter(
    (call) => recent(call, now) && call.operation === 'UpdateShardCount' && call.outcome !== 'Refused',
  ).length;
}

/**
 * An UpdateShardCount call that was decided on from so many shards, and whose effect was not seen: it is made again as
 * it was, whatever the load is by now, since a call with another target would count once more.
 */
export function pendingUpdate(memory: Memory, current: number): ReshardCall | undefined {
  const pending = pendingCall(memory);
  return pending?.operation === 'UpdateShardCount' && pending.from === current ? pending : undefined;
}

function pendingCall(memory: Memory): ReshardCall | undefined {
  return memory.ledger.findLast((call) => call.outcome === 'Pending');
}

/**
 * The ledger after a look at the stream: forgets what is older than a day, confirms a pending call whose effect
 * shows, and enters a change that nobody here made, since AWS counts that call too.
 */
export function settleLedger(memory: Memory, stream: StreamObservation, now: number): Memory {
  const open = stream.shards.filter((shard) => shard.open).length;
  const updating = stream.status === 'UPDATING';
  const ledger = memory.ledger
    .filter((call) => recent(call, now))
    .map(
      (call): ReshardCall =>
        call.outcome === 'Pending' && (updating || open === call.to)
          ? { ...call, outcome: 'Accepted' }
          : call,
    );
  const { budgetSpentUntil, ...rest } = memory;
  const next: Memory = {
    ...rest,
    ledger,
    ...(budgetSpentUntil !== undefined && budgetSpentUntil > now ? { budgetSpentUntil } : {}),
  };
  // Half-way through a change the count is anything.
  if (stream.status !== 'ACTIVE') return next;
  const before = memory.openShards;
  if (before === undefined || before === open) return { ...next, openShards: open };
  if (ledger.at(-1)?.to === open) return { ...next, openShards: open, reshardedAt: now };
  // Whoever it was had a reason: the window for going down starts anew.
  const call: ReshardCall = {
    at: now,
    operation: 'UpdateShardCount',
    from: before,
    to: open,
    outcome: 'Accepted',
  };
  return { ...next, openShards: open, reshardedAt: now, shardPeaks: [], ledger: append(ledger, call) };
}

/**
 * Enters a step before it is carried out, so that a crash between the two can't make the budget look larger. A pending
 * entry of the same step stands for both.
 */
export function enterStep(memory: Memory, step: ReshardStep, from: number, to: number, now: number): Memory {
  const call = callOf(step, from, to, now);
  const pending = pendingCall(memory);
  if (pending && sameCall(pending, call)) return memory;
  return { ...memory, ledger: append(memory.ledger, call) };
}

/** AWS answered: the pending entry gets its outcome. */
export function noteOutcome(memory: Memory, outcome: 'Accepted' | 'Refused' | 'Unknown'): Memory {
  const pending = pendingCall(memory);
  return {
    ...memory,
    ledger: memory.ledger.map((call) => (call === pending ? { ...call, outcome } : call)),
  };
}

/** AWS refused with LimitExceededException because of the budget: somebody else has used it. */
export function noteBudgetSpent(memory: Memory, now: number): Memory {
  return { ...noteOutcome(memory, 'Refused'), budgetSpentUntil: now + SPENT_MS };
}

/** Calls that may still be made now; for scaling down the reserve isn't touched. */
export function callsLeft(memory: Memory, calls: number, reserve: number, now: number): number {
  if (memory.budgetSpentUntil !== undefined && memory.budgetSpentUntil > now) return 0;
  return Math.max(0, calls - reserve - usedCalls(memory, now));
}

function sameCall(a: ReshardCall, b: ReshardCall): boolean {
  return (
    a.operation === b.operation && a.from === b.from && a.to === b.to && a.shards?.join() === b.shards?.join()
  );
}

function callOf(step: ReshardStep, from: number, to: number, at: number): ReshardCall {
  switch (step.kind) {
    case 'update-shard-count':
      return { at, operation: 'UpdateShardCount', from, to, outcome: 'Pending' };
    case 'split-shard':
      return {
        at,
        operation: 'SplitShard',
        from,
        to,
        shards: [step.shardId],
        newStartingHashKey: step.newStartingHashKey,
        outcome: 'Pending',
      };
    case 'merge-shards':
      return {
        at,
        operation: 'MergeShards',
        from,
        to,
        shards: [step.shardId, step.adjacentShardId],
        outcome: 'Pending',
      };
  }
}

function recent(call: ReshardCall, now: number): boolean {
  return call.at > now - DAY_MS - MARGIN_MS;
}

/** Keeps what AWS counts when there are more calls than room. */
function append(ledger: readonly ReshardCall[], call: ReshardCall): ReshardCall[] {
  const all = [...ledger, call];
  if (all.length <= MAX_ENTRIES) return all;
  const drop = all.findIndex(({ operation }) => operation !== 'UpdateShardCount');
  return all.filter((_, i) => i !== Math.max(0, drop));
}
