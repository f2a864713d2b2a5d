import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** As `node --cpu-prof` writes it (Chrome DevTools protocol, Profiler.Profile); times in µs. */
interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string }; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

/** Where a place belongs, by its URL; the first that fits. */
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/^node:internal\/crypto/, 'hashes and keys (node:crypto)'],
  [/^node:(?:internal\/)?buffer|^node:internal\/encoding/, 'bytes and text (node:buffer)'],
  [/^node:/, 'HTTP, sockets, streams, timers (node)'],
  [/\/node_modules\/@smithy\//, 'signing (@smithy)'],
  [/\/node_modules\/(?:express|router|helmet|parseurl|forwarded|proxy-addr|ipaddr\.js)\//, 'express'],
  [/\/node_modules\/([^/]+)\//, '$1'],
  [/\/services\/producer\/(\w+)\//, 'services/producer/$1'],
  [/\/services\/(shared\/[\w-]+)/, 'services/$1'],
];

/** A process whose CPU time is to be told: give it these arguments of node, end it, and ask. */
export class CpuProfile {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(): Promise<CpuProfile> {
    return new CpuProfile(await mkdtemp(join(tmpdir(), 'weir-profile-')));
  }

  get nodeArgs(): readonly string[] {
    return ['--cpu-prof', '--cpu-prof-dir', this.#folder];
  }

  /**
   * Share of its time by place, the largest first; idle time and what was before the load are left out. A native function
   * counts for who called it.
   *
   * @param skipShare of the samples, at the front: the start, when everything is compiled.
   */
  async shares(skipShare: number): Promise<[place: string, share: number][]> {
    const [name] = await readdir(this.#folder);
    if (name === undefined) throw new Error('the process left no profile: it did not end by itself');
    const profile = JSON.parse(await readFile(join(this.#folder, name), 'utf8')) as Profile;
    await rm(this.#folder, { recursive: true });
    return sharesOf(profile, skipShare);
  }
}

function sharesOf({ nodes, samples, timeDeltas }: Profile, skipShare: number): [string, number][] {
  const placeOf = placesOf(nodes);
  const times = new Map<string, number>();
  let total = 0;
  for (let i = Math.floor(samples.length * skipShare); i < samples.length; i++) {
    const place = placeOf.get(samples[i] as number);
    if (place === undefined) continue;
    const time = timeDeltas[i + 1] ?? 0;
    total += time;
    times.set(place, (times.get(place) ?? 0) + time);
  }
  return [...times]
    .map(([place, time]): [string, number] => [place, time / total])
    .sort((a, b) => b[1] - a[1]);
}

/** The place of each node of the call tree; none for idle time. */
function placesOf(nodes: Profile['nodes']): Map<number, string> {
  const places = new Map<number, string>();
  // Parents come before their children.
  for (const { id, callFrame, children = [] } of nodes) {
    const { functionName, url } = callFrame;
    const own = functionName === '(garbage collector)' ? 'garbage collection' : ofUrl(url);
    const place = own ?? places.get(id) ?? 'native, without a name';
    if (functionName === '(idle)') places.delete(id);
    else places.set(id, place);
    if (functionName !== '(root)') for (const child of children) places.set(child, place);
  }
  return places;
}

function ofUrl(url: string): string | undefined {
  for (const [pattern, place] of PLACES) {
    const match = pattern.exec(url);
    if (match) return place.replace('$1', match[1] ?? '');
  }
  return undefined;
}
