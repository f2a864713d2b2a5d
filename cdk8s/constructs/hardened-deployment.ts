import { ApiObject } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import { Construct } from 'constructs';
import { type App, labelsOf } from './labels.ts';
import { ADMIN_PORT } from './network.ts';

/** What the last steps of a stop may take after `SHUTDOWN_TIMEOUT_MS`, in seconds. */
const STOP_MARGIN_SECONDS = 5;
/** As in the Dockerfiles. */
const USER = 10_001;

/** Who may push out whom when a cluster is full; `apps/platform.ts` makes them. */
export const PRIORITY = { pipeline: 'weir-pipeline', tools: 'weir-tools' } as const;

/** A folder that the Secrets Store CSI driver fills. */
interface SecretMount {
  secretProviderClass: string;
  path: string;
}

/** A folder with the files of a ConfigMap. */
interface FilesMount {
  configMap: string;
  path: string;
}

export interface HardenedDeploymentProps {
  app: App;
  namespace: string;
  /** By digest. */
  image: string;
  /** Of the image's entry point, where one image holds several services. */
  args?: string[];
  serviceAccount: string;
  /** ConfigMap with the environment. */
  config: string;
  /** Left out where something scales: a number here would fight with it at each sync. */
  replicas?: number;
  /** By name, besides the admin port, which is always there. */
  ports?: Readonly<Record<string, number>>;
  /** Whether the pod calls the Kubernetes API. */
  apiToken: boolean;
  /** Time for load balancers to send elsewhere before the process is told to stop, in seconds; 0: none sends here. */
  drainSeconds: number;
  /** `SHUTDOWN_TIMEOUT_MS` of the service. */
  shutdownTimeoutMs: number;
  /** CPU that is kept free for it, in thousandths; there is no limit, so that a burst isn't throttled. */
  cpuMillis: number;
  /** Memory in MiB, request and limit. */
  memoryMiB: number;
  /** Options of Node, such as how V8 is to stay within `memoryMiB`. */
  nodeOptions?: string;
  priority: string;
  secret?: SecretMount;
  files?: FilesMount;
}

/**
 * A Deployment as a strict cluster takes it (Pod Security "restricted"), with its PodDisruptionBudget. The typed L1
 * of Kubernetes on purpose: cdk8s-plus derives selectors from construct paths, and sets `replicas` (docs/adr).
 */
export class HardenedDeployment extends Construct {
  constructor(scope: Construct, id: string, props: HardenedDeploymentProps) {
    super(scope, id);
    const labels = labelsOf(props.app);
    const metadata = { name: `weir-${props.app}`, namespace: props.namespace };
    const manifest = k8s.KubeDeployment.manifest({
      metadata,
      spec: {
        ...(props.replicas === undefined ? {} : { replicas: props.replicas }),
        revisionHistoryLimit: 3,
        progressDeadlineSeconds: 300,
        // The new pod is ready before an old one goes.
        strategy: {
          type: 'RollingUpdate',
          rollingUpdate: {
            maxSurge: k8s.IntOrString.fromNumber(1),
            maxUnavailable: k8s.IntOrString.fromNumber(0),
          },
        },
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: podSpec(props, labels) },
      },
    });
    if (props.drainSeconds > 0) {
      // Kubernetes sleeps by itself since 1.30: no shell, no `sleep` in the image. The types of 1.27 drop what they
      // don't know, so it comes after them.
      manifest.spec.template.spec.containers[0].lifecycle = {
        preStop: { sleep: { seconds: props.drainSeconds } },
      };
    }
    new ApiObject(this, 'Deployment', manifest);
    new k8s.KubePodDisruptionBudget(this, 'PodDisruptionBudget', {
      metadata,
      spec: {
        selector: { matchLabels: labels },
        maxUnavailable: k8s.IntOrString.fromNumber(1),
        // A pod that isn't ready anyway must not hold up the drain of its node.
        unhealthyPodEvictionPolicy: 'AlwaysAllow',
      },
    });
  }
}

function podSpec(props: HardenedDeploymentProps, labels: Record<string, string>): k8s.PodSpec {
  const volumes = mountsOf(props).map(({ volume }) => volume);
  return {
    serviceAccountName: props.serviceAccount,
    automountServiceAccountToken: props.apiToken,
    enableServiceLinks: false,
    priorityClassName: props.priority,
    terminationGracePeriodSeconds:
      props.drainSeconds + Math.ceil(props.shutdownTimeoutMs / 1000) + STOP_MARGIN_SECONDS,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map(
      (topologyKey) => ({
        topologyKey,
        maxSkew: 1,
        // Rather together than not at all.
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: labels },
        // Each revision by itself, else the old pods push the new ones aside in a rolling update.
        matchLabelKeys: ['pod-template-hash'],
      }),
    ),
    containers: [container(props)],
    ...(volumes.length === 0 ? {} : { volumes }),
  };
}

/** What is mounted into the container, and where. */
function mountsOf({ secret, files }: HardenedDeploymentProps): { volume: k8s.Volume; path: string }[] {
  const mounts: { volume: k8s.Volume; path: string }[] = [];
  if (secret !== undefined) {
    const { secretProviderClass } = secret;
    const csi = {
      driver: 'secrets-store.csi.k8s.io',
      readOnly: true,
      volumeAttributes: { secretProviderClass },
    };
    mounts.push({ path: secret.path, volume: { name: 'secret', csi } });
  }
  if (files !== undefined)
    mounts.push({ path: files.path, volume: { name: 'files', configMap: { name: files.configMap } } });
  return mounts;
}

function container(props: HardenedDeploymentProps): k8s.Container {
  const probe = (path: string, periodSeconds: number, failureThreshold: number): k8s.Probe => ({
    httpGet: { path, port: k8s.IntOrString.fromString('admin') },
    periodSeconds,
    failureThreshold,
    timeoutSeconds: 2,
  });
  const volumeMounts = mountsOf(props).map(({ volume, path }): k8s.VolumeMount => {
    return { name: volume.name, mountPath: path, readOnly: true };
  });
  const memory = k8s.Quantity.fromString(`${props.memoryMiB}Mi`);
  return {
    name: props.app,
    image: props.image,
    imagePullPolicy: 'IfNotPresent',
    ...(props.args === undefined ? {} : { args: props.args }),
    ports: [
      ...Object.entries({ ...props.ports, admin: ADMIN_PORT }).map(([name, containerPort]) => ({
        name,
        containerPort,
      })),
    ],
    envFrom: [{ configMapRef: { name: props.config } }],
    ...(props.nodeOptions === undefined ? {} : { env: [{ name: 'NODE_OPTIONS', value: props.nodeOptions }] }),
    resources: {
      requests: {
        cpu: k8s.Quantity.fromString(`${props.cpuMillis}m`),
        memory,
        'ephemeral-storage': k8s.Quantity.fromString('64Mi'),
      },
      limits: { memory, 'ephemeral-storage': k8s.Quantity.fromString('256Mi') },
    },
    startupProbe: probe('/livez', 1, 60),
    livenessProbe: probe('/livez', 10, 3),
    readinessProbe: probe('/readyz', 2, 2),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    ...(volumeMounts.length === 0 ? {} : { volumeMounts }),
  };
}
