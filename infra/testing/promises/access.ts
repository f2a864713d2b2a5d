import { expect } from 'vitest';
import { ofType } from '../templates.ts';
import type { Promised } from './promised.ts';
import { list, onlyGitHub, singleActions, statements } from './statements.ts';

/** Who may do what: roles of pods and of deployments, endpoints of the VPC. */
export const ACCESS_PROMISES: readonly Promised[] = [
  { says: 'roles of pods may do single actions on single resources', part: 'access', check: singleActions },
  {
    says: "a pod's role is for one service account in one namespace of one cluster",
    part: 'access',
    check: (t, env) => {
      for (const role of ofType(t, 'AWS::IAM::Role')) {
        const name: string = role.Properties.RoleName;
        if (name.endsWith('-deploy')) continue;
        const service = name.replace(`weir-${env.name}-`, '');
        const [trust, ...more] = role.Properties.AssumeRolePolicyDocument.Statement;
        expect(more).toEqual([]);
        expect(trust.Condition.StringEquals).toEqual(
          env.podCredentials.kind === 'pod-identity'
            ? {
                'aws:SourceAccount': env.account,
                'aws:RequestTag/eks-cluster-arn': `arn:aws:eks:${env.region}:${env.account}:cluster/${env.cluster}`,
                'aws:RequestTag/kubernetes-namespace': env.namespace,
                'aws:RequestTag/kubernetes-service-account': `weir-${service}`,
              }
            : {
                [`${env.podCredentials.oidcProvider}:aud`]: 'sts.amazonaws.com',
                [`${env.podCredentials.oidcProvider}:sub`]: `system:serviceaccount:${env.namespace}:weir-${service}`,
              },
        );
      }
    },
  },
  {
    says: 'the keys of clients may be read where they let somebody in, and replicas opened with the key that is theirs',
    part: 'access',
    check: (t, env) => {
      const of = (sid: string) => statements(t).filter((s) => s.Sid === sid);
      expect(of('ApiKeys')).toHaveLength(env.producer.auth.kind === 'api-key' ? 1 : 0);
      const { replicaKeyArn } = env.records;
      for (const { Resource } of of('TableKey'))
        expect(list(Resource)).toHaveLength(replicaKeyArn === undefined ? 1 : 2);
      if (replicaKeyArn !== undefined) expect(JSON.stringify(of('TableKey'))).toContain(replicaKeyArn);
    },
  },
  {
    says: "only workflows of this GitHub environment may deploy, and only as the bootstrap's roles",
    part: 'access',
    check: (t, env) => {
      onlyGitHub(t, `weir-${env.name}-deploy`, `repo:${env.github.repository}:environment:${env.name}`);
      const bootstrap = statements(t).filter((s) => list(s.Action).includes('sts:AssumeRole'));
      expect(bootstrap.map((s) => s.Resource)).toEqual([
        ['deploy', 'file-publishing', 'lookup'].map(
          (role) =>
            `arn:aws:iam::${env.account}:role/cdk-hnb659fds-${role}-role-${env.account}-${env.region}`,
        ),
      ]);
    },
  },
  {
    says: 'endpoints take HTTPS from the VPC only, and lead to no data of other accounts',
    part: 'network',
    check: (t, env) => {
      for (const { Properties } of ofType(t, 'AWS::EC2::SecurityGroup'))
        expect(Properties.SecurityGroupIngress).toMatchObject([
          { CidrIp: env.network?.cidr, FromPort: 443, ToPort: 443 },
        ]);
      const guarded = ofType(t, 'AWS::EC2::VPCEndpoint').filter((e) => e.Properties.PolicyDocument);
      expect(guarded).toHaveLength(3);
      for (const { Properties } of guarded)
        expect(Properties.PolicyDocument.Statement[0].Condition).toEqual({
          StringEquals: { 'aws:ResourceAccount': env.account },
        });
    },
  },
];
