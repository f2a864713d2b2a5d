import type { TargetProblem } from './target.ts';

/** Kinesis at AWS: endpoints of a region, FIPS, dual-stack, of an account and of a VPC, in each partition. No other AWS host: some are anybody's. */
const KINESIS_HOST =
  /^([a-z0-9-]+\.)*((control|data)-)?kinesis(-fips)?\.[a-z0-9-]+\.(vpce\.)?(amazonaws\.com(\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)$/;

/** Origins with commas, or `*`; `undefined` for what is neither. */
export function parseOrigins(value: string): readonly string[] | undefined {
  const parts = value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const origins = parts.map((part) => (part === '*' ? part : URL.parse(part)?.origin));
  return origins.some((origin) => origin === undefined || origin === 'null')
    ? undefined
    : (origins as string[]);
}

/**
 * Why an endpoint of a spec is not called. Whoever may write a StreamScaler must not get the controller to send signed
 * requests to any host that it can reach.
 *
 * @param allowed origins besides those of AWS, or `*`.
 */
export function endpointProblem(
  endpoint: string | undefined,
  allowed: readonly string[],
): TargetProblem | undefined {
  if (endpoint === undefined || allowed.includes('*')) return undefined;
  const url = URL.parse(endpoint);
  if (url && url.username === '' && url.password === '') {
    if (url.protocol === 'https:' && url.port === '' && KINESIS_HOST.test(url.hostname)) return undefined;
    if (allowed.includes(url.origin)) return undefined;
  }
  return {
    reason: 'EndpointNotAllowed',
    message: `spec.stream.endpoint ${url?.origin ?? 'is no URL and'} is not one of Kinesis at AWS, and the controller's STREAM_ENDPOINTS does not name it.`,
  };
}
