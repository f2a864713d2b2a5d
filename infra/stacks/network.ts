import { Stack, type StackProps } from 'aws-cdk-lib';
import {
  GatewayVpcEndpoint,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointAwsService,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { Environment } from '../../cdk8s/environments/schema.ts';

type Network = NonNullable<Environment['network']>;

/** The environment's existing VPC, by its ids: a synthesis asks AWS nothing. */
export function importVpc(scope: Construct, env: Environment): IVpc {
  const network = env.network as Network; // The schema demands it where something runs in it.
  return Vpc.fromVpcAttributes(scope, 'Vpc', {
    vpcId: network.vpcId,
    vpcCidrBlock: network.cidr,
    availabilityZones: network.availabilityZones,
    privateSubnetIds: network.privateSubnetIds,
    privateSubnetRouteTableIds: network.privateRouteTableIds,
  });
}

/** By whom each is needed: pods (Kinesis, credentials, images, API keys); S3 holds the layers of images. */
const INTERFACES = {
  kinesis: InterfaceVpcEndpointAwsService.KINESIS_STREAMS,
  'eks-auth': InterfaceVpcEndpointAwsService.EKS_AUTH,
  sts: InterfaceVpcEndpointAwsService.STS,
  'ecr-api': InterfaceVpcEndpointAwsService.ECR,
  'ecr-dkr': InterfaceVpcEndpointAwsService.ECR_DOCKER,
  'secrets-manager': InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
};

/** Endpoints of the AWS services that Weir calls, for clusters without a way to the internet. */
export class NetworkStack extends Stack {
  constructor(scope: Construct, id: string, props: StackProps & { environment: Environment }) {
    super(scope, id, props);
    const env = props.environment;
    const network = env.network as Network;
    const vpc = importVpc(this, env);
    const securityGroup = new SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description: 'HTTPS from within the VPC to endpoints of AWS services',
      allowAllOutbound: false,
    });
    securityGroup.addIngressRule(Peer.ipv4(network.cidr), Port.tcp(443), 'HTTPS from the VPC');
    for (const [name, service] of Object.entries(INTERFACES)) {
      const endpoint = new InterfaceVpcEndpoint(this, name, {
        vpc,
        service,
        securityGroups: [securityGroup],
        open: false,
        privateDnsEnabled: true,
      });
      // STS and the token exchange of Pod Identity know no account of a resource.
      if (['kinesis', 'secrets-manager'].includes(name)) endpoint.addToPolicy(ownAccountOnly(env));
    }
    for (const [name, service] of [
      ['dynamodb', GatewayVpcEndpointAwsService.DYNAMODB],
      ['s3', GatewayVpcEndpointAwsService.S3],
    ] as const) {
      const endpoint = new GatewayVpcEndpoint(this, name, { vpc, service });
      // Layers of images lie in buckets of AWS's own accounts.
      if (name === 'dynamodb') endpoint.addToPolicy(ownAccountOnly(env));
    }
  }
}

/** Nothing in the VPC can carry data to a stream, a table or a secret of another account. */
function ownAccountOnly(env: Environment): PolicyStatement {
  return new PolicyStatement({
    principals: [new AnyPrincipal()],
    actions: ['*'],
    resources: ['*'],
    conditions: { StringEquals: { 'aws:ResourceAccount': env.account } },
  });
}
