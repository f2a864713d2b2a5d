import { Stack } from 'aws-cdk-lib';
import { FederatedPrincipal, OidcProviderNative, Role } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';

const ISSUER = 'token.actions.githubusercontent.com';

interface GitHubRole {
  roleName: string;
  description: string;
  /** `owner/name`. */
  repository: string;
  /** GitHub environment, whose protection rules (reviewers, branches) then guard the role. */
  githubEnvironment: string;
  oidcProvider: 'create' | 'exists';
}

/** A role for workflows of one repository, and only for jobs that run in one GitHub environment. */
export function createGitHubRole(scope: Construct, id: string, options: GitHubRole): Role {
  const provider =
    options.oidcProvider === 'create'
      ? new OidcProviderNative(scope, 'GitHub', {
          url: `https://${ISSUER}`,
          clientIds: ['sts.amazonaws.com'],
        }).oidcProviderArn
      : `arn:aws:iam::${Stack.of(scope).account}:oidc-provider/${ISSUER}`;
  return new Role(scope, id, {
    roleName: options.roleName,
    description: options.description,
    assumedBy: new FederatedPrincipal(
      provider,
      {
        StringEquals: {
          [`${ISSUER}:aud`]: 'sts.amazonaws.com',
          [`${ISSUER}:sub`]: `repo:${options.repository}:environment:${options.githubEnvironment}`,
        },
      },
      'sts:AssumeRoleWithWebIdentity',
    ),
  });
}
