import { describe, expect, it } from 'vitest';
import { commonEnv, decimal, describeEnv, integer, oneOf, parsed, parseEnv, port, text } from './config.ts';
import { ConfigError } from './errors.ts';

const shape = {
  PORT: port('Port.', 8080),
  SIZE_BYTES: integer('Size.', { default: 10, min: 1, max: 100 }),
  RATIO: decimal('Ratio.', { default: 0.5, min: 0 }),
  NAME: text('Name.', { default: 'n', pattern: /^[a-z]+$/, accepts: 'small letters' }),
  MODE: oneOf('Mode.', ['one', 'two'], 'one'),
  LIST: parsed('List.', { default: 'a,b', accepts: 'a list', parse: (value) => value.split(',') }),
};

describe('parseEnv', () => {
  it('has defaults, and counts an empty value as unset', () => {
    const expected = { PORT: 8080, SIZE_BYTES: 10, RATIO: 0.5, NAME: 'n', MODE: 'one', LIST: ['a', 'b'] };
    expect(parseEnv(shape, {})).toEqual(expected);
    expect(parseEnv(shape, { PORT: '', NAME: '', LIST: '' })).toEqual(expected);
  });

  it('reads what is set', () => {
    const env = { PORT: '0', SIZE_BYTES: '100', RATIO: '1e-3', NAME: 'abc', MODE: 'two', LIST: 'c' };
    expect(parseEnv(shape, env)).toEqual({
      PORT: 0,
      SIZE_BYTES: 100,
      RATIO: 0.001,
      NAME: 'abc',
      MODE: 'two',
      LIST: ['c'],
    });
  });

  it('names every bad variable in one message, with what it holds and what it accepts', () => {
    const env = {
      PORT: '70000',
      SIZE_BYTES: '1.5',
      RATIO: 'x',
      NAME: 'A',
      MODE: 'three',
      AWS_ENDPOINT_URL: 'ftp://x',
    };
    const read = () => parseEnv({ ...shape, ...commonEnv }, env);
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/^6 environment variables are not usable:/);
    expect(read).toThrow('PORT="70000": expected whole number 0-65535');
    expect(read).toThrow('NAME="A": expected small letters');
    expect(read).toThrow('MODE="three": expected `one`, `two`');
    expect(read).toThrow('AWS_ENDPOINT_URL="ftp://x": expected http(s) URL');
  });

  it('shows the beginning of a long value only', () => {
    expect(() => parseEnv(shape, { PORT: 'x'.repeat(5_000) })).toThrow(/^.{1,200}$/s);
  });

  it('describes each variable', () => {
    expect(describeEnv(shape)[1]).toEqual({
      name: 'SIZE_BYTES',
      description: 'Size.',
      accepts: 'whole number 1-100',
      default: '10',
    });
  });
});
