import { afterEach, beforeEach, inject } from 'vitest';
import { TestStack } from '../stack.ts';

/** What each test of a file has to itself. */
export interface OwnStack {
  /** Of the test that runs: stream and tables on the emulators. */
  readonly stack: TestStack;
  /** Closes something after the test, before the stack. */
  onEnd(close: () => void): void;
}

/** Gives each test of the file that calls it a stack of its own. */
export function ownStack(): OwnStack {
  let stack: TestStack;
  const closers: (() => void)[] = [];
  beforeEach(async () => {
    stack = await TestStack.create({
      kinesis: inject('kinesisEndpoint'),
      dynamodb: inject('dynamodbEndpoint'),
    });
  });
  afterEach(async () => {
    for (const close of closers.splice(0)) close();
    await stack.close();
  });
  return {
    get stack() {
      return stack;
    },
    onEnd: (close) => void closers.push(close),
  };
}
