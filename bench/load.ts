import { connect, type Socket } from 'node:net';

export interface LoadOptions {
  host: string;
  port: number;
  path: string;
  connections: number;
  /** Requests over all connections. */
  requests: number;
  /** Body of the n-th request. */
  body: (n: number) => string;
}

export interface LoadResult {
  seconds: number;
  /** Latency of each request, in ms. */
  latencies: number[];
}

/**
 * Posts JSON over kept connections, one request at a time on each, by raw sockets: a general HTTP client would cost
 * more than the server that is measured.
 *
 * @throws Error at the first answer that is not a 200.
 */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const { requests, connections } = options;
  const latencies: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const client = async () => {
    const socket = connect(options.port, options.host);
    socket.setNoDelay(true);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const read = responses(socket);
    while (next < requests) {
      const text = options.body(next++);
      const sentAt = performance.now();
      const head = `POST ${options.path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`;
      socket.write(head + text);
      const answer = await read();
      if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`not a 200: ${answer.slice(0, 400)}`);
      latencies.push(performance.now() - sentAt);
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: connections }, client));
  return { seconds: (performance.now() - startedAt) / 1000, latencies };
}

/** Reads whole answers off a socket, whether they have a length or come in chunks. */
function responses(socket: Socket): () => Promise<string> {
  let buffered = '';
  let wake: (() => void) | undefined;
  let failed: Error | undefined;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    buffered += chunk;
    wake?.();
  });
  socket.on('error', (error) => {
    failed = error;
    wake?.();
  });
  socket.on('close', () => {
    failed ??= new Error('the server closed the connection');
    wake?.();
  });
  return async () => {
    for (;;) {
      const end = endOfAnswer(buffered);
      if (end > 0) {
        const answer = buffered.slice(0, end);
        buffered = buffered.slice(end);
        return answer;
      }
      if (failed) throw failed;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}

function endOfAnswer(text: string): number {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return -1;
  const length = /content-length: (\d+)/i.exec(text.slice(0, head))?.[1];
  if (length !== undefined) {
    const end = head + 4 + Number(length);
    return text.length >= end ? end : -1;
  }
  const end = text.indexOf('\r\n0\r\n\r\n', head);
  return end < 0 ? -1 : end + 7;
}
