/**
 * Bundles each service into `dist/<service>/main.js`: one ES module with its source map, to be run by Node 24
 * without `node_modules`.
 */
import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

const services = ['producer', 'consumer'];

await rm('dist', { recursive: true, force: true });
for (const service of services) {
  const result = await build({
    entryPoints: [`services/${service}/main.ts`],
    outfile: `dist/${service}/main.js`,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    sourcemap: 'linked',
    minify: false,
    legalComments: 'linked',
    metafile: true,
    logLevel: 'warning',
    // CommonJS packages inside an ES module still ask for `require` and `__dirname`.
    banner: {
      js: [
        "import { createRequire as __createRequire } from 'node:module';",
        "import { dirname as __pathDirname } from 'node:path';",
        'const require = __createRequire(import.meta.url);',
        'const __filename = import.meta.filename;',
        'const __dirname = __pathDirname(__filename);',
      ].join('\n'),
    },
  });
  const bytes = result.metafile.outputs[`dist/${service}/main.js`]?.bytes ?? 0;
  console.log(`dist/${service}/main.js  ${(bytes / 1024).toFixed(0)} KiB`);
}
