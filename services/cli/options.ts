import { InvalidArgumentError, Option } from 'commander';

/** Parses an option: a number of `[least, most]`. */
export const quantity =
  (least: number, most: number) =>
  (text: string): number => {
    const n = Number(text);
    if (text.trim() === '' || !Number.isFinite(n) || n < least || n > most)
      throw new InvalidArgumentError(`expected a number from ${least} to ${most}`);
    return n;
  };

/** Parses an option: a whole number of `[least, most]`. */
export const wholeNumber =
  (least: number, most: number) =>
  (text: string): number => {
    const n = quantity(least, most)(text);
    if (!Number.isInteger(n)) throw new InvalidArgumentError('expected a whole number');
    return n;
  };

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** An option that takes a time span like `90s`, `10m`, `2h`, `1d`; a bare number is seconds. Its value is in ms. */
export function spanOption(flags: string, description: string, span: string): Option {
  return new Option(flags, description).argParser(timeSpan).default(timeSpan(span), span);
}

function timeSpan(text: string): number {
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (amount === undefined) throw new InvalidArgumentError('expected a time span like 30s, 10m or 2h');
  return Number(amount) * UNITS[unit as keyof typeof UNITS];
}

/** A name or a pattern in which `*` stands for anything. */
export function globOf(pattern: string): (text: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const regex = new RegExp(`^${parts.join('[^]*')}$`);
  return (text) => regex.test(text);
}
