/**
 * A store that takes BatchWriteItem at once and keeps nothing, in a process of its own. `GET /` gives what it was
 * asked for: `{"calls": 12, "bytes": 34567}`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const ANSWER = '{"UnprocessedItems":{}}';
let calls = 0;
let bytes = 0;

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(JSON.stringify({ calls, bytes }));
    return;
  }
  calls++;
  bytes += Number(request.headers['content-length'] ?? 0);
  request.resume();
  request.on('end', () => {
    response.writeHead(200, {
      'content-type': 'application/x-amz-json-1.0',
      'content-length': String(ANSWER.length),
    });
    response.end(ANSWER);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`stub listening on ${(server.address() as AddressInfo).port}`);
});
