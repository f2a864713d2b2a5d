import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { environments } from '../../cdk8s/environments/environments.ts';
import { type Registry, registry } from '../../cdk8s/environments/registry.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import { addStacks } from '../app.ts';

export interface Resource {
  Type: string;
  // What CloudFormation's schema of the type says; tests look into it deeply.
  // biome-ignore lint/suspicious/noExplicitAny: typed by cfn-lint, not here
  Properties: any;
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
}
export interface CfnTemplate {
  Resources: Record<string, Resource>;
}

/** Resources of a type, in the template's order. */
export function ofType(template: CfnTemplate, type: string): Resource[] {
  return Object.values(template.Resources).filter((resource) => resource.Type === type);
}

interface TestAppOptions {
  registry?: Registry;
  /** Folder of the Lambda variant's bundle; without it, one that does nothing. */
  lambdaBundle?: string;
  outdir?: string;
}

/** The app with cdk.json's feature flags, as the command builds it. */
export function testApp(envs: readonly Environment[], options: TestAppOptions = {}): App {
  const empty = mkdtempSync(join(tmpdir(), 'weir-bundle-'));
  try {
    writeFileSync(join(empty, 'main.mjs'), 'export const handler = async () => ({});\n');
    const { context } = JSON.parse(readFileSync('cdk.json', 'utf8'));
    const { outdir } = options;
    const app = new App({ context, analyticsReporting: false, ...(outdir === undefined ? {} : { outdir }) });
    addStacks(app, {
      environments: envs,
      registry: options.registry ?? registry,
      pullAccounts: [...new Set(environments.map((e) => e.account))],
      lambdaBundle: options.lambdaBundle ?? empty,
    });
    return app;
  } finally {
    // The asset was copied when the function was made.
    rmSync(empty, { recursive: true });
  }
}

/** Template by stack name. */
export function templatesOf(app: App): Record<string, CfnTemplate> {
  const assembly = app.synth();
  const templates = assembly.stacks.map((stack) => [stack.stackName, stack.template as CfnTemplate]);
  rmSync(assembly.directory, { recursive: true });
  return Object.fromEntries(templates);
}
