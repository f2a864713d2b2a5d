import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { describe } from 'vitest';

const PATHS = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const found = PATHS.find((path) => path !== undefined && existsSync(path));
if (!found) {
  const text = 'no Chromium: install it (apt-get install chromium) or set CHROMIUM_PATH';
  if (process.env.REQUIRE_CHROMIUM === '1') throw new Error(text);
  process.stderr.write(`tests of the console's page in a browser are left out; ${text}\n`);
}

/** As `describe`; left out, with a word on standard error, on a machine without Chromium. With REQUIRE_CHROMIUM=1 that is an error. */
export const describeWithBrowser = describe.skipIf(!found);

/** A headless Chromium that talks to nobody but the pages it is given. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: found ?? '',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
