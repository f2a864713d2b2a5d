import {
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

/** `externalscaler.ScaledObjectRef`. */
export interface ScaledObjectRef {
  name: string;
  namespace: string;
  scalerMetadata: Record<string, string>;
}

export interface MetricSpec {
  metricName: string;
  targetSize: number;
  targetSizeFloat: number;
}

export interface MetricValue {
  metricName: string;
  metricValue: number;
  metricValueFloat: number;
}

const field = (type: string, id: number, more: object = {}) => ({ type, id, ...more });
const call = (requestType: string, responseType: string, more: object = {}) => ({
  requestType,
  responseType,
  ...more,
});

/** KEDA's protocol of external scalers (keda.sh, "External Scalers", externalscaler.proto). In code, so that a bundle has it. */
const PROTOCOL = {
  nested: {
    externalscaler: {
      nested: {
        ExternalScaler: {
          methods: {
            IsActive: call('ScaledObjectRef', 'IsActiveResponse'),
            StreamIsActive: call('ScaledObjectRef', 'IsActiveResponse', { responseStream: true }),
            GetMetricSpec: call('ScaledObjectRef', 'GetMetricSpecResponse'),
            GetMetrics: call('GetMetricsRequest', 'GetMetricsResponse'),
          },
        },
        ScaledObjectRef: {
          fields: {
            name: field('string', 1),
            namespace: field('string', 2),
            scalerMetadata: field('string', 3, { keyType: 'string' }),
          },
        },
        IsActiveResponse: { fields: { result: field('bool', 1) } },
        GetMetricSpecResponse: { fields: { metricSpecs: field('MetricSpec', 1, { rule: 'repeated' }) } },
        MetricSpec: {
          fields: {
            metricName: field('string', 1),
            targetSize: field('int64', 2),
            targetSizeFloat: field('double', 3),
          },
        },
        GetMetricsRequest: {
          fields: { scaledObjectRef: field('ScaledObjectRef', 1), metricName: field('string', 2) },
        },
        GetMetricsResponse: { fields: { metricValues: field('MetricValue', 1, { rule: 'repeated' }) } },
        MetricValue: {
          fields: {
            metricName: field('string', 1),
            metricValue: field('int64', 2),
            metricValueFloat: field('double', 3),
          },
        },
      },
    },
  },
};

const loaded = loadPackageDefinition(
  // Its types ask for `fields` in a service, too.
  fromJSON(PROTOCOL as unknown as Parameters<typeof fromJSON>[0], {
    keepCase: true,
    longs: Number,
    defaults: true,
    objects: true,
  }),
) as unknown as { externalscaler: { ExternalScaler: ServiceClientConstructor } };

/** A client of the protocol: what KEDA's operator is to us. */
export const ExternalScalerClient = loaded.externalscaler.ExternalScaler;
export const EXTERNAL_SCALER: ServiceDefinition<UntypedServiceImplementation> = ExternalScalerClient.service;
