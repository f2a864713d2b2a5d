/** The CDK app as the `cdk` command runs it (cdk.json). `-c environment=dev` builds that environment only. */
import { App } from 'aws-cdk-lib';
import { environments } from '../cdk8s/environments/environments.ts';
import { registry } from '../cdk8s/environments/registry.ts';
import { addStacks } from './app.ts';
import { chosenEnvironments } from './choose.ts';

const app = new App();
addStacks(app, {
  environments: chosenEnvironments(environments, app.node.tryGetContext('environment')),
  registry,
  pullAccounts: [...new Set(environments.map((e) => e.account))],
  lambdaBundle: 'dist/lambda',
});
app.synth();
