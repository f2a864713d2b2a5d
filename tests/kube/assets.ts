import { accessSync, constants, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
};

/** What the tests need, and what is built when nothing is named. */
export const TEST_TOOLS = [
  'etcd',
  'kube-apiserver',
  'kubectl',
  'kube-controller-manager',
  'actionlint',
  'argocd',
  'miniredis',
  'promtool',
] as const;

const HERE = fileURLToPath(new URL('.', import.meta.url));

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
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'weir', tool.folder === 'kubernetes' ? 'kube' : tool.folder, moduleVersion(tool));
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
