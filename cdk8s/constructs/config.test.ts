import { Testing } from 'cdk8s';
import { describe, expect, it } from 'vitest';
import { controllerEnv } from '../../services/controller/config.ts';
import { Config } from './config.ts';

describe('Config', () => {
  const make = (data: Record<string, string>) =>
    new Config(Testing.chart(), 'Config', { name: 'c', namespace: 'weir', shape: controllerEnv, data });

  it('refuses what the service would not read', () => {
    expect(() => make({ WATCH_NAMESPACES: 'weir' })).toThrow(/no such variable: WATCH_NAMESPACES/);
    expect(() => make({ TICK_MS: '15s' })).toThrow(/TICK_MS="15s": expected whole number/);
  });

  it('has another name with another value, and the same with another order', () => {
    expect(make({ TICK_MS: '15000', LOG_LEVEL: 'info' }).name).toBe(
      make({ LOG_LEVEL: 'info', TICK_MS: '15000' }).name,
    );
    expect(make({ TICK_MS: '15000' }).name).not.toBe(make({ TICK_MS: '15001' }).name);
  });
});
