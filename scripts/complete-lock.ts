/**
 * Completes package-lock.json with the platform packages that npm left out.
 *
 * npm leaves an optional dependency out of the lock when the registry in use can't serve it (a mirror that holds the Linux builds only,
 * for example), and then `npm ci` refuses that same lock on every machine ("Missing: … from lock file"). The parents pin these
 * packages to exact versions, and a platform package's name says which os and cpu it is for, so their entries can be written without
 * asking: `npm ci` then skips those of other platforms, and a macOS or Windows machine finds its own.
 *
 * Run it after each `npm install` that changes the lock: `npm run lock`.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const OPERATING_SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'openharmony', 'sunos', 'win32'];
const CPUS = ['arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64'];
const EXACT_VERSION = /^\d+\.\d+\.\d+(?:-[\w.]+)?$/;

/** The os, cpu and libc that a platform package's name tells, such as `@scope/binding-linux-x64-musl`; undefined if it tells none. */
function platformOf(name: string): { os: string[]; cpu: string[]; libc?: string[] } | undefined {
  const words = name.split(/[/-]/);
  const os = OPERATING_SYSTEMS.find((candidate) => words.includes(candidate));
  const cpu = CPUS.find((candidate) => words.includes(candidate));
  if (os === undefined || cpu === undefined) return undefined;
  if (os !== 'linux') return { os: [os], cpu: [cpu] };
  return { os: [os], cpu: [cpu], libc: [words.some((word) => word.startsWith('musl')) ? 'musl' : 'glibc'] };
}

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, LockEntry> };
const added: string[] = [];

for (const [parent, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (path in lock.packages || `${parent}/${path}` in lock.packages) continue;
    const platform = platformOf(name);
    if (platform === undefined || !EXACT_VERSION.test(version)) {
      throw new Error(
        `package-lock.json lacks ${name}@${version}, wanted by ${parent}, and its name tells no platform: add it by hand`,
      );
    }
    lock.packages[path] = {
      version,
      cpu: platform.cpu,
      ...(entry.dev === true ? { dev: true } : {}),
      ...(platform.libc === undefined ? {} : { libc: platform.libc }),
      optional: true,
      os: platform.os,
    } as LockEntry;
    added.push(name);
  }
}

lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(
  added.length === 0 ? 'package-lock.json is complete' : `added to package-lock.json: ${added.join(', ')}`,
);
