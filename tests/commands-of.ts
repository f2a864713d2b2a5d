import { readFileSync } from 'node:fs';

/** Commands of a page: lines of its `sh` blocks, joined where they go on, and code spans that are whole commands. */
export function commandsOf(page: string): string[] {
  const text = readFileSync(page, 'utf8');
  const blocks = [...text.matchAll(/^ *```sh\n(.*?)^ *```/gms)].map(([, block = '']) => block);
  const spans = [...text.matchAll(/`((?:npm run|npx|aws|kubectl) [^`]+)`/g)].map(([, span = '']) => span);
  return [...blocks.flatMap((block) => block.replaceAll(/\\\n\s*/g, '').split('\n')), ...spans]
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The words of a command as a shell would split them; a `$(…)` in double quotes is one word's part. */
export function wordsOf(command: string): string[] {
  return [...command.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) => word.replaceAll(/['"]/g, ''));
}
