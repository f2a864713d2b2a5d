import { describe, expect, it } from 'vitest';
import { plan } from './cli.ts';

const words = (line: string) => line.split(' ');

describe('npm run infra', () => {
  it('shows the difference before it deploys, and asks', () => {
    expect(plan(words('deploy dev'), true)).toEqual({
      steps: [
        words('diff weir-dev-* -c environment=dev'),
        words('deploy weir-dev-* -c environment=dev --require-approval never'),
      ],
      ask: true,
    });
  });

  it('passes on options of cdk', () => {
    expect(plan(words('deploy registry --yes --profile tools'), false)).toEqual({
      steps: [
        words('diff weir-registry --profile tools'),
        words('deploy weir-registry --require-approval never --profile tools'),
      ],
      ask: false,
    });
    expect(plan(['synth'], false).steps).toEqual([words('synth --quiet')]);
    expect(plan(words('destroy dev'), true).steps).toEqual([words('destroy weir-dev-* -c environment=dev')]);
  });

  it.each([
    ['', /usage/],
    ['apply dev', /usage/],
    ['deploy', /Name the environment/],
    ['deploy production', /no environment production/],
    ['deploy prod', /nobody can be asked/],
  ])('refuses %j', (line, message) => {
    expect(() => plan(words(line), false)).toThrow(message);
  });
});
