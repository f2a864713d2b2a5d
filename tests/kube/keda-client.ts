import { type Client, credentials } from '@grpc/grpc-js';
import { ExternalScalerClient } from '../../services/controller/keda/protocol.ts';
import type { ServiceProcess } from '../../services/testkit/service-process.ts';

type Stream = NodeJS.EventEmitter & { cancel(): void };

/** What KEDA's operator calls of a controller. */
export function kedaClient(controller: ServiceProcess) {
  const port = /"keda_port":(\d+)/.exec(controller.lastLines().join('\n'))?.[1];
  const client = new ExternalScalerClient(`127.0.0.1:${port}`, credentials.createInsecure()) as Client &
    Record<string, (...args: unknown[]) => unknown>;
  return {
    /** @throws ServiceError */
    call: (method: string, request: object): Promise<unknown> =>
      new Promise((resolve, reject) => {
        client[method]?.(request, (error: unknown, answer: unknown) =>
          error ? reject(error) : resolve(answer),
        );
      }),
    stream: (method: string, request: object) => client[method]?.(request) as Stream,
    close: () => client.close(),
  };
}
