import { expect } from 'vitest';
import { type CfnTemplate, ofType } from '../templates.ts';

/** Of an IAM policy. */
export interface Statement {
  Sid?: string;
  Action: string | string[];
  Resource: unknown;
  Condition?: unknown;
}

/** IAM takes one or many. */
export const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);

/** Every statement of every identity policy of a template. */
export function statements(template: CfnTemplate): Statement[] {
  return ofType(template, 'AWS::IAM::Policy').flatMap((p) => p.Properties.PolicyDocument.Statement);
}

/** The only actions that may be on all resources: they take none. */
const WITHOUT_RESOURCE = new Set([
  'ecr:GetAuthorizationToken',
  'xray:PutTelemetryRecords',
  'cloudwatch:GetMetricData',
  'xray:PutTraceSegments',
  'ec2:CreateNetworkInterface',
  'ec2:DeleteNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
]);

/** No wildcards, and no resource `*` where an action takes one. */
export function singleActions(template: CfnTemplate): void {
  expect(ofType(template, 'AWS::IAM::ManagedPolicy')).toEqual([]);
  for (const role of ofType(template, 'AWS::IAM::Role')) {
    expect(role.Properties.ManagedPolicyArns ?? []).toEqual([]);
    expect(role.Properties.Policies ?? []).toEqual([]);
  }
  for (const { Action, Resource } of statements(template)) {
    const actions = list(Action);
    expect(actions.filter((action) => action.includes('*'))).toEqual([]);
    if (list(Resource).includes('*'))
      expect(actions.filter((action) => !WITHOUT_RESOURCE.has(action))).toEqual([]);
  }
}

/** A role is for the workflows of one subject, by GitHub's tokens. */
export function onlyGitHub(template: CfnTemplate, roleName: string, subject: string): void {
  const role = ofType(template, 'AWS::IAM::Role').find((r) => r.Properties.RoleName === roleName);
  expect(role?.Properties.AssumeRolePolicyDocument.Statement).toMatchObject([
    {
      Action: 'sts:AssumeRoleWithWebIdentity',
      Condition: {
        StringEquals: {
          'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
          'token.actions.githubusercontent.com:sub': subject,
        },
      },
    },
  ]);
}
