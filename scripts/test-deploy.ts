/**
 * `npm run test:deploy`: installs ministack and cfn-lint from PyPI into a virtual environment in the cache, unless they
 * are there, and runs the test that needs them. Needs Python 3.10 or newer.
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { findPythonTool, PYTHON_TOOLS, toolsFolder } from '../infra/testing/python-tools.ts';

const folder = toolsFolder();
if (!findPythonTool('ministack') || !findPythonTool('cfn-lint')) {
  rmSync(folder, { recursive: true, force: true });
  const packages = Object.entries(PYTHON_TOOLS).map(([name, version]) => `${name}==${version}`);
  const steps: [string, string[]][] = [
    ['python3', ['-m', 'venv', folder]],
    [join(folder, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...packages]],
  ];
  for (const [program, args] of steps) {
    if (spawnSync(program, args, { stdio: 'inherit' }).status === 0) continue;
    rmSync(folder, { recursive: true, force: true });
    console.error(`${program} ${args.join(' ')} failed; Python 3.10 or newer with venv is needed`);
    process.exit(1);
  }
}
const { status } = spawnSync('vitest', ['run', 'infra/deploy.test.ts'], {
  stdio: 'inherit',
  env: { ...process.env, WEIR_TEST_DEPLOY: '1' },
});
process.exit(status ?? 1);
