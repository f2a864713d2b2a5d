import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { ofType } from '../templates.ts';
import type { Promised } from './promised.ts';

/** Alarms, whom they tell, and the budget. */
export const OBSERVABILITY_PROMISES: readonly Promised[] = [
  {
    says: 'each alarm tells somebody and links a runbook that exists',
    part: 'observability',
    check: (t, env) => {
      const alarms = ofType(t, 'AWS::CloudWatch::Alarm');
      expect(alarms.length).toBeGreaterThanOrEqual(4);
      for (const { Properties } of alarms) {
        expect(Properties.AlarmActions).toEqual([{ Ref: expect.stringMatching(/^Alarms/) }]);
        const runbook = /docs\/runbooks\/[a-z-]+\.md$/.exec(Properties.AlarmDescription)?.[0] ?? '';
        expect(existsSync(runbook), `${Properties.AlarmName}: ${runbook} is missing`).toBe(true);
        expect(readFileSync(runbook, 'utf8')).toContain('## What to do');
        expect(Properties.AlarmName).toBe(
          `weir-${env.name}-${runbook.replace(/^docs\/runbooks\/|\.md$/g, '')}`,
        );
      }
    },
  },
  {
    says: 'the topic is encrypted, takes messages over TLS, from this account only',
    part: 'observability',
    check: (t, env) => {
      for (const { Properties } of ofType(t, 'AWS::SNS::Topic'))
        expect(Properties.KmsMasterKeyId).toBeDefined();
      const policies = ofType(t, 'AWS::SNS::TopicPolicy').flatMap(
        (p) => p.Properties.PolicyDocument.Statement,
      );
      expect(policies).toContainEqual(
        expect.objectContaining({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
      );
      for (const statement of policies.filter((s) => s.Effect === 'Allow'))
        expect(statement.Condition).toEqual({ StringEquals: { 'aws:SourceAccount': env.account } });
    },
  },
  {
    says: 'a bill above the budget, or on its way there, tells somebody',
    part: 'observability',
    check: (t, env) =>
      expect(ofType(t, 'AWS::Budgets::Budget').map((b) => b.Properties)).toMatchObject([
        {
          Budget: { BudgetLimit: { Amount: env.alarms.budgetUsd, Unit: 'USD' }, TimeUnit: 'MONTHLY' },
          NotificationsWithSubscribers: [
            { Notification: { NotificationType: 'ACTUAL', Threshold: 80 } },
            { Notification: { NotificationType: 'FORECASTED', Threshold: 100 } },
          ],
        },
      ]),
  },
];
