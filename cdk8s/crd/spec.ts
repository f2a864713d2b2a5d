import { z } from 'zod';
import { k8s } from './structural.ts';

const seconds = (min: number, max: number, description: string) =>
  z.int().min(min).max(max).describe(description);

const stream = z
  .object({
    name: z
      .string()
      .regex(/^[a-zA-Z0-9_.-]+$/)
      .min(1)
      .max(128)
      .optional()
      .describe('Name of the stream, in the region and account of the controller unless said otherwise.'),
    arn: z
      .string()
      .regex(/^arn:aws[a-z-]*:kinesis:[a-z0-9-]+:\d{12}:stream\/[a-zA-Z0-9_.-]{1,128}$/)
      .max(2_048)
      .optional()
      .describe('ARN of the stream, instead of its name; it tells the region too.'),
    region: z
      .string()
      .regex(/^[a-z0-9-]+$/)
      .min(1)
      .max(64)
      .optional()
      .describe("AWS region of the stream and of the lease table. Default: the controller's own."),
    endpoint: z
      .string()
      .regex(/^https?:\/\//)
      .max(2_048)
      .optional()
      .describe(
        "Endpoint of Kinesis, for an emulator or a VPC endpoint. What isn't at AWS, the controller must be told by STREAM_ENDPOINTS. Default: the endpoint of the region.",
      ),
  })
  .meta(
    k8s({
      description:
        'The Kinesis stream: either name or arn. It can not be changed: learned rates and the reshard ledger belong to it.',
      'x-kubernetes-validations': [
        { rule: 'has(self.name) != has(self.arn)', message: 'give either stream.name or stream.arn' },
        {
          rule: "!has(self.arn) || !has(self.region) || self.arn.split(':')[3] == self.region",
          message: 'stream.region is not the region of stream.arn',
        },
        {
          rule: 'self == oldSelf',
          message: 'stream is immutable: make another StreamScaler for another stream',
        },
      ],
    }),
  );

const consumer = z
  .object({
    leaseTable: z
      .string()
      .regex(/^[a-zA-Z0-9_.-]+$/)
      .min(3)
      .max(255)
      .describe('DynamoDB table of the leases of the consumer group: of Weir, KCL 3 or KCL 2.'),
  })
  .describe('The consumer group whose lag is held.');

const scaleTargetRef = z
  .object({
    apiVersion: z
      .string()
      .min(1)
      .max(253)
      .default('apps/v1')
      .describe('API group and version of the target.'),
    kind: z
      .string()
      .min(1)
      .max(63)
      .default('Deployment')
      .describe('Kind of the target; it must have a scale subresource.'),
    name: z.string().min(1).max(253).describe('Name of the target, in the namespace of this object.'),
  })
  .describe('The workload that runs the consumer: anything with a scale subresource.');

const minMax = [{ rule: 'self.min <= self.max', message: 'min must not be above max', fieldPath: '.min' }];

const replicas = z
  .object({
    min: z
      .int()
      .min(0)
      .max(10_000)
      .default(1)
      .describe('Least replicas; 0 lets an idle stream run without a pod.'),
    max: z.int().min(1).max(10_000).describe('Most replicas.'),
  })
  .meta(k8s({ description: 'Bounds of the replicas.', 'x-kubernetes-validations': minMax }));

const shards = z
  .object({
    min: z.int().min(1).max(10_000).default(1).describe('Least open shards.'),
    max: z.int().min(1).max(10_000).describe('Most open shards.'),
  })
  .meta(
    k8s({
      description: 'Bounds of the open shards; needed in mode Full.',
      'x-kubernetes-validations': minMax,
    }),
  );

const objective = z
  .object({
    maxLagSeconds: seconds(
      1,
      604_800,
      'How far the furthest shard may be behind the tip of the stream.',
    ).default(60),
    catchUpSeconds: seconds(10, 86_400, 'Time in which a backlog is to be worked off.').default(300),
    utilization: z
      .number()
      .min(0.1)
      .max(1)
      .default(0.7)
      .meta(
        k8s({
          description:
            'Share of what a pod can do that is planned for the records that arrive; the rest is headroom.',
          // The API server (1.34) holds a whole number to the whole part of a minimum, so 0 would pass for 0.1.
          'x-kubernetes-validations': [
            { rule: 'self >= 0.1', message: 'should be greater than or equal to 0.1' },
          ],
        }),
      ),
  })
  .prefault({})
  .describe('What is to be held.');

const scalingRules = z
  .object({
    stabilizationWindowSeconds: seconds(
      0,
      3_600,
      'Past time whose recommendations count: up takes their minimum, down their maximum. Default: 0 up, 300 down.',
    ).optional(),
    selectPolicy: z
      .enum(['Max', 'Min', 'Disabled'])
      .optional()
      .describe(
        'Which of the policies holds: the one that allows most (Max), least (Min), or no change at all. Default: Max.',
      ),
    tolerance: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'No action while the required rate is within this share of what the pods can do. Default: 0.1.',
      ),
    policies: z
      .array(
        z.object({
          type: z
            .enum(['Pods', 'Percent'])
            .describe('What value counts: pods, or percent of the current replicas.'),
          value: z.int().min(1).max(10_000).describe('The change that is allowed in one period.'),
          periodSeconds: seconds(1, 1_800, 'Length of the period.'),
        }),
      )
      .max(8)
      .optional()
      .meta(
        k8s({
          description:
            'How much may change in how much time. Default: no limit up, 100 percent in 15 s down.',
          'x-kubernetes-list-type': 'atomic',
        }),
      ),
  })
  .optional();

const behavior = z
  .object({
    scaleUp: scalingRules.describe('Rules for more replicas.'),
    scaleDown: scalingRules.describe('Rules for fewer replicas.'),
    reshard: z
      .object({
        scaleDownWindowSeconds: seconds(
          3_600,
          604_800,
          'Time through which fewer shards must have been enough before they are merged.',
        ).default(3_600),
        reservedCalls: z
          .int()
          .min(0)
          .max(10)
          .default(4)
          .describe('Of the 10 reshard calls that AWS allows in 24 h, those kept for scaling up.'),
      })
      .prefault({})
      .describe('Rules for the shards.'),
  })
  .prefault({})
  .describe('How fast replicas and shards may follow, in the words of HorizontalPodAutoscaler.');

/** `spec` of a StreamScaler. */
export const streamScalerSpec = z
  .object({
    stream,
    consumer,
    scaleTargetRef,
    replicas,
    shards: shards.optional(),
    objective,
    mode: z
      .enum(['Recommend', 'ReplicasOnly', 'Full'])
      .default('Recommend')
      .describe(
        'Recommend decides and tells, and changes nothing. ReplicasOnly sets the replicas. Full sets the shards too.',
      ),
    behavior,
  })
  .meta(
    k8s({
      description: 'What is to be held, for which consumer group, within which bounds.',
      'x-kubernetes-validations': [
        {
          rule: "self.mode != 'Full' || has(self.shards)",
          message: 'mode Full needs the bounds shards.min and shards.max',
        },
      ],
    }),
  );
