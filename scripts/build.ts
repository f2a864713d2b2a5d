/**
 * Bundles each service, and the Lambda variant of the consumer, into `dist/<name>/`: one ES module with its source
 * map, to be run by Node 24 without `node_modules`. With names after it, only those, and
 * with `--to <folder>` elsewhere than into `dist`: `node scripts/build.ts lambda`. With `--onnx` the runtime of the onnx
 * detector goes beside the bundles of the consumer.
 */
import { cp, mkdir, rm } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { build, type Plugin } from 'esbuild';
import { uPlotFolder, VENDOR_FILES } from '../services/console/http/assets.ts';

/** Entry and bundle. Lambda has no package.json above the file, so its name must say that it is a module. */
const bundles: Readonly<Record<string, readonly [entry: string, file: string]>> = {
  producer: ['services/producer/main.ts', 'main.js'],
  consumer: ['services/consumer/main.ts', 'main.js'],
  controller: ['services/controller/main.ts', 'main.js'],
  console: ['services/console/main.ts', 'main.js'],
  lambda: ['services/consumer/lambda.ts', 'main.mjs'],
};

/**
 * Leaves out what nobody uses of client-node, most of all its generated classes, one for each kind of Kubernetes: 1 MB of code, and
 * 20 MB of memory. Its package.json doesn't say that importing its modules does nothing, so esbuild would keep them all.
 */
const onlyUsedModels: Plugin = {
  name: 'only-used-models',
  setup(build) {
    build.onResolve({ filter: /^(@kubernetes\/client-node$|\.)/ }, async ({ path, pluginData, ...from }) => {
      const { kind, resolveDir, importer } = from;
      const concerned = !path.startsWith('.') || importer.includes('/node_modules/@kubernetes/client-node/');
      if (!concerned || pluginData === onlyUsedModels) return;
      const found = await build.resolve(path, { kind, resolveDir, importer, pluginData: onlyUsedModels });
      return found.errors.length > 0 ? found : { path: found.path, sideEffects: false };
    });
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { to: { type: 'string', default: 'dist' }, onnx: { type: 'boolean', default: false } },
});
const names = positionals.length > 0 ? positionals : Object.keys(bundles);
for (const name of names) {
  const bundle = bundles[name];
  if (!bundle) throw new Error(`there is no bundle ${name}; choose ${Object.keys(bundles).join(', ')}`);
  const outfile = `${values.to}/${name}/${bundle[1]}`;
  await rm(`${values.to}/${name}`, { recursive: true, force: true });
  const result = await build({
    entryPoints: [bundle[0]],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    sourcemap: 'linked',
    // A function's cold start pays for each byte; a pod's start doesn't, and is easier to read when it fails.
    minify: name === 'lambda',
    keepNames: true,
    // Optional, 15 MB of which most are WebAssembly: `--onnx` puts it beside the bundle.
    external: ['onnxruntime-web'],
    plugins: [onlyUsedModels],
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
  const bytes = result.metafile.outputs[relative('.', outfile)]?.bytes ?? 0;
  console.log(`${outfile}  ${(bytes / 1024).toFixed(0)} KiB`);
  if (name === 'console') await copyPage(`${values.to}/${name}/public`);
  if (values.onnx && ['consumer', 'lambda'].includes(name))
    await copyOnnx(`${values.to}/${name}/node_modules`);
}

/** The page's files go beside the console's bundle, uPlot's among them. */
async function copyPage(folder: string): Promise<void> {
  await cp('services/console/public', folder, { recursive: true });
  for (const file of VENDOR_FILES) await cp(`${uPlotFolder()}${file}`, `${folder}/vendor/${file}`);
}

/** Of onnxruntime-web's 140 MB what Node loads: its entry, and WebAssembly for the CPU. */
async function copyOnnx(folder: string): Promise<void> {
  const files = {
    'onnxruntime-web': [
      'package.json',
      'dist/ort.node.min.mjs',
      'dist/ort-wasm-simd-threaded.mjs',
      'dist/ort-wasm-simd-threaded.wasm',
    ],
    'onnxruntime-common': ['package.json', 'dist/esm'],
  };
  for (const [name, paths] of Object.entries(files)) {
    for (const path of paths) {
      const to = `${folder}/${name}/${path}`;
      await mkdir(dirname(to), { recursive: true });
      await cp(`node_modules/${name}/${path}`, to, {
        recursive: true,
        filter: (source) => !source.endsWith('.map'),
      });
    }
  }
}
