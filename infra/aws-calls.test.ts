import { existsSync, readFileSync } from 'node:fs';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { POD_SERVICES } from '../cdk8s/environments/names.ts';
import { staging } from '../cdk8s/environments/staging.ts';
import { lambdaCalls } from '../services/consumer/aws-calls.ts';
import { reshardCalls } from '../services/controller/aws-calls.ts';
import type { AwsCalls } from '../services/shared/aws-calls.ts';
import { podServices } from './calls.ts';
import { list, type Statement } from './testing/promises/statements.ts';
import { type CfnTemplate, ofType, templatesOf, testApp } from './testing/templates.ts';
import { VARIATIONS } from './testing/variations.ts';

/** What the SDK's helpers call. */
const WAITERS: Readonly<Record<string, string>> = {
  TableExists: 'DescribeTable',
  TableNotExists: 'DescribeTable',
  StreamExists: 'DescribeStream',
  StreamNotExists: 'DescribeStream',
};

/**
 * The AWS operations that a program can call: the commands, paginators and waiters of SDK clients that the
 * modules import which end up in its bundle.
 */
async function importedCalls(entry: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    metafile: true,
    logLevel: 'error',
    outfile: 'unused.js',
  });
  const calls = new Set<string>();
  const [output] = Object.values(metafile.outputs);
  for (const [path, { bytesInOutput }] of Object.entries(output?.inputs ?? {})) {
    if (bytesInOutput === 0) continue;
    for (const call of callsImportedBy(readFileSync(path, 'utf8'))) calls.add(call);
  }
  return [...calls].sort();
}

function callsImportedBy(source: string): string[] {
  const calls: string[] = [];
  const imports = source.matchAll(/import\s+(type\s+)?\{([^}]*)\}\s+from\s+'@aws-sdk\/client-(\w+)'/g);
  for (const [, typeOnly, names = '', client] of imports) {
    if (typeOnly) continue;
    for (const name of names.split(',').map((n) => n.trim().split(/\s+as\s+/)[0] ?? '')) {
      const command = /^(\w+)Command$/.exec(name)?.[1];
      const page = /^paginate(\w+)$/.exec(name)?.[1];
      const waited = /^waitUntil(\w+)$/.exec(name)?.[1];
      const operation = command ?? page ?? (waited === undefined ? undefined : (WAITERS[waited] ?? waited));
      if (operation) calls.push(`${client}:${operation}`);
    }
  }
  // Calls without the SDK's serialisation: services/shared/aws-json.ts.
  for (const [, client, operation] of source.matchAll(/\b(dynamodb|kinesis)\.call\(\s*'(\w+)'/g))
    calls.push(`${client}:${operation}`);
  return calls;
}

function declaredCalls({ stream = [], streamConsumers = [], metrics = [], ...tables }: AwsCalls): string[] {
  const kinesis = [...stream, ...streamConsumers].map((call) => `kinesis:${call}`);
  const dynamodb = Object.values(tables).flatMap((calls) => calls.map((call: string) => `dynamodb:${call}`));
  const cloudwatch = metrics.map((call) => `cloudwatch:${call}`);
  return [...new Set([...kinesis, ...dynamodb, ...cloudwatch])].sort();
}

/** Kinesis, DynamoDB and CloudWatch actions that a role is granted, those of the event source mapping apart. */
function grantedCalls(template: CfnTemplate, role: string): string[] {
  const [logicalId] =
    Object.entries(template.Resources).find(([, r]) => r.Properties?.RoleName === role) ?? [];
  const actions = ofType(template, 'AWS::IAM::Policy')
    .filter(({ Properties }) => Properties.Roles.some((r: { Ref: string }) => r.Ref === logicalId))
    .flatMap(({ Properties }) => Properties.PolicyDocument.Statement as Statement[])
    .filter(({ Sid = '' }) => !Sid.startsWith('Mapping'))
    .flatMap(({ Action }) => list(Action));
  return [...new Set(actions.filter((a) => /^(kinesis|dynamodb|cloudwatch):/.test(a)))].sort();
}

describe('AWS calls', () => {
  const templates = templatesOf(testApp([staging]));
  const services = podServices(staging);

  it.each(services)('of the %s: imported by its code = declared = granted', async (service, calls) => {
    const declared = declaredCalls(calls);
    // A service under way has its rights before its code.
    if (existsSync(`services/${service}/main.ts`))
      expect(await importedCalls(`services/${service}/main.ts`)).toEqual(declared);
    const template = templates['weir-staging-access'] as CfnTemplate;
    expect(grantedCalls(template, `weir-staging-${service}`)).toEqual(declared);
  });

  it('of the function: imported by its code = declared = granted', async () => {
    const declared = declaredCalls(lambdaCalls);
    expect(await importedCalls('services/consumer/lambda.ts')).toEqual(declared);
    const template = templates['weir-staging-lambda'] as CfnTemplate;
    expect(grantedCalls(template, 'weir-staging-lambda')).toEqual(declared);
  });

  it('a service whose code calls AWS declares it, and gets a role', async () => {
    for (const service of POD_SERVICES.filter((name) => existsSync(`services/${name}/main.ts`))) {
      const calls = await importedCalls(`services/${service}/main.ts`);
      if (calls.length > 0) expect(services.map(([name]) => name)).toContain(service);
    }
  });

  it('a controller that may not change shards has no right to', () => {
    const env = VARIATIONS['on demand, IRSA, fan-out, a replica, behind a Gateway'] as typeof staging;
    const template = templatesOf(testApp([env]))['weir-dev-access'] as CfnTemplate;
    const granted = grantedCalls(template, 'weir-dev-controller');
    expect(granted).toContain('dynamodb:Scan');
    expect(granted).not.toContain('cloudwatch:GetMetricData');
    expect(granted.filter((action) => reshardCalls.stream.some((call) => action.endsWith(call)))).toEqual([]);
  });

  it('reading and writing an encrypted stream comes with the use of its key, through Kinesis only', () => {
    const template = templates['weir-staging-access'] as CfnTemplate;
    const keyUses = ofType(template, 'AWS::IAM::Policy')
      .flatMap(({ Properties }) => Properties.PolicyDocument.Statement as Statement[])
      .filter(({ Sid }) => Sid === 'StreamKey');
    expect(keyUses.map(({ Action }) => Action)).toContain('kms:GenerateDataKey');
    expect(keyUses.map(({ Action }) => Action)).toContain('kms:Decrypt');
    for (const { Condition } of keyUses)
      expect(Condition).toEqual({ StringEquals: { 'kms:ViaService': 'kinesis.ap-south-1.amazonaws.com' } });
  });

  it('a function that runs alone has no tables of leases', () => {
    const env = VARIATIONS['function only, in the VPC, by fan-out'] as typeof staging;
    const template = templatesOf(testApp([env]))['weir-prod-data'] as CfnTemplate;
    const names = ofType(template, 'AWS::DynamoDB::GlobalTable').map((t) => t.Properties.TableName);
    expect(names.filter((name: string) => name.endsWith('-leases'))).toEqual([]);
  });
});
