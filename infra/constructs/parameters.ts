import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';

/** Publishes a stack's outputs as SSM parameters, for people and scripts that don't read CloudFormation. */
export function publish(scope: Construct, prefix: string, values: Readonly<Record<string, string>>): void {
  for (const [name, stringValue] of Object.entries(values)) {
    new StringParameter(scope, `Parameter-${name}`, { parameterName: `${prefix}/${name}`, stringValue });
  }
}
