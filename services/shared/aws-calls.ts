import type * as cloudwatch from '@aws-sdk/client-cloudwatch';
import type * as dynamodb from '@aws-sdk/client-dynamodb';
import type * as kinesis from '@aws-sdk/client-kinesis';

/** Operations of a service's API: `PutRecords` where its client exports `PutRecordsCommand`. */
type OperationsOf<Client> = {
  [Export in keyof Client]: Export extends `${infer Operation}Command` ? Operation : never;
}[keyof Client];
type KinesisOperation = OperationsOf<typeof kinesis>;
type CloudWatchOperation = OperationsOf<typeof cloudwatch>;
type DynamoDbOperation = OperationsOf<typeof dynamodb>;

/**
 * The AWS calls that a service makes, by what they are made on. Each service declares its own in
 * `aws-calls.ts`; the infrastructure grants exactly these, and a test compares them with the commands that
 * the service's code really imports, both ways.
 */
export interface AwsCalls {
  readonly stream?: readonly KinesisOperation[];
  /** Enhanced fan-out consumers of the stream. */
  readonly streamConsumers?: readonly KinesisOperation[];
  readonly records?: readonly DynamoDbOperation[];
  /** The records table's sparse index of anomalies. */
  readonly anomalies?: readonly DynamoDbOperation[];
  readonly leases?: readonly DynamoDbOperation[];
  readonly state?: readonly DynamoDbOperation[];
  readonly deadLetters?: readonly DynamoDbOperation[];
  /** Metrics of the whole account: CloudWatch knows no narrower right to read them. */
  readonly metrics?: readonly CloudWatchOperation[];
}
