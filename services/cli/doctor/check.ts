import type { z } from 'zod';
import type { doctorSchema } from '../schemas.ts';

export type Check = z.output<typeof doctorSchema>['checks'][number];

export const ok = (check: string, found: string): Check => ({ check, status: 'ok', found, todo: null });
export const warning = (check: string, found: string, todo: string): Check => ({
  check,
  status: 'warning',
  found,
  todo,
});
export const problem = (check: string, found: string, todo: string): Check => ({
  check,
  status: 'problem',
  found,
  todo,
});

/** What a failed call to AWS means to who made it, and what to do. */
export function callFailed(check: string, action: string, resource: string, error: unknown): Check {
  const name = error instanceof Error ? error.name : String(error);
  const { code } = (error ?? {}) as { code?: string };
  if (/AccessDenied|NotAuthorized/.test(name))
    return problem(check, `${action} on ${resource} is not permitted`, `allow ${action} to the role you use`);
  if (/Credentials|UnrecognizedClient|InvalidSignature|ExpiredToken|InvalidClientTokenId/.test(name))
    return problem(check, `AWS does not take the credentials (${name})`, 'log in again, or set AWS_PROFILE');
  if (name === 'ResourceNotFoundException')
    return problem(
      check,
      `${resource} does not exist`,
      'check the name and the region, or deploy the infrastructure (docs/how-to/deploy-infrastructure.md)',
    );
  return problem(
    check,
    `${action} on ${resource} failed (${code ?? name})`,
    'check the region, the endpoint and the network',
  );
}
