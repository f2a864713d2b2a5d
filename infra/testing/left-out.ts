import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CfnTemplate, Resource } from './templates.ts';

interface LeftOut {
  type: string;
  /** Which resources of the type; without it, all. */
  which?: (resource: Resource) => boolean;
  reason: string;
}

/** What ministack 1.5 doesn't take, and so is not deployed in the test; the assertions on templates cover it. */
const LEFT_OUT: readonly LeftOut[] = [
  { type: 'AWS::IAM::OIDCProvider', reason: 'its CloudFormation knows no such type' },
  { type: 'AWS::EKS::PodIdentityAssociation', reason: 'its CloudFormation knows no such type' },
  { type: 'AWS::Budgets::Budget', reason: 'its CloudFormation knows no such type' },
  { type: 'AWS::Kinesis::StreamConsumer', reason: 'its CloudFormation knows no such type' },
  {
    type: 'AWS::CloudWatch::Alarm',
    which: ({ Properties }) => Properties.Metrics !== undefined,
    reason: 'its alarms know no metric math',
  },
];

/** Takes those resources out of a synthesized assembly's templates; a reference to one becomes a name. */
export function leaveOut(assembly: string): void {
  for (const file of readdirSync(assembly).filter((name) => name.endsWith('.template.json'))) {
    const path = join(assembly, file);
    const template = JSON.parse(readFileSync(path, 'utf8')) as CfnTemplate;
    const ids = new Set<string>();
    for (const [id, resource] of Object.entries(template.Resources)) {
      const entry = LEFT_OUT.find(({ type, which }) => type === resource.Type && (which?.(resource) ?? true));
      if (!entry) continue;
      ids.add(id);
      delete template.Resources[id];
    }
    writeFileSync(
      path,
      JSON.stringify(template, (_, value) => withoutReference(value, ids)),
    );
  }
}

function withoutReference(value: unknown, ids: ReadonlySet<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { Ref, 'Fn::GetAtt': attribute } = value as { Ref?: string; 'Fn::GetAtt'?: string[] };
  if (Ref !== undefined && ids.has(Ref)) return `left-out-${Ref}`;
  if (Array.isArray(attribute) && ids.has(attribute[0] ?? '')) return `left-out-${attribute[0]}`;
  return value;
}
