import { z } from 'zod';
import { ConfigError } from '../../services/shared/errors.ts';
import { detection, detectionVariables, usesModels } from './detection.ts';
import { isStage, STAGES } from './names.ts';
import { tracing } from './tracing.ts';

/**
 * What differs between dev, staging and prod: one object each. `infra/` makes the AWS resources from it and
 * `cdk8s/` the manifests, so a name is written once. What follows from it (table names, role names) is in
 * `names.ts`. An unknown key is an error, not a wish that nobody reads.
 */

const bounds = (smallest: number, largest: number) =>
  z
    .strictObject({
      min: z.int().min(smallest).max(largest),
      max: z.int().min(1).max(largest),
    })
    .refine(({ min, max }) => min <= max, 'min must not exceed max');

/** A DNS label, as Kubernetes wants it for namespaces and service accounts. */
const label = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'expected a DNS label');
const account = z.string().regex(/^\d{12}$/, 'expected the 12 digits of an AWS account');
const region = z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'expected an AWS region, like ap-south-1');
const host = z.hostname();
const multiRegionKey = z.string().regex(/^arn:aws:kms:[a-z0-9-]+:\d{12}:key\/mrk-[0-9a-f]{32}$/);
/**
 * The name of a consumer group, and the beginning of its tables' names: two groups never share a table, so
 * neither leases, nor detector states, nor results can mix.
 */
const group = z.string().regex(/^[a-zA-Z0-9_.-]{3,200}$/, "expected 3-200 letters, digits, '_', '.' or '-'");

const stream = z.strictObject({
  name: z.string().regex(/^[a-zA-Z0-9_.-]{1,128}$/),
  /** Provisioned: created with `shards`, which the controller changes later. On demand: AWS changes them. */
  mode: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('provisioned'), shards: z.int().min(1).max(10_000) }),
    z.strictObject({ kind: z.literal('on-demand') }),
  ]),
  /** How long a record can be read, in hours. More than 24 costs extra. */
  retentionHours: z.int().min(24).max(8760),
  /** Metrics of each shard. They cost as custom metrics do, for each shard. */
  shardMetrics: z.array(
    z.enum([
      'IncomingBytes',
      'IncomingRecords',
      'IteratorAgeMilliseconds',
      'OutgoingBytes',
      'OutgoingRecords',
      'ReadProvisionedThroughputExceeded',
      'WriteProvisionedThroughputExceeded',
    ]),
  ),
});

/** The consumer as pods, scaled by the controller. */
const pods = z.strictObject({
  group,
  replicas: bounds(0, 10_000),
  fetch: z.enum(['polling', 'fanout', 'auto']),
  /** What the controller may do: docs of `StreamScaler.spec.mode`. */
  scaling: z.enum(['Recommend', 'ReplicasOnly', 'Full']),
  objective: z.strictObject({
    maxLagSeconds: z.int().min(1).max(86_400),
    catchUpSeconds: z.int().min(10).max(86_400),
    utilization: z.number().min(0.1).max(0.95),
  }),
  /** Write metrics for CloudWatch into the log, once a minute (`METRICS_EMF`): something there has to pick them up. */
  cloudWatchMetrics: z.boolean().default(false),
});

/** The consumer as a Lambda function behind an event source mapping. */
const lambda = z.strictObject({
  group,
  memoryMb: z.int().min(128).max(10_240),
  /** A write that fails is tried for half of it: in less than 10 s that is too seldom to tell an item at fault from a slow table. */
  timeoutSeconds: z.int().min(10).max(900),
  batchSize: z.int().min(1).max(10_000),
  batchWindowSeconds: z.int().min(0).max(300),
  /** Batches of one shard at once, by partition key. */
  parallelization: z.int().min(1).max(10),
  retryAttempts: z.int().min(0).max(10_000),
  /** Records older than this go to the on-failure destination; less than the stream's retention. */
  maxRecordAgeSeconds: z.int().min(60).max(604_800),
  /** Read over an enhanced fan-out consumer of its own. */
  fanout: z.boolean(),
  logRetentionDays: z.union([z.literal(7), z.literal(14), z.literal(30), z.literal(90), z.literal(365)]),
  /** Whether the function runs in `network`. */
  inVpc: z.boolean(),
});

/** Of the 4 KB that a function's variables may have in all. */
const MAX_FUNCTION_BYTES = 3_000;

