import { isThrottle } from '../../shared/aws.ts';

/**
 * Why a call failed, as a phrase for status and Events: what is missing or what to do, without what an SDK error
 * drags along.
 *
 * @param action the IAM action, as `kinesis:ListShards`.
 * @param resource stream or table.
 */
export function problemOf(action: string, resource: string, error: unknown): string {
  const name = error instanceof Error ? error.name : 'unknown error';
  if (/AccessDenied|UnrecognizedClient|NotAuthorized/.test(name))
    return `permission ${action} on ${resource} is missing`;
  if (name === 'ResourceNotFoundException') return `${resource} does not exist`;
  if (isThrottle(error)) return `${action} on ${resource} was throttled`;
  return `${action} on ${resource} failed (${name})`;
}
