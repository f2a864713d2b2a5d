import { Duration, RemovalPolicy, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { Repository, RepositoryEncryption, TagMutability, TagStatus } from 'aws-cdk-lib/aws-ecr';
import { AccountPrincipal, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { IMAGES } from '../../cdk8s/environments/names.ts';
import { type Registry, repositoryName } from '../../cdk8s/environments/registry.ts';
import { createGitHubRole } from '../constructs/github.ts';
import { publish } from '../constructs/parameters.ts';

const PUSH_ACTIONS = [
  'ecr:BatchCheckLayerAvailability',
  'ecr:BatchGetImage',
  'ecr:CompleteLayerUpload',
  'ecr:DescribeImages',
  'ecr:GetDownloadUrlForLayer',
  'ecr:InitiateLayerUpload',
  'ecr:PutImage',
  'ecr:UploadLayerPart',
];
const PULL_ACTIONS = ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'];

interface RegistryStackProps extends StackProps {
  registry: Registry;
  /** Accounts of the environments, whose nodes pull. */
  pullAccounts: readonly string[];
}

/** The image repositories, shared by all environments, and the role by which workflows push into them. */
export class RegistryStack extends Stack {
  constructor(scope: Construct, id: string, { registry, pullAccounts, ...props }: RegistryStackProps) {
    super(scope, id, props);
    const repositories = IMAGES.map((image) => {
      const repository = new Repository(this, image, {
        repositoryName: repositoryName(image),
        imageScanOnPush: true,
        imageTagMutability: TagMutability.IMMUTABLE,
        encryption: RepositoryEncryption.KMS,
        removalPolicy: RemovalPolicy.RETAIN,
        lifecycleRules: [
          {
            rulePriority: 1,
            description: 'Untagged images are left-overs of builds',
            tagStatus: TagStatus.UNTAGGED,
            maxImageAge: Duration.days(7),
          },
          {
            rulePriority: 2,
            description: 'Releases to roll back to',
            tagPatternList: ['v*'],
            maxImageCount: 10,
          },
        ],
      });
      repository.addToResourcePolicy(
        new PolicyStatement({
          sid: 'EnvironmentsPull',
          principals: pullAccounts.map((account) => new AccountPrincipal(account)),
          actions: PULL_ACTIONS,
        }),
      );
      return repository;
    });
    const push = createGitHubRole(this, 'Push', {
      roleName: 'weir-images-push',
      description: 'Workflows that push images',
      repository: registry.githubRepository,
      githubEnvironment: registry.githubEnvironment,
      oidcProvider: 'create',
    });
    push.addToPolicy(
      new PolicyStatement({
        sid: 'Push',
        actions: PUSH_ACTIONS,
        resources: repositories.map((r) => r.repositoryArn),
      }),
    );
    push.addToPolicy(
      new PolicyStatement({ sid: 'Login', actions: ['ecr:GetAuthorizationToken'], resources: ['*'] }),
    );
    Validations.of(push).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ecr:GetAuthorizationToken is of the account, it takes no resource.',
    });
    publish(this, '/weir/registry', { 'push-role-arn': push.roleArn });
  }
}
