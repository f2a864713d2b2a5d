import { type App, type Stack, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';
import type { Registry } from '../cdk8s/environments/registry.ts';
import type { Environment } from '../cdk8s/environments/schema.ts';
import { AccessStack } from './stacks/access.ts';
import { DataStack } from './stacks/data.ts';
import { LambdaConsumerStack } from './stacks/lambda-consumer.ts';
import { NetworkStack } from './stacks/network.ts';
import { ObservabilityStack } from './stacks/observability.ts';
import { RegistryStack } from './stacks/registry.ts';

interface Settings {
  environments: readonly Environment[];
  registry: Registry;
  /** Accounts that pull images, also of environments that are not built now. */
  pullAccounts: readonly string[];
  /** Folder with the Lambda variant's bundle. */
  lambdaBundle: string;
}

/** Fills the CDK app: for each environment its stacks, the stateful one apart from the others, and the registry. */
export function addStacks(app: App, settings: Settings): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  Validations.of(app).addPlugins(new ServerlessChecks(app));
  const { registry } = settings;
  const registryStack = new RegistryStack(app, 'weir-registry', {
    env: { account: registry.account, region: registry.region },
    description: 'Weir: image repositories',
    terminationProtection: true,
    registry,
    pullAccounts: settings.pullAccounts,
  });
  Tags.of(registryStack).add('application', 'weir');
  for (const environment of settings.environments) {
    for (const stack of environmentStacks(app, environment, settings.lambdaBundle)) {
      Tags.of(stack).add('application', 'weir');
      Tags.of(stack).add('environment', environment.name);
    }
  }
}

function environmentStacks(app: App, environment: Environment, bundle: string): Stack[] {
  const name = (part: string) => `weir-${environment.name}-${part}`;
  const common = (description: string) => ({
    env: { account: environment.account, region: environment.region },
    description: `Weir ${environment.name}: ${description}`,
    environment,
  });
  const data = new DataStack(app, name('data'), {
    ...common('stream, tables, secrets and their key'),
    terminationProtection: environment.protectData,
  });
  const { key } = data;
  const stacks: Stack[] = [data, new AccessStack(app, name('access'), { ...common('roles'), key })];
  const settings = environment.consumers.lambda;
  let mappingId: string | undefined;
  if (settings) {
    const lambda = new LambdaConsumerStack(app, name('lambda'), {
      ...common('consumer as a Lambda function'),
      settings,
      key,
      bundle,
    });
    mappingId = lambda.mappingId;
    stacks.push(lambda);
  }
  stacks.push(
    new ObservabilityStack(app, name('observability'), { ...common('dashboard and alarms'), key, mappingId }),
  );
  if (environment.network?.endpoints)
    stacks.push(new NetworkStack(app, name('network'), common('endpoints of AWS services')));
  // Names are built, not imported, so CloudFormation must be told that the data comes first.
  for (const stack of stacks.slice(1)) stack.addStackDependency(data);
  return stacks;
}
