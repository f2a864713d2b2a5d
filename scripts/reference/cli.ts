import type { Command } from 'commander';
import * as z from 'zod';
import { EXIT } from '../../services/cli/exit-codes.ts';
import { program } from '../../services/cli/program.ts';
import * as schemas from '../../services/cli/schemas.ts';
import { fieldsOf, type JsonSchema } from './fields.ts';
import { cell, table } from './markdown.ts';

/** What a command prints with `--json`. */
const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  demo: schemas.demoSchema,
  send: schemas.sendSchema,
  tail: schemas.resultSchema,
  lag: schemas.lagSchema,
  shards: schemas.shardsSchema,
  leases: schemas.leasesSchema,
  'dlq list': schemas.dlqListSchema,
  'dlq show': schemas.dlqShowSchema,
  'dlq redrive': schemas.dlqRedriveSchema,
  'dlq import': schemas.dlqImportSchema,
  'dlq purge': schemas.dlqPurgeSchema,
  backtest: schemas.backtestSchema,
  simulate: schemas.simulateSchema,
  cost: schemas.costSchema,
  'keys create': schemas.keysSchema,
  doctor: schemas.doctorSchema,
};

/** The page of the `weir` command, from the command itself. */
export function cliReference(notice: string): string {
  const codes = Object.values(EXIT).map(({ code, means }) => [String(code), means]);
  return `${notice}

# The weir command

In a checkout after \`npm ci\`: \`npx weir <command>\`. Each command tells its options with \`--help\`. Tables are for people;
with \`--json\` a command prints one object on a line, or one a line where it goes on. Messages are on standard error.
Colour is for terminals only, and \`NO_COLOR\` turns it off. \`--demo\` looks at the demo that runs on this machine.

## Exit codes

${table(['code', 'meaning'], codes)}

${leaves(program, []).map(section).join('\n\n')}
`;
}

interface Leaf {
  path: string;
  command: Command;
}

function leaves(command: Command, path: readonly string[]): Leaf[] {
  return command.commands.flatMap((sub) => {
    const deeper = [...path, sub.name()];
    return sub.commands.length > 0
      ? leaves(sub as Command, deeper)
      : [{ path: deeper.join(' '), command: sub as Command }];
  });
}

function section({ path, command }: Leaf): string {
  const help = command.createHelp();
  const options = help
    .visibleOptions(command)
    .filter(({ long }) => long !== '--help')
    .map((option) => [`\`${option.flags}\``, cell(help.optionDescription(option))]);
  const schema = SCHEMAS[path];
  if (!schema && command.options.some(({ long }) => long === '--json'))
    throw new Error(`weir ${path} --json prints what services/cli/schemas.ts does not say`);
  const parts = [
    `## weir ${path}`,
    command.description(),
    `\`\`\`text\nweir ${path} ${command.usage()}\n\`\`\``,
    ...(options.length > 0 ? [table(['option', 'what it does'], options)] : []),
    ...(schema ? [`With \`--json\`:`, jsonTable(schema)] : []),
  ];
  return parts.join('\n\n');
}

function jsonTable(schema: z.ZodType): string {
  const fields = fieldsOf(z.toJSONSchema(schema, { io: 'input' }) as JsonSchema);
  return table(
    ['field', 'type', 'what it is'],
    fields.map(({ path, type, description }) => [`\`${path}\``, cell(type), cell(description)]),
  );
}
