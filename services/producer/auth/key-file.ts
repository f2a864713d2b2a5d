import { readFile, stat } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../shared/clock.ts';
import { ConfigError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { ApiKeys } from './api-keys.ts';
import { AuthError, type Authenticator, bearerToken } from './authenticator.ts';
import type { Identity } from './identity.ts';

/** The kubelet itself takes up to a minute to bring a changed Secret to a pod. */
const POLL_MS = 2_000;
const MAX_BYTES = 4 * 1024 * 1024;

interface KeyFileDeps {
  clock: Clock;
  log: Logger;
  /** Told of each reading of the file. */
  onRead: (outcome: 'loaded' | 'failed') => void;
}

/**
 * API keys out of a mounted file, read again when it changes. A file that can't be used leaves the keys as they were: a
 * typing error must not lock everybody out. Looked at by its metadata, because a Secret's files are symlinks that are
 * swapped, which watchers of a file don't see.
 */
export class KeyFile implements Authenticator {
  readonly #path: string;
  readonly #deps: KeyFileDeps;
  #keys: ApiKeys;
  #version: string;

  private constructor(path: string, deps: KeyFileDeps, keys: ApiKeys, version: string) {
    this.#path = path;
    this.#deps = deps;
    this.#keys = keys;
    this.#version = version;
  }

  /** @throws ConfigError when the file can't be used: at the start there is nothing to keep to. */
  static async open(path: string, deps: KeyFileDeps): Promise<KeyFile> {
    const version = await versionOf(path);
    const keys = await read(path);
    deps.onRead('loaded');
    deps.log.info({ keys: keys.size }, 'API keys read');
    return new KeyFile(path, deps, keys, version);
  }

  get size(): number {
    return this.#keys.size;
  }

  authenticate(headers: IncomingHttpHeaders): Identity {
    const key = headers['x-api-key'] ?? bearerToken(headers);
    if (key === undefined) throw new AuthError(headers.authorization === undefined ? 'missing' : 'invalid');
    return this.#keys.identify(String(key), this.#deps.clock.now());
  }

  /** Looks for changes until `signal` aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      await clock.sleep(POLL_MS, signal);
      if (!signal.aborted) await this.refresh();
    }
  }

  /** Reads the file again if it changed. Never throws: what is wrong is logged and counted. */
  async refresh(): Promise<void> {
    const { log, onRead } = this.#deps;
    let version = 'missing';
    try {
      version = await versionOf(this.#path);
      if (version === this.#version) return;
      this.#keys = await read(this.#path);
      onRead('loaded');
      log.info({ keys: this.#keys.size }, 'API keys changed');
    } catch (error) {
      if (version === this.#version) return;
      onRead('failed');
      log.error({ err: error }, 'the changed key file is not usable; the keys before stay in force');
    }
    this.#version = version;
  }
}

async function versionOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs}`;
  } catch (error) {
    throw new ConfigError(`the key file can't be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

async function read(path: string): Promise<ApiKeys> {
  const { size } = await stat(path);
  if (size > MAX_BYTES) throw new ConfigError(`the key file has more than ${MAX_BYTES} bytes`);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`the key file can't be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  return new ApiKeys(text);
}
