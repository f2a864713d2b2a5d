/** What the producer is measured against: one PutRecord for each request, by express and the SDK as they come. */
import { createServer } from 'node:http';
import { PutRecordCommand } from '@aws-sdk/client-kinesis';
import express from 'express';
import { awsOptions, createKinesisClient } from '../services/shared/aws.ts';
import { commonEnv, parseEnv } from '../services/shared/config.ts';
import { listen } from '../services/shared/server.ts';

const env = parseEnv(commonEnv, process.env);
const kinesis = createKinesisClient(awsOptions(env));
const app = express();
app.use(express.json());
app.post('/send', async (request, response) => {
  const event = request.body as { source: string };
  const answer = await kinesis.send(
    new PutRecordCommand({
      StreamName: env.STREAM_NAME,
      PartitionKey: event.source,
      Data: Buffer.from(JSON.stringify(event)),
    }),
  );
  response.json({ status: 'sent', shard_id: answer.ShardId, sequence_number: answer.SequenceNumber });
});
const port = await listen(createServer(app), 0, '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ msg: 'listening', port, admin_port: port })}\n`);
