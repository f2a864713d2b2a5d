import { existsSync, globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { environments } from '../cdk8s/environments/environments.ts';
import { consumerGroups } from '../cdk8s/environments/names.ts';
import { tableNames } from '../services/shared/tables.ts';
import { type CfnTemplate, ofType, templatesOf, testApp } from './testing/templates.ts';

/** What manifests name that the infrastructure makes, by the variable or field that names it. */
interface Names {
  streams: Set<string>;
  tables: Set<string>;
  regions: Set<string>;
  /** `namespace/name` of service accounts. */
  accounts: Set<string>;
  repositories: Set<string>;
}

function namesIn(files: readonly string[]): Names {
  const names: Names = {
    streams: new Set(),
    tables: new Set(),
    regions: new Set(),
    accounts: new Set(),
    repositories: new Set(),
  };
  const variable = (name: string, value: unknown) => {
    if (typeof value !== 'string') return;
    if (name === 'STREAM_NAME') names.streams.add(value);
    if (/^(RECORDS|LEASE|STATE|DEAD_LETTER)_TABLE$/.test(name)) names.tables.add(value);
    if (name === 'AWS_REGION') names.regions.add(value);
  };
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const { name, value, image } = node as Record<string, unknown>;
    if (typeof name === 'string') variable(name, value);
    if (typeof image === 'string')
      names.repositories.add(image.replace(/^[^/]*\//, '').replace(/[@:].*$/, ''));
    for (const [key, child] of Object.entries(node)) {
      variable(key, child);
      walk(child);
    }
  };
  for (const file of files) {
    for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
      const object = document.toJS() as { kind?: string; metadata?: Record<string, string> } | null;
      if (object?.kind === 'ServiceAccount')
        names.accounts.add(`${object.metadata?.namespace}/${object.metadata?.name}`);
      walk(object);
    }
  }
  return names;
}

const missing = (named: ReadonlySet<string>, made: readonly string[]) =>
  [...named].filter((name) => !made.includes(name));

describe.each(environments)('names in charts/$name', (env) => {
  const folder = `charts/${env.name}`;

  it.skipIf(!existsSync(folder))('are those that the templates make', () => {
    const names = namesIn(globSync(`${folder}/**/*.yaml`));
    const templates = templatesOf(testApp([env]));
    const data = templates[`weir-${env.name}-data`] as CfnTemplate;
    const access = templates[`weir-${env.name}-access`] as CfnTemplate;
    const properties = (template: CfnTemplate, type: string) =>
      ofType(template, type).map(({ Properties }) => Properties);
    expect([...names.streams]).toEqual(properties(data, 'AWS::Kinesis::Stream').map((s) => s.Name));
    expect(names.tables.size).toBeGreaterThan(0);
    // Replicas are made with the tables that they are of.
    const replicas = env.records.replicaKeyArn === undefined ? [] : consumerGroups(env).map(tableNames);
    const made = [
      ...properties(data, 'AWS::DynamoDB::GlobalTable').map((t) => t.TableName),
      ...replicas.flatMap(({ records, deadLetters }) => [records, deadLetters]),
    ];
    expect(missing(names.tables, made)).toEqual([]);
    expect([...names.regions]).toEqual([env.region]);
    const registry = templates['weir-registry'] as CfnTemplate;
    expect(
      missing(
        names.repositories,
        properties(registry, 'AWS::ECR::Repository').map((r) => r.RepositoryName),
      ),
    ).toEqual([]);
    // Each role is for a service account that is there; a service that calls no AWS has no role.
    for (const association of properties(access, 'AWS::EKS::PodIdentityAssociation'))
      expect([...names.accounts]).toContain(`${association.Namespace}/${association.ServiceAccount}`);
  });
});