/** An existing VPC, named by its ids, so that a synthesis asks AWS nothing. */
const network = z.strictObject({
  vpcId: z.string().regex(/^vpc-[0-9a-f]{8,17}$/),
  cidr: z.cidrv4(),
  availabilityZones: z.array(z.string()).min(2),
  privateSubnetIds: z.array(z.string().regex(/^subnet-[0-9a-f]{8,17}$/)).min(2),
  privateRouteTableIds: z.array(z.string().regex(/^rtb-[0-9a-f]{8,17}$/)).min(1),
  /** Make endpoints of the AWS services that Weir calls, for a cluster without a way to the internet. */
  endpoints: z.boolean(),
});

/** How pods get their role. */
const podCredentials = z.discriminatedUnion('kind', [
  /** EKS Pod Identity: the cluster runs its agent add-on. */
  z.strictObject({ kind: z.literal('pod-identity') }),
  /** IAM roles for service accounts: host and path of the cluster's OIDC issuer, without `https://`. */
  z.strictObject({
    kind: z.literal('irsa'),
    oidcProvider: z.string().regex(/^[a-z0-9.-]+(\/[A-Za-z0-9/_-]+)?$/),
  }),
]);

/** How clients outside the cluster reach the producer. */
const ingress = z.discriminatedUnion('kind', [
  /** An Ingress of the AWS Load Balancer Controller. */
  z.strictObject({
    kind: z.literal('alb'),
    scheme: z.enum(['internal', 'internet-facing']),
    /** ARN of its certificate; none: the load balancer finds one by the host. */
    certificateArn: z.string().startsWith('arn:').optional(),
  }),
  /** An HTTPRoute on a Gateway that the platform runs, which has the certificate. */
  z.strictObject({ kind: z.literal('gateway'), name: label, namespace: label }),
]);

/** Who may send events: never everybody. */
const auth = z.discriminatedUnion('kind', [
  /** Who has a key of the environment's secret. */
  z.strictObject({ kind: z.literal('api-key') }),
  /** Who has a token of an OpenID Connect issuer (docs/how-to/send-with-a-key.md). */
  z.strictObject({
    kind: z.literal('jwt'),
    issuer: z.string().min(1),
    audience: z.string().min(1),
    /** The issuer's keys, read by the producer. */
    jwksUrl: z
      .url({ protocol: /^https$/ })
      .refine((url) => new URL(url).port === '', 'port 443: the network policy lets nothing else out'),
    /** Left out: those of `JWT_ALGORITHMS`. */
    algorithms: z.array(z.string()).min(1).optional(),
    /** Left out: that of `JWT_SOURCES_CLAIM`. */
    sourcesClaim: z.string().min(1).optional(),
  }),
]);

const alarms = z.strictObject({
  /** Where alarms are mailed; none: only the topic, for chat and paging to subscribe to. */
  email: z.email().optional(),
  /** The consumer is this far behind the tip, in seconds. */
  iteratorAgeSeconds: z.int().min(1),
  /** No record came in for so long although data is due, in minutes; none: a silent stream is normal. */
  noDataMinutes: z.int().min(5).max(1440).optional(),
  /** Alarm of this environment's bill, in US dollars a month. */
  budgetUsd: z.number().positive(),
});

