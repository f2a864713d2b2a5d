import { Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { CfnBudget } from 'aws-cdk-lib/aws-budgets';
import { Alarm, Dashboard } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import { parameterPrefix } from '../../cdk8s/environments/names.ts';
import type { Environment } from '../../cdk8s/environments/schema.ts';
import { publish } from '../constructs/parameters.ts';
import { alarmDefinitions } from './alarms.ts';
import { dashboardRows, runbookUrl } from './dashboard.ts';

interface ObservabilityStackProps extends StackProps {
  environment: Environment;
  key: IKey;
  /** Event source mapping of the Lambda variant, where there is one. */
  mappingId: string | undefined;
}

/** Dashboard, alarms, the topic that they go to, and the budget. */
export class ObservabilityStack extends Stack {
  constructor(scope: Construct, id: string, props: ObservabilityStackProps) {
    super(scope, id, props);
    const env = props.environment;
    const topic = this.#createTopic(env, props.key);
    new Dashboard(this, 'Dashboard', {
      dashboardName: `weir-${env.name}`,
      widgets: dashboardRows(env),
    });
    for (const definition of alarmDefinitions(env, props.mappingId)) {
      const alarm = new Alarm(this, definition.name, {
        alarmName: `weir-${env.name}-${definition.name}`,
        alarmDescription: `${definition.says} ${runbookUrl(env, definition.name)}`,
        metric: definition.metric,
        threshold: definition.threshold,
        comparisonOperator: definition.comparison,
        evaluationPeriods: definition.periods,
        treatMissingData: definition.missing,
      });
      alarm.addAlarmAction(new SnsAction(topic));
      alarm.addOkAction(new SnsAction(topic));
    }
    this.#createBudget(env, topic);
    publish(this, parameterPrefix(env), { 'alarms-topic-arn': topic.topicArn });
  }

  #createTopic(env: Environment, key: IKey): Topic {
    const topic = new Topic(this, 'Alarms', {
      topicName: `weir-${env.name}-alarms`,
      masterKey: key,
      enforceSSL: true,
    });
    for (const service of ['cloudwatch', 'budgets']) {
      topic.addToResourcePolicy(
        new PolicyStatement({
          sid: `From${service}`,
          principals: [new ServicePrincipal(`${service}.amazonaws.com`)],
          actions: ['sns:Publish'],
          resources: [topic.topicArn],
          conditions: { StringEquals: { 'aws:SourceAccount': env.account } },
        }),
      );
    }
    if (env.alarms.email) {
      topic.addSubscription(new EmailSubscription(env.alarms.email));
      Validations.of(topic).acknowledge({
        id: 'Serverless-SNSRedrivePolicy',
        reason:
          'A mail that is not delivered is lost either way; the alarm itself stays red in CloudWatch, and on the dashboard.',
      });
    }
    return topic;
  }

  /** What is tagged as Weir's costs more than planned, or will by the month's end (runbook: budget). */
  #createBudget(env: Environment, topic: Topic): void {
    const notify = (notificationType: 'ACTUAL' | 'FORECASTED', threshold: number) => ({
      notification: {
        notificationType,
        comparisonOperator: 'GREATER_THAN',
        threshold,
        thresholdType: 'PERCENTAGE',
      },
      subscribers: [{ subscriptionType: 'SNS', address: topic.topicArn }],
    });
    const budget = new CfnBudget(this, 'Budget', {
      budget: {
        budgetName: `weir-${env.name}`,
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: env.alarms.budgetUsd, unit: 'USD' },
        costFilters: { TagKeyValue: [`user:application$weir`] },
      },
      notificationsWithSubscribers: [notify('ACTUAL', 80), notify('FORECASTED', 100)],
    });
    // It checks at once whether it may publish.
    budget.node.addDependency(topic);
  }
}
