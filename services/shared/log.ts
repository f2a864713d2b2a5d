import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import { errorCode } from './errors.ts';

export type Logger = PinoLogger;

/** Headers that carry credentials, also as a field by themselves. */
const CREDENTIALS = ['authorization', 'cookie', 'x-api-key'] as const;

/**
 * JSON lines on standard output, ISO times, `service` on each line. Values are JSON-encoded, so control
 * characters of a hostile client can't forge a line; headers that carry credentials are never written.
 */
export function createLogger(service: string, level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { service },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      redact: {
        paths: CREDENTIALS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.headers["${name}"]`]),
        censor: '[redacted]',
      },
    },
    ...(destination ? [destination] : []),
  );
}

interface LoggedError {
  type: string;
  code: string;
  message: string;
  stack?: string | undefined;
  httpStatus?: number | undefined;
  awsRequestId?: string | undefined;
  cause?: LoggedError | undefined;
}

/**
 * An error without what it drags along: an AWS SDK error holds the whole request and response, credentials'
 * signature included. Keeps the AWS request id, which AWS support asks for.
 */
export function serializeError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, code: 'unknown', message: String(error) };
  const aws = (error as { $metadata?: { httpStatusCode?: number; requestId?: string } }).$metadata;
  return {
    type: error.name,
    code: errorCode(error),
    message: error.message,
    ...(depth === 0 ? { stack: error.stack } : {}),
    ...(aws ? { httpStatus: aws.httpStatusCode, awsRequestId: aws.requestId } : {}),
    ...(error.cause !== undefined && depth < 4 ? { cause: serializeError(error.cause, depth + 1) } : {}),
  };
}
