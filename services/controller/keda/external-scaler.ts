import {
  Server,
  type ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Logger } from '../../shared/log.ts';
import type { DecisionBoard, ScalerRef, ToldDecision } from './decision-board.ts';
import { EXTERNAL_SCALER, type MetricSpec, type MetricValue, type ScaledObjectRef } from './protocol.ts';

/** The one metric: replicas that Weir decided on, with a target of 1 for each pod. */
const METRIC = 'weir-desired-replicas';
/** Of `scalerMetadata`: the StreamScaler in the ScaledObject's namespace; its own name when left out. */
const STREAM_SCALER = 'streamScaler';
const MAX_REQUEST_BYTES = 65_536;
const MAX_STREAMS = 1_000;
/** Calls under way have this long when it stops. */
const STOP_MS = 2_000;
/** Labels of Kubernetes' names: RFC 1123. */
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

interface IsActive {
  result: boolean;
}

/** The server of KEDA's protocol. */
export interface ExternalScaler {
  /** The port that it got. */
  port: number;
  /** Ends the streams, and waits 2 s at most for calls under way. */
  stop(): Promise<void>;
}

/**
 * Serves decisions to KEDA, which hands the metric on to an HPA: as many replicas as the value says. Without a decision
 * that holds a call fails, and KEDA leaves the replicas alone or goes by its `fallback`; it never gets a zero for
 * "not known".
 *
 * @param address `host:port`; port 0 asks the system for a free one.
 */
export async function startExternalScaler(
  board: DecisionBoard,
  address: string,
  credentials: ServerCredentials,
  log: Logger,
): Promise<ExternalScaler> {
  const server = new Server({ 'grpc.max_receive_message_length': MAX_REQUEST_BYTES });
  const streams = new Set<ServerWritableStream<ScaledObjectRef, IsActive>>();

  server.addService(EXTERNAL_SCALER, {
    IsActive: unary<ScaledObjectRef, IsActive>((request) => ({ result: isActive(board, refOf(request)) })),
    GetMetricSpec: unary<ScaledObjectRef, { metricSpecs: MetricSpec[] }>((request) => {
      refOf(request);
      return { metricSpecs: [{ metricName: METRIC, targetSize: 1, targetSizeFloat: 1 }] };
    }),
    GetMetrics: unary<
      { scaledObjectRef: ScaledObjectRef | null; metricName: string },
      { metricValues: MetricValue[] }
    >(({ scaledObjectRef, metricName }) => {
      const wanted = desired(board, refOf(scaledObjectRef));
      return {
        metricValues: [{ metricName: metricName || METRIC, metricValue: wanted, metricValueFloat: wanted }],
      };
    }),
    StreamIsActive(call: ServerWritableStream<ScaledObjectRef, IsActive>) {
      try {
        push(call);
      } catch (error) {
        call.emit('error', error); // grpc-js sends its code as the stream's status
      }
    },
  });

  /** Tells now, when something is known, and at each change. */
  function push(call: ServerWritableStream<ScaledObjectRef, IsActive>): void {
    const ref = refOf(call.request);
    if (streams.size >= MAX_STREAMS)
      throw failure(status.RESOURCE_EXHAUSTED, `more than ${MAX_STREAMS} streams are open`);
    let told: boolean | undefined;
    const tell = ({ replicas }: ToldDecision) => {
      const result = replicas && replicas.desired > 0;
      if (result === undefined || result === told) return;
      told = result;
      call.write({ result });
    };
    const stop = board.listen(ref, tell);
    streams.add(call);
    const close = () => {
      stop();
      streams.delete(call);
    };
    call.on('cancelled', close).on('close', close).on('error', close);
    const reading = board.read(ref);
    if ('decision' in reading) tell(reading.decision);
  }

  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  log.info({ port }, 'external scaler for KEDA is listening');
  return {
    port,
    async stop() {
      for (const stream of streams) stream.end();
      const force = setTimeout(() => server.forceShutdown(), STOP_MS);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(force);
    },
  };
}

function isActive(board: DecisionBoard, ref: ScalerRef): boolean {
  return desired(board, ref) > 0;
}

function desired(board: DecisionBoard, ref: ScalerRef): number {
  const reading = board.read(ref);
  const name = `StreamScaler ${ref.namespace}/${ref.name}`;
  if ('decision' in reading) {
    const { replicas, status: said } = reading.decision;
    if (replicas) return replicas.desired;
    throw failure(status.UNAVAILABLE, said.lastDecision?.reason ?? `nothing is known for ${name}`);
  }
  switch (reading.missing) {
    case 'stale':
      throw failure(status.UNAVAILABLE, `the last decision for ${name} is too old`);
    case 'undecided':
      throw failure(status.UNAVAILABLE, `there is no decision for ${name} yet`);
    case 'unknown':
      throw failure(status.NOT_FOUND, `there is no ${name}`);
  }
}

/** @throws ServiceError INVALID_ARGUMENT. */
function refOf(object: ScaledObjectRef | null): ScalerRef {
  const namespace = object?.namespace ?? '';
  const name = object?.scalerMetadata?.[STREAM_SCALER] || (object?.name ?? '');
  if (!NAME.test(namespace) || !NAME.test(name))
    throw failure(
      status.INVALID_ARGUMENT,
      `the namespace and metadata.${STREAM_SCALER} must name a StreamScaler`,
    );
  return { namespace, name };
}

function failure(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: undefined }) as unknown as ServiceError;
}

function unary<Request, Response>(answer: (request: Request) => Response) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => {
    let response: Response;
    try {
      response = answer(call.request);
    } catch (error) {
      callback(error as ServiceError);
      return;
    }
    callback(null, response);
  };
}
