import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { ConfigError } from '../../shared/errors.ts';
import { AuthError } from './authenticator.ts';
import { type Identity, SOURCE_PATTERN, sourceMatcher } from './identity.ts';

/**
 * A key is `weir_<id>_<secret>`: the id finds its entry, the secret is 256 random bits. The file holds the SHA-256 of the
 * entry's salt and the secret. A slow hash (scrypt, argon2) protects what people make up and others can guess; nobody
 * guesses 256 bits, and it would cost each request 36 ms where this costs 2 µs.
 */
const KEY = /^weir_([0-9a-z]{12})_([\w-]{43})$/;
const ID_BYTES = 8;
const SECRET_BYTES = 32;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const MAX_KEYS = 10_000;

function base64url(bytes: number): z.ZodType<string> {
  return z
    .string()
    .refine((text) => Buffer.from(text, 'base64url').length === bytes, `must be ${bytes} bytes in base64url`);
}

const entrySchema = z.strictObject({
  id: z.string().regex(/^[0-9a-z]{12}$/, 'must be 12 of 0-9 and a-z'),
  client: z.string().min(1).max(128),
  sources: z.array(z.string().regex(SOURCE_PATTERN, 'must be a source, or its beginning and "*"')),
  salt: base64url(SALT_BYTES),
  hash: base64url(HASH_BYTES),
  expires: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .optional(),
});
const fileSchema = z.strictObject({ keys: z.array(entrySchema).max(MAX_KEYS) });

/** An entry of the key file, as JSON. */
export type KeyEntry = z.input<typeof entrySchema>;

interface Known {
  identity: Identity;
  salt: string;
  digest: Buffer;
  /** ms since the epoch. */
  expiresAt: number;
}

/** The keys of one reading of the file. */
export class ApiKeys {
  readonly #known = new Map<string, Known>();

  /**
   * @param text JSON: `{"keys": [{"id", "client", "sources", "salt", "hash"[, "expires"]}]}`.
   * @throws ConfigError naming what is wrong and where; never what a field holds.
   */
  constructor(text: string) {
    for (const entry of parse(text)) {
      const { id, client, sources, salt, expires } = entry;
      if (this.#known.has(id)) throw new ConfigError(`the key file has two keys with the id ${id}`);
      const identity = { client, maySend: sourceMatcher(sources) };
      const digest = Buffer.from(entry.hash, 'base64url');
      this.#known.set(id, { identity, salt, digest, expiresAt: expires ?? Number.POSITIVE_INFINITY });
    }
  }

  get size(): number {
    return this.#known.size;
  }

  /** @param now ms since the epoch. @throws AuthError. */
  identify(key: string, now: number): Identity {
    const [, id = '', secret = ''] = KEY.exec(key) ?? [];
    const known = this.#known.get(id);
    // In constant time as far as the secret goes; ids are no secret.
    if (!known || !timingSafeEqual(digestOf(secret, known.salt), known.digest))
      throw new AuthError('invalid');
    if (known.expiresAt <= now) throw new AuthError('expired');
    return known.identity;
  }
}

/** Makes a key. @returns the key, which is nowhere else, and the entry for the file. */
export function createApiKey(
  client: string,
  sources: readonly string[],
  expires?: string,
): { key: string; entry: KeyEntry } {
  const id = BigInt(`0x${randomBytes(ID_BYTES).toString('hex')}`)
    .toString(36)
    .padStart(12, '0')
    .slice(-12);
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const salt = randomBytes(SALT_BYTES).toString('base64url');
  const entry: KeyEntry = {
    id,
    client,
    sources: [...sources],
    salt,
    hash: digestOf(secret, salt).toString('base64url'),
    ...(expires === undefined ? {} : { expires }),
  };
  const checked = entrySchema.safeParse(entry);
  if (!checked.success) throw new ConfigError(`this key would not be usable: ${whatIsWrong(checked.error)}`);
  return { key: `weir_${id}_${secret}`, entry };
}

/** Both are of fixed lengths, so no other pair reads the same. */
function digestOf(secret: string, salt: string): Buffer {
  return hash('sha256', salt + secret, 'buffer');
}

function parse(text: string): z.output<typeof entrySchema>[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Its message would quote the file.
    throw new ConfigError('the key file is not JSON');
  }
  const result = fileSchema.safeParse(value);
  if (!result.success) throw new ConfigError(`the key file is not usable: ${whatIsWrong(result.error)}`);
  return result.data.keys;
}

const SHOWN = 5;

function whatIsWrong({ issues }: z.ZodError): string {
  const shown = issues
    .slice(0, SHOWN)
    .map(({ path, message }) => `${path.map(String).join('.')}: ${message}`);
  return shown.join('; ') + (issues.length > SHOWN ? ` and ${issues.length - SHOWN} more` : '');
}
