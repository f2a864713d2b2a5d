import { Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { CfnPodIdentityAssociation } from 'aws-cdk-lib/aws-eks';
import {
  FederatedPrincipal,
  type IPrincipal,
  PolicyStatement,
  Role,
  ServicePrincipal,
  SessionTagsPrincipal,
} from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import {
  apiKeysSecretName,
  mainGroup,
  type PodService,
  parameterPrefix,
  roleName,
  serviceAccountName,
} from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import type { AwsCalls } from '../../services/shared/aws-calls.ts';
import { podServices } from '../calls.ts';
import { createGitHubRole } from '../constructs/github.ts';
import { callStatements, keyStatement } from '../constructs/grants.ts';
import { publish } from '../constructs/parameters.ts';

interface AccessStackProps extends StackProps {
  environment: Environment;
  key: IKey;
}

/** Who may do what: a role for each service in the cluster, and one for the workflows that deploy. */
export class AccessStack extends Stack {
  constructor(scope: Construct, id: string, { environment: env, key, ...props }: AccessStackProps) {
    super(scope, id, props);
    const group = mainGroup(env);
    const services = podServices(env);
    for (const [service, calls] of services) {
      const role = this.#createPodRole(env, service, calls, { group, keyArn: key.keyArn });
      if (service === 'producer' && env.producer.auth.kind === 'api-key')
        this.#mayMountApiKeys(env, role, key.keyArn);
      publish(this, parameterPrefix(env), { [`${service}-role-arn`]: role.roleArn });
    }
    const deploy = createGitHubRole(this, 'Deploy', {
      roleName: roleName(env, 'deploy'),
      description: `Workflows that deploy Weir ${env.name}`,
      repository: env.github.repository,
      githubEnvironment: env.name,
      oidcProvider: env.github.oidcProvider,
    });
    // All that `cdk deploy` and `cdk diff` do, they do as the roles that the bootstrap made.
    deploy.addToPolicy(
      new PolicyStatement({
        sid: 'Bootstrap',
        actions: ['sts:AssumeRole'],
        resources: ['deploy', 'file-publishing', 'lookup'].map(
          (role) =>
            `arn:aws:iam::${env.account}:role/cdk-hnb659fds-${role}-role-${env.account}-${env.region}`,
        ),
      }),
    );
    publish(this, parameterPrefix(env), { 'deploy-role-arn': deploy.roleArn });
  }

  #createPodRole(
    env: Environment,
    service: PodService,
    calls: AwsCalls,
    on: { group: string; keyArn: string },
  ): Role {
    const role = new Role(this, service, {
      roleName: roleName(env, service),
      description: `Pods of ${env.namespace}/${serviceAccountName(service)} in ${env.cluster}`,
      assumedBy: podPrincipal(env, service),
    });
    for (const statement of callStatements(env, calls, on)) role.addToPolicy(statement);
    if (calls.streamConsumers) {
      Validations.of(role).acknowledge({
        id: `AwsSolutions-IAM5[Resource::arn:aws:kinesis:${env.region}:${env.account}:stream/${env.stream.name}/consumer/${on.group}:*]`,
        reason:
          "The star stands for the time of registration in the consumer's ARN; the name of the consumer is given whole.",
      });
    }
    if (calls.metrics) {
      Validations.of(role).acknowledge({
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason:
          'cloudwatch:GetMetricData takes no resource and no condition: whoever may read metrics reads all.',
      });
    }
    if (env.podCredentials.kind === 'pod-identity') {
      new CfnPodIdentityAssociation(this, `${service}-association`, {
        clusterName: env.cluster,
        namespace: env.namespace,
        serviceAccount: serviceAccountName(service),
        roleArn: role.roleArn,
      });
    }
    return role;
  }

  /** The Secrets Store CSI driver mounts the keys into the pod, with the pod's own role. */
  #mayMountApiKeys(env: Environment, role: Role, keyArn: string): void {
    // Secrets Manager adds six random characters to the name.
    const secret = `arn:aws:secretsmanager:${env.region}:${env.account}:secret:${apiKeysSecretName(env)}-??????`;
    role.addToPolicy(
      new PolicyStatement({
        sid: 'ApiKeys',
        actions: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
        resources: [secret],
      }),
    );
    for (const statement of keyStatement(
      'ApiKeysKey',
      ['kms:Decrypt'],
      keyArn,
      `secretsmanager.${env.region}.amazonaws.com`,
    ))
      role.addToPolicy(statement);
  }
}

/** Only the one service account in the one cluster gets the role, by either way. */
function podPrincipal(env: Environment, service: PodService): IPrincipal {
  const account = serviceAccountName(service);
  if (env.podCredentials.kind === 'irsa') {
    const provider = env.podCredentials.oidcProvider;
    return new FederatedPrincipal(
      `arn:aws:iam::${env.account}:oidc-provider/${provider}`,
      {
        StringEquals: {
          [`${provider}:aud`]: 'sts.amazonaws.com',
          [`${provider}:sub`]: `system:serviceaccount:${env.namespace}:${account}`,
        },
      },
      'sts:AssumeRoleWithWebIdentity',
    );
  }
  return new SessionTagsPrincipal(
    new ServicePrincipal('pods.eks.amazonaws.com', {
      conditions: {
        StringEquals: {
          'aws:SourceAccount': env.account,
          'aws:RequestTag/eks-cluster-arn': `arn:aws:eks:${env.region}:${env.account}:cluster/${env.cluster}`,
          'aws:RequestTag/kubernetes-namespace': env.namespace,
          'aws:RequestTag/kubernetes-service-account': account,
        },
      },
    }),
  );
}
