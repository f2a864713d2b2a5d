import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A git repository on this machine that holds `charts/`, as the one that Argo CD watches does. */
export class Repository {
  readonly url: string;
  readonly #folder: string;
  /** The URL that the rendered manifests name. */
  readonly #publicUrl: string;

  /** @param charts the folder to begin with. */
  constructor(folder: string, charts: string) {
    this.#folder = folder;
    this.url = `file://${folder}`;
    const set = readFileSync(join(charts, 'argocd', 'applicationset.yaml'), 'utf8');
    const [, url] = /repoURL: (\S+)/.exec(set) ?? [];
    if (url === undefined) throw new Error('the ApplicationSet names no repository');
    this.#publicUrl = url;
    mkdirSync(folder, { recursive: true });
    this.#git('init', '--quiet', '--initial-branch=main');
    cpSync(charts, join(folder, 'charts'), { recursive: true });
    this.commit('charts/ as it is');
  }

  /** The text of a file, with this repository in place of the public one. */
  read(path: string): string {
    return readFileSync(join(this.#folder, path), 'utf8').replaceAll(this.#publicUrl, this.url);
  }

  list(path: string): string[] {
    return readdirSync(join(this.#folder, path)).sort();
  }

  /** Changes a file. @throws Error when the change changes nothing. */
  edit(path: string, change: (text: string) => string): void {
    const before = readFileSync(join(this.#folder, path), 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`${path} does not hold what was to be changed`);
    writeFileSync(join(this.#folder, path), after);
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.#folder, path), text);
  }

  remove(path: string): void {
    rmSync(join(this.#folder, path), { recursive: true });
  }

  /** @returns the commit. */
  commit(message: string): string {
    this.#git('add', '--all');
    this.#git('commit', '--quiet', '--message', message);
    return this.#git('rev-parse', 'HEAD');
  }

  /** `git revert` of the last commit. @returns the commit. */
  revert(): string {
    this.#git('revert', '--no-edit', 'HEAD');
    return this.#git('rev-parse', 'HEAD');
  }

  #git(...args: string[]): string {
    const identity = [
      '-c',
      'user.name=test',
      '-c',
      'user.email=test@weir.example',
      '-c',
      'commit.gpgsign=false',
    ];
    return execFileSync('git', [...identity, ...args], { cwd: this.#folder, encoding: 'utf8' }).trim();
  }
}
