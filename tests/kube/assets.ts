import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** A Go module of this folder that builds programs of another project, of one version. */
interface GoModule {
  /** Its folder, from here. */
  readonly folder: string;
  /** The module whose version in `go.mod` is the version of what is built. */
  readonly versionOf: string;
  /** Flags of the linker for that version: what the project's own build script sets. */
  readonly ldflags: (version: string) => string;
  /** Import path of a program that the module has as a `tool`; else its source is `<folder>/cmd/<name>/main.go`. */
  readonly package?: string;
}

const KUBERNETES: GoModule = {
  folder: 'kubernetes',
  versionOf: 'k8s.io/kubernetes',
  ldflags: (version) => {
    const [, major, minor] = /^v(\d+)\.(\d+)\./.exec(version) ?? [];
    return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
      .map((pkg) => `-X ${pkg}.gitVersion=${version} -X ${pkg}.gitMajor=${major} -X ${pkg}.gitMinor=${minor}`)
      .join(' ');
  },
};

const ARGOCD: GoModule = {
  folder: 'argocd',
  versionOf: 'github.com/argoproj/argo-cd/v3',
  ldflags: (version) => `-X github.com/argoproj/argo-cd/v3/common.version=${version.slice(1)}`,
};

const ACTIONLINT: GoModule = {
  folder: 'actionlint',
  versionOf: 'github.com/rhysd/actionlint',
  ldflags: () => '',
  package: 'github.com/rhysd/actionlint/cmd/actionlint',
};

const PROMETHEUS: GoModule = {
  folder: 'prometheus',
  versionOf: 'github.com/prometheus/prometheus',
  ldflags: (version) => `-X github.com/prometheus/common/version.Version=${version}`,
  package: 'github.com/prometheus/prometheus/cmd/promtool',
};

const LUA: GoModule = { folder: 'lua', versionOf: 'github.com/yuin/gopher-lua', ldflags: () => '' };

/** What `npm run kube:assets` can build, by the program's name. */
export const TOOLS: Readonly<Record<string, GoModule>> = {
  etcd: KUBERNETES,
  'kube-apiserver': KUBERNETES,
  kubectl: KUBERNETES,
  'kube-controller-manager': KUBERNETES,
  'kube-scheduler': KUBERNETES,
  kubelet: KUBERNETES,
  argocd: ARGOCD,
  miniredis: ARGOCD,
  actionlint: ACTIONLINT,
  promtool: PROMETHEUS,
  'lua-health': LUA,
};

/** What the tests need, and what is built when nothing is named. */
export const TEST_TOOLS = [
  'etcd',
  'kube-apiserver',
  'kubectl',
  'kube-controller-manager',
  'actionlint',
  'lua-health',
  'argocd',
  'miniredis',
  'promtool',
] as const;

/** The folder of a tool's Go module. */
export function moduleFolder(tool: GoModule): string {
  return join(HERE, tool.folder);
}

/** The version its `go.mod` requires, such as `v1.34.4`. */
export function moduleVersion(tool: GoModule): string {
  const text = readFileSync(join(moduleFolder(tool), 'go.mod'), 'utf8');
  const line = text.split('\n').find((l) =>
    l
      .trim()
      .replace(/^require /, '')
      .startsWith(`${tool.versionOf} v`),
  );
  // What a `tool` needs has a comment after its version.
  const version = line
    ?.trim()
    .replace(/^require /, '')
    .split(/\s+/)[1];
  if (version === undefined) throw new Error(`${tool.folder}/go.mod does not require ${tool.versionOf}`);
  return version;
}

/** Where a tool is, or would be built to: `$XDG_CACHE_HOME/weir/kube/<version>`, never in the tree. */
export function cacheFolder(tool: GoModule): string {
  return join(cacheRoot(), tool.folder === 'kubernetes' ? 'kube' : tool.folder, moduleVersion(tool));
}

function cacheRoot(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir');
}

/** Definitions of other projects' kinds, which the rendered manifests use, as their Go modules hold them. */
interface CrdSource {
  readonly module: string;
  readonly version: string;
  /** In the module. */
  readonly files: readonly string[];
}

export const CRD_SOURCES: readonly CrdSource[] = [
  {
    module: 'github.com/argoproj/argo-cd/v3',
    version: moduleVersion(ARGOCD),
    files: ['manifests/crds/appproject-crd.yaml', 'manifests/crds/applicationset-crd.yaml'],
  },
  {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    files: ['podmonitors', 'prometheusrules'].map(
      (kind) => `example/prometheus-operator-crd/monitoring.coreos.com_${kind}.yaml`,
    ),
  },
  {
    module: 'sigs.k8s.io/gateway-api',
    version: 'v1.4.0',
    files: ['config/crd/standard/gateway.networking.k8s.io_httproutes.yaml'],
  },
  {
    module: 'sigs.k8s.io/secrets-store-csi-driver',
    version: 'v1.4.8',
    files: ['config/crd/bases/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml'],
  },
];

/** Where a definition is, or would be brought to. */
export function crdFile({ module, version }: CrdSource, file: string): string {
  return join(cacheRoot(), 'crds', `${module.replaceAll('/', '-')}@${version}`, basename(file));
}

/** The definitions, by path; those that `npm run kube:assets` has not brought yet are `missing`. */
export function findCrds(): { files: string[]; missing: string[] } {
  const files = CRD_SOURCES.flatMap((source) => source.files.map((file) => crdFile(source, file)));
  return { files, missing: files.filter((file) => !existsSync(file)) };
}

/** The path of a tool's program: in `KUBEBUILDER_ASSETS` when it is set and has it, else in the cache; undefined when it is in neither. */
export function findTool(name: string): string | undefined {
  const tool = TOOLS[name];
  const folders = [process.env.KUBEBUILDER_ASSETS ?? '', tool ? cacheFolder(tool) : ''];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
