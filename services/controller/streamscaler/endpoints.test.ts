import { describe, expect, it } from 'vitest';
import { endpointProblem, parseOrigins } from './endpoints.ts';

describe('endpoints of a spec', () => {
  it.each([
    'https://kinesis.ap-south-1.amazonaws.com',
    'https://kinesis-fips.us-gov-west-1.amazonaws.com/',
    'https://kinesis.eu-west-1.api.aws',
    'https://kinesis.cn-north-1.amazonaws.com.cn',
    'https://111122223333.data-kinesis.us-east-1.amazonaws.com',
    'https://vpce-0abc-12de.kinesis.us-east-1.vpce.amazonaws.com',
  ])('may be %s', (endpoint) => {
    expect(endpointProblem(endpoint, [])).toBeUndefined();
  });

  it.each([
    'http://169.254.169.254/latest/meta-data',
    'http://kinesis.ap-south-1.amazonaws.com',
    'https://kinesis.ap-south-1.amazonaws.com:8443',
    'https://user:word@kinesis.ap-south-1.amazonaws.com',
    'https://kinesis.ap-south-1.amazonaws.com.evil.example',
    'https://evil.example/kinesis.ap-south-1.amazonaws.com',
    'https://kinesis.ap-south-1.elb.amazonaws.com',
    'https://notkinesis.ap-south-1.amazonaws.com',
    'https://kinesis.s3.us-east-1.amazonaws.com',
    'http://kubernetes.default.svc',
    'http://[',
  ])('are not %s unless the controller is told so', (endpoint) => {
    expect(endpointProblem(endpoint, [])).toMatchObject({ reason: 'EndpointNotAllowed' });
    expect(endpointProblem(endpoint, ['*'])).toBeUndefined();
  });

  it('are those that the controller is told, whatever the path, and no more', () => {
    const allowed = parseOrigins('http://localstack:4566/, https://kinesis.internal') ?? [];
    expect(allowed).toEqual(['http://localstack:4566', 'https://kinesis.internal']);
    expect(endpointProblem('http://localstack:4566/x', allowed)).toBeUndefined();
    expect(endpointProblem('http://localstack:4567', allowed)).toBeDefined();
    expect(endpointProblem('http://a@localstack:4566', allowed)).toBeDefined();
    expect(endpointProblem(undefined, [])).toBeUndefined();
    expect(parseOrigins('')).toEqual([]);
    expect(parseOrigins('localstack')).toBeUndefined();
    expect(parseOrigins('file:///etc')).toBeUndefined();
  });
});
