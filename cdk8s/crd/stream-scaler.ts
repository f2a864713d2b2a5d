import type { z } from 'zod';
import { streamScalerSpec } from './spec.ts';
import { streamScalerStatus } from './status.ts';
import { structuralSchema } from './structural.ts';

/** UpdateShardCount calls that AWS allows in 24 h. It counts neither SplitShard nor MergeShards, and nor do we. */
export const RESHARD_CALLS_PER_DAY = 10;

export const GROUP = 'weir.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;
export const KIND = 'StreamScaler';
export const PLURAL = 'streamscalers';

/** On a StreamScaler with the value `true`: it goes on watching and telling, and changes nothing. */
export const PAUSED_ANNOTATION = 'weir.dev/paused';

/** `spec` as the API server hands it out: with its defaults. */
export type StreamScalerSpec = z.output<typeof streamScalerSpec>;
/** `spec` as somebody may write it. */
export type StreamScalerSpecInput = z.input<typeof streamScalerSpec>;
export type StreamScalerStatus = z.output<typeof streamScalerStatus>;
/** One entry of the ledger of reshard calls. */
export type ReshardCall = NonNullable<StreamScalerStatus['reshardBudget']>['calls'][number];
export type ScalingRules = NonNullable<StreamScalerSpec['behavior']['scaleUp']>;

/** A StreamScaler as the API server hands it out. Times are ISO 8601. */
export interface StreamScaler {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    resourceVersion: string;
    generation: number;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
  };
  spec: StreamScalerSpec;
  status?: StreamScalerStatus;
}

const column = (name: string, type: string, jsonPath: string, description: string, priority = 0) => ({
  name,
  type,
  jsonPath,
  description,
  ...(priority > 0 ? { priority } : {}),
});

const READY = '.status.conditions[?(@.type=="Ready")]';

/** The CustomResourceDefinition, ready to be applied. */
export const STREAM_SCALER_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${PLURAL}.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: {
      kind: KIND,
      listKind: `${KIND}List`,
      plural: PLURAL,
      singular: 'streamscaler',
      shortNames: ['ssc'],
      categories: ['weir', 'autoscaling'],
    },
    versions: [
      {
        name: VERSION,
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          column('Ready', 'string', `${READY}.status`, 'Does it do its work?'),
          column('Mode', 'string', '.spec.mode', 'What it may change.'),
          column('Lag', 'number', '.status.lag.maxSeconds', 'Seconds that the furthest shard is behind.'),
          column('Replicas', 'integer', '.status.replicas.current', 'Replicas of the target.'),
          column('Desired', 'integer', '.status.replicas.desired', 'Replicas that hold the objective.', 1),
          column('Shards', 'integer', '.status.shards.open', 'Open shards.'),
          column('Reason', 'string', `${READY}.reason`, 'Why it is ready, or not.'),
          column('Age', 'date', '.metadata.creationTimestamp', 'Since when it is there.'),
          column('Decision', 'string', '.status.lastDecision.reason', 'The latest decision.', 1),
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description:
              'Holds the lag of a Kinesis consumer group: decides replicas and shards together, from how far the group is behind and how fast it works.',
            required: ['spec'],
            properties: {
              apiVersion: { type: 'string', description: 'weir.dev/v1alpha1' },
              kind: { type: 'string', description: 'StreamScaler' },
              metadata: { type: 'object' },
              spec: structuralSchema(streamScalerSpec),
              status: structuralSchema(streamScalerStatus),
            },
          },
        },
      },
    ],
  },
} as const;
