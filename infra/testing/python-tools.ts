import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What the deployment test needs from PyPI; `npm run test:deploy` installs it. */
export const PYTHON_TOOLS = { ministack: '1.5.33', 'cfn-lint': '1.58.0' } as const;
type PythonTool = keyof typeof PYTHON_TOOLS;

/** The virtual environment with the tools, outside the tree. */
export function toolsFolder(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const versions = Object.entries(PYTHON_TOOLS).map(([name, version]) => `${name}-${version}`);
  return join(cache, 'weir', 'infra', versions.join('_'));
}

/** Path of a tool's program, undefined when it isn't installed. */
export function findPythonTool(name: PythonTool): string | undefined {
  const path = join(toolsFolder(), 'bin', name);
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}
