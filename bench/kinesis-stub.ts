/**
 * A Kinesis that answers PutRecords at once and keeps nothing: it must cost less than what is measured against it.
 * Prints its port. A process of its own, so that its CPU time is not the producer's.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const latencyMs = Number(process.argv[2] ?? 0);
const SUMMARY = JSON.stringify({
  StreamDescriptionSummary: {
    StreamName: 'bench',
    StreamARN: 'arn:aws:kinesis:us-east-1:000000000000:stream/bench',
    StreamStatus: 'ACTIVE',
    RetentionPeriodHours: 24,
    StreamCreationTimestamp: 1_790_000_000,
    EnhancedMonitoring: [],
    OpenShardCount: 1,
  },
});
const ENTRY =
  '{"SequenceNumber":"49680519588719230298980224176598143969240665977545293842","ShardId":"shardId-000000000000"}';

const SHARDS = JSON.stringify({
  Shards: [
    {
      ShardId: 'shardId-000000000000',
      HashKeyRange: { StartingHashKey: '0', EndingHashKey: String(2n ** 128n - 1n) },
      SequenceNumberRange: {
        StartingSequenceNumber: '49680519588719230298980224176598143969240665977545293824',
      },
    },
  ],
});

/** Answers by number of records: they are all alike, so each is made once. */
const answers = new Map<number, string>();
function answerFor(records: number): string {
  let answer = answers.get(records);
  if (answer === undefined) {
    answer = `{"FailedRecordCount":0,"Records":[${Array(records).fill(ENTRY).join(',')}]}`;
    answers.set(records, answer);
  }
  return answer;
}

let calls = 0;
let records = 0;
const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(JSON.stringify({ calls, records }));
    return;
  }
  const target = String(request.headers['x-amz-target']);
  const put = target.endsWith('.PutRecords');
  let body = '';
  request.setEncoding('latin1');
  request.on('data', (chunk: string) => {
    body += chunk;
  });
  request.on('end', () => {
    let answer = target.endsWith('.ListShards') ? SHARDS : SUMMARY;
    if (target.endsWith('.PutRecord')) answer = ENTRY;
    if (put) {
      const inCall = body.split('"PartitionKey"').length - 1;
      calls++;
      records += inCall;
      answer = answerFor(inCall);
    } else if (answer === ENTRY) {
      calls++;
      records++;
    }
    const send = () => {
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.end(answer);
    };
    if (latencyMs > 0 && answer !== SUMMARY) setTimeout(send, latencyMs);
    else send();
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`stub listening on ${(server.address() as AddressInfo).port}\n`);
});
