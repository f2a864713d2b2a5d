import { describe, expect, it } from 'vitest';
import { parseEnv } from '../shared/config.ts';
import { assertRoomForBatches, producerEnv } from './config.ts';

describe('the room for bodies', () => {
  const config = (env: Record<string, string>) => parseEnv(producerEnv, { STREAM_NAME: 's', ...env });

  it('is enough for the largest batch, or the producer does not start', () => {
    expect(() => assertRoomForBatches(config({}))).not.toThrow();
    const large = config({ MAX_BATCH_BYTES: '268435456' });
    expect(() => assertRoomForBatches(large)).toThrow(
      /raise it to 541990912 or more, or lower MAX_BATCH_BYTES/,
    );
    expect(() => assertRoomForBatches({ ...large, BODIES_MAX_BYTES: 541_990_912 })).not.toThrow();
  });
});
