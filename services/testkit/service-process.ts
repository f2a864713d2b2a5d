import { EMULATOR_CREDENTIALS } from './emulators.ts';
import { launch, type ManagedProcess } from './processes.ts';

/** The ports a service said it listens on. */
interface ServicePorts {
  /** Port of its HTTP API, if it has one. */
  port?: number;
  adminPort: number;
}

export interface ServiceProcess extends ManagedProcess {
  readonly ports: ServicePorts;
}

export interface ServiceOptions {
  name: string;
  /** Path of its `main.ts` from the repository's root. */
  entry: string;
  /** As a pod's: nothing else is in its environment. Unless given, `HOST` is 127.0.0.1, the ports are free ones, and the credentials are the emulators'. */
  env: Readonly<Record<string, string>>;
  /** Of node itself, before the script: a profile, a heap limit. */
  nodeArgs?: readonly string[];
  onLine?: (line: string) => void;
}

/** Starts a service as its own process, as a pod would run it, and waits until it says that it listens. */
export async function spawnService(options: ServiceOptions): Promise<ServiceProcess> {
  const { process: started, ready } = await launch({
    name: options.name,
    args: [...(options.nodeArgs ?? []), options.entry],
    env: {
      HOST: '127.0.0.1',
      PORT: '0',
      ADMIN_PORT: '0',
      AWS_ACCESS_KEY_ID: EMULATOR_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: EMULATOR_CREDENTIALS.secretAccessKey,
      ...options.env,
    },
    ready: listeningPorts,
    ...(options.onLine ? { onLine: options.onLine } : {}),
  });
  return { ...started, ports: ready };
}

function listeningPorts(line: string): ServicePorts | undefined {
  if (!line.includes('"msg":"listening"')) return undefined;
  const { port, admin_port: adminPort } = JSON.parse(line) as { port?: number; admin_port: number };
  return { adminPort, ...(port === undefined ? {} : { port }) };
}
