import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { AwsJson, type AwsJsonOptions } from './aws-json.ts';

/** DynamoDB by `AwsJson`: `dynamodb.call('BatchWriteItem', …)`. */
export class DynamoDBJson extends AwsJson {
  constructor(client: DynamoDBClient, options: AwsJsonOptions = {}) {
    super(client, { name: 'dynamodb', target: 'DynamoDB_20120810', version: '1.0' }, options);
  }
}
