import { expect } from 'vitest';
import { ofType } from '../templates.ts';
import type { Promised } from './promised.ts';
import { singleActions } from './statements.ts';

/** The Lambda variant of the consumer. */
export const LAMBDA_PROMISES: readonly Promised[] = [
  {
    says: 'the function is as the design says: arm64, Node 24, its memory and time, traced, JSON logs of its own',
    part: 'lambda',
    check: (t, env) => {
      expect(ofType(t, 'AWS::Lambda::Function').map((f) => f.Properties)).toMatchObject([
        {
          Architectures: ['arm64'],
          Runtime: 'nodejs24.x',
          MemorySize: env.consumers.lambda?.memoryMb,
          Timeout: env.consumers.lambda?.timeoutSeconds,
          TracingConfig: { Mode: 'Active' },
          LoggingConfig: { LogFormat: 'JSON', LogGroup: { Ref: expect.stringMatching(/^Logs/) } },
        },
      ]);
      expect(ofType(t, 'AWS::Logs::LogGroup').map((g) => g.Properties)).toMatchObject([
        { RetentionInDays: env.consumers.lambda?.logRetentionDays },
      ]);
    },
  },
  {
    says: 'a failed batch is halved, reported by item, retried within bounds, and then kept',
    part: 'lambda',
    check: (t, env) =>
      expect(ofType(t, 'AWS::Lambda::EventSourceMapping').map((m) => m.Properties)).toMatchObject([
        {
          BisectBatchOnFunctionError: true,
          FunctionResponseTypes: ['ReportBatchItemFailures'],
          MaximumRetryAttempts: env.consumers.lambda?.retryAttempts,
          MaximumRecordAgeInSeconds: env.consumers.lambda?.maxRecordAgeSeconds,
          DestinationConfig: { OnFailure: { Destination: expect.stringMatching(/^arn:aws:s3:::weir-/) } },
        },
      ]),
  },
  {
    says: 'batches are as the design says: from LATEST, 100 records or 5 seconds, two a shard at once',
    part: 'lambda',
    check: (t, env) =>
      expect(ofType(t, 'AWS::Lambda::EventSourceMapping').map((m) => m.Properties)).toMatchObject([
        {
          StartingPosition: 'LATEST',
          BatchSize: env.consumers.lambda?.batchSize,
          MaximumBatchingWindowInSeconds: env.consumers.lambda?.batchWindowSeconds,
          ParallelizationFactor: env.consumers.lambda?.parallelization,
        },
      ]),
  },
  {
    says: "the function's role may do single actions on single resources",
    part: 'lambda',
    check: singleActions,
  },
];
