import { createHash } from 'node:crypto';

/**
 * The name of something immutable that holds `content`: other content has another name, so that pods which name it are replaced,
 * and a rollback finds the old one.
 */
export function hashedName(name: string, content: string | Uint8Array): string {
  return `${name}-${createHash('sha256').update(content).digest('hex').slice(0, 8)}`;
}