const schema = z
  .strictObject({
    /** Short, since names of buckets and roles have it in them. */
    name: z
      .string()
      .regex(/^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$/, 'expected a DNS label of at most 15 characters')
      .refine((name) => !['registry', 'argocd'].includes(name), 'is the name of something else'),
    /** The stage whose images run here, `images.json` has them. Left out for `dev`, `staging` and `prod`, which are stages. */
    stage: z.enum(STAGES).optional(),
    account,
    region,
    /** Existing EKS cluster. */
    cluster: label,
    /**
     * Where pods reach the Kubernetes API: the address of the Service `kubernetes`, which the VPC CNI's network
     * policies see, and the subnets of the control plane's interfaces, which those of Calico and Cilium see.
     */
    apiServerCidrs: z.array(z.cidrv4()).min(1),
    podCredentials,
    namespace: label,
    stream,
    records: z.strictObject({
      /** What has an item: all events, or anomalies, with rollups of all a source and minute. */
      store: z.enum(['all', 'anomalies']),
      /** Days until an item expires by its `expires_at` (`ITEM_DAYS`); none: kept for ever. */
      ttlDays: z.int().min(1).optional(),
      /** Regions that hold a replica of records and dead letters (DynamoDB global tables). */
      replicas: z.array(
        z.strictObject({
          region,
          /** The replica there of the environment's key (`aws kms replicate-key`). */
          keyArn: multiRegionKey,
        }),
      ),
      /**
       * Records and dead letters are replicas of another environment's tables, made and deleted there (its `replicas`); this is the
       * key here that encrypts them.
       */
      replicaKeyArn: multiRegionKey.optional(),
    }),
    detection,
    consumers: z
      .strictObject({ pods: pods.optional(), lambda: lambda.optional() })
      .refine((c) => c.pods !== undefined || c.lambda !== undefined, {
        message: 'nobody would read the stream: configure pods or lambda',
      })
      .refine((c) => c.pods === undefined || c.pods.group !== c.lambda?.group, {
        message:
          'pods and lambda with the same group would both score each event, into the same tables: choose one, or give them different groups',
      }),
    /** Bounds of the stream that the controller respects. */
    shards: bounds(1, 10_000),
    producer: z.strictObject({
      replicas: bounds(1, 1_000),
      /** Host by which clients send. */
      host,
      ingress,
      auth: auth.default({ kind: 'api-key' }),
      /** Origins whose web pages may send, like `https://app.example.com`, or `*`; none by default. */
      corsOrigins: z.array(z.string()).default([]),
    }),
    controller: z.strictObject({ replicas: z.int().min(1).max(3) }),
    /** It has no login and so no ingress: it is reached by `kubectl port-forward`. */
    console: z.strictObject({ replicas: z.int().min(0).max(5) }),
    network: network.optional(),
    /** Left out: no traces. */
    tracing: tracing.optional(),
    alarms,
    github: z.strictObject({
      /** `owner/name`, whose workflows may deploy here from the GitHub environment of this name. */
      repository: z.string().regex(/^[A-Za-z0-9-]+\/[A-Za-z0-9._-]+$/),
      /** An account has one OIDC provider for GitHub: `create` it here, or use the one that `exists`. */
      oidcProvider: z.enum(['create', 'exists']),
    }),
    /** Data survives `cdk destroy`, and can't be deleted by a slip. Off only where data is worth nothing. */
    protectData: z.boolean(),
  })
  .superRefine((env, context) => {
    const issue = (path: string[], message: string) =>
      context.addIssue({ code: 'custom', path, message, input: env });
    const { pods, lambda } = env.consumers;
    if (env.stage === undefined && !isStage(env.name))
      issue(['stage'], `is needed: ${STAGES.join(', ')} have images, ${env.name} runs those of one of them`);
    if (env.stage !== undefined && isStage(env.name)) issue(['stage'], `${env.name} has images of its own`);
    if (lambda && lambda.maxRecordAgeSeconds >= env.stream.retentionHours * 3600)
      issue(
        ['consumers', 'lambda', 'maxRecordAgeSeconds'],
        'must be less than the retention of the stream, else a record is gone before its batch is given up',
      );
    if (lambda?.inVpc && !env.network) issue(['network'], 'is needed by consumers.lambda.inVpc');
    if (lambda && usesModels(env.detection))
      issue(
        ['detection', 'params'],
        'consumers.lambda has no ONNX Runtime and no model in its bundle: only pods take detectors of kind onnx',
      );
    if (lambda && JSON.stringify(detectionVariables(env.detection)).length > MAX_FUNCTION_BYTES)
      issue(['detection', 'params'], 'a function takes variables of 4 KB in all: shorten them');
    if (pods?.scaling === 'Full' && env.stream.mode.kind === 'on-demand')
      issue(['consumers', 'pods', 'scaling'], 'an on-demand stream sets its own shards: ReplicasOnly');
    for (const replica of env.records.replicas) {
      if (replica.region === env.region) issue(['records', 'replicas'], `${env.region} is the region itself`);
      if (replica.keyArn.split(':')[3] !== replica.region)
        issue(['records', 'replicas'], `the key of the replica in ${replica.region} is in another region`);
    }
    if (env.records.replicaKeyArn !== undefined) {
      if (env.records.replicaKeyArn.split(':')[3] !== env.region)
        issue(['records', 'replicaKeyArn'], `must be a key in ${env.region}, where the replicas are`);
      if (env.records.replicas.length > 0)
        issue(
          ['records', 'replicas'],
          'belong to the environment that made the tables, not to one with replicaKeyArn',
        );
    }
    const shards = env.stream.mode.kind === 'provisioned' ? env.stream.mode.shards : env.shards.min;
    if (shards < env.shards.min || shards > env.shards.max)
      issue(['stream', 'mode', 'shards'], 'must be within shards.min and shards.max');
  });

export type Environment = z.output<typeof schema>;
export type EnvironmentInput = z.input<typeof schema>;

/** @throws ConfigError that names every field which can't be used. */
export function defineEnvironment(input: EnvironmentInput): Environment {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues.map((i) => `  ${i.path.join('.') || '(environment)'}: ${i.message}`);
  throw new ConfigError(`environment ${input.name} is not usable:\n${problems.join('\n')}`);
}
