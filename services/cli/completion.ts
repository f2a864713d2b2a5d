import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What may follow a command's name. */
interface Node {
  /** The words that lead to it, without the program's name. */
  path: string;
  words: { word: string; description: string }[];
}

/**
 * A script that completes subcommands, options and the choices of arguments, made from the commands themselves; where it
 * has nothing to offer, the shell offers files.
 */
export function completionScript(program: Command, shell: Shell): string {
  const name = program.name();
  const nodes = nodesOf(program, []);
  if (shell === 'bash') return bash(name, nodes);
  if (shell === 'zsh') return zsh(name, nodes);
  return fish(name, nodes);
}

function nodesOf(command: Command, path: readonly string[]): Node[] {
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command).filter((sub) => sub.name() !== 'help');
  const words = [
    ...subcommands.map((sub) => ({ word: sub.name(), description: sub.description() })),
    ...help
      .visibleOptions(command)
      .map((option) => ({ word: option.long ?? option.short ?? '', description: option.description })),
    ...command.registeredArguments.flatMap(({ argChoices = [] }) =>
      argChoices.map((word) => ({ word, description: '' })),
    ),
  ];
  return [
    { path: path.join(' '), words },
    ...subcommands.flatMap((sub) => nodesOf(sub, [...path, sub.name()])),
  ];
}

/** The cases of a shell's `case`, each setting `words` for the path so far. */
function cases(nodes: readonly Node[]): string {
  return nodes
    .map(
      ({ path, words }) => `    ${quoted(path)}) words=${quoted(words.map(({ word }) => word).join(' '))} ;;`,
    )
    .join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Commands by their whole path: which words of the line count as one. */
const pathOf = (nodes: readonly Node[]) =>
  nodes
    .filter(({ path }) => path !== '')
    .map(({ path }) => quoted(path))
    .join('|');

function bash(name: string, nodes: readonly Node[]): string {
  return `# Completion of ${name} for bash: source <(${name} completion bash)
_${name}() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$word" in ${pathOf(nodes)}) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases(nodes)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${name} ${name}
`;
}

function zsh(name: string, nodes: readonly Node[]): string {
  return `#compdef ${name}
# Completion of ${name} for zsh: ${name} completion zsh > "\${fpath[1]}/_${name}"
_${name}() {
  local path_so_far='' word words_here=''
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "\${path_so_far:+$path_so_far }$word" in (${pathOf(nodes)}) path_so_far="\${path_so_far:+$path_so_far }$word" ;; esac
  done
  case "$path_so_far" in
${cases(nodes).replaceAll('words=', 'words_here=').replace(/^( *)/gm, '$1(')}
  esac
  compadd -- \${=words_here} || _files
}
if [ "\${funcstack[1]}" = _${name} ]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function fish(name: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, words }) =>
    words.map(({ word, description }) => {
      const what = word.startsWith('--')
        ? `-l ${word.slice(2)}`
        : word.startsWith('-')
          ? `-s ${word.slice(1)}`
          : `-a ${word}`;
      const text = description.split(/[.:;(]/)[0]?.trim() ?? '';
      return `complete -c ${name} -n ${quoted(`__${name}_at ${quoted(path)}`)} ${what}${text ? ` -d ${quoted(text)}` : ''}`;
    }),
  );
  const known = nodes
    .filter(({ path }) => path !== '')
    .map(({ path }) => quoted(path))
    .join(' ');
  return `# Completion of ${name} for fish: ${name} completion fish > ~/.config/fish/completions/${name}.fish
function __${name}_at
  set -l path
  for word in (commandline -opc)[2..]
    set -l next (string join ' ' $path $word)
    contains -- $next ${known}; and set path $path $word
  end
  test (string join ' ' $path) = "$argv[1]"
end
${lines.join('\n')}
`;
}
