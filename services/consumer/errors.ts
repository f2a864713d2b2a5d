import { WeirError } from '../shared/errors.ts';

/** Work was given up because the worker is stopping or lost the shard; nothing was checkpointed past it. */
export class StoppedError extends WeirError {
  constructor() {
    super('stopped', 'stopped before the work in hand was done', { retryable: true });
  }
}

/** Another worker owns the lease now: this one may write neither checkpoint nor state. */
export class LeaseLostError extends WeirError {
  constructor(leaseKey: string, owner: string | undefined) {
    super('lease-lost', `the lease of ${leaseKey} is held by ${owner ?? 'nobody'} now`);
  }
}

/** What is kept of a source, or who reads the shards, is of an earlier stream of the same name: going on would pass over records. */
export class AnotherStreamError extends WeirError {
  constructor(what: string) {
    super(
      'another-stream',
      `${what} is of an earlier stream of this name: stop the consumers and delete the items of lease and state table (docs/how-to/disaster-recovery.md, "A stream that was made again")`,
    );
  }
}

/** A slice failed before: what the processor has in memory may not be stored, the work starts over with another one. */
export class ProcessorFailedError extends WeirError {
  constructor() {
    super('processor-failed', 'processing failed before; the work on the shard must start over', {
      retryable: true,
    });
  }
}
