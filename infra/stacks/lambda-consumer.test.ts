import { expect, it } from 'vitest';
import { defineEnvironment } from '../../cdk8s/environments/schema.ts';
import { staging } from '../../cdk8s/environments/staging.ts';
import { lambdaEnv } from '../../services/consumer/config.ts';
import { parseEnv } from '../../services/shared/config.ts';
import { lambdaVariables } from './lambda-consumer.ts';

it("gives the function variables that the consumer's configuration knows and takes", () => {
  const variables = lambdaVariables(staging, staging.consumers.lambda!);
  expect(Object.keys(variables).filter((name) => !(name in lambdaEnv))).toEqual([]);
  expect(parseEnv(lambdaEnv, variables)).toMatchObject({
    STREAM_NAME: 'anomaly-stream',
    RECORDS_TABLE: 'anomaly-stream-lambda-records',
    STATE_TABLE: 'anomaly-stream-lambda-state',
    ITEM_DAYS: 30,
    DEAD_LETTER_TABLE: 'anomaly-stream-lambda-dead-letters',
    WRITE_RETRY_MS: 30_000,
  });
  const short = lambdaVariables(staging, { ...staging.consumers.lambda!, timeoutSeconds: 15 });
  expect(parseEnv(lambdaEnv, short).WRITE_RETRY_MS).toBe(7_500);
});

it('gives the function the detectors of its environment', () => {
  const params = { keen: { detector: 'adaptive', sensitivity: 0.8 } };
  const env = defineEnvironment({
    ...staging,
    detection: { detector: 'adaptive', threshold: 5, challengers: ['keen', 'threshold'], params },
  });
  const variables = lambdaVariables(env, env.consumers.lambda!);
  expect(Object.keys(variables).filter((name) => !(name in lambdaEnv))).toEqual([]);
  expect(parseEnv(lambdaEnv, variables)).toMatchObject({
    DETECTOR: 'adaptive',
    THRESHOLD: 5,
    CHALLENGERS: ['keen', 'threshold'],
    DETECTOR_PARAMS: params,
  });
});
