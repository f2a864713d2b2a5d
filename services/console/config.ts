import { commonEnv, type EnvShape, integer, parsed, port, tableEnv } from '../shared/config.ts';

/** A Kubernetes object's namespace and name. */
export interface ObjectName {
  namespace: string;
  name: string;
}

/** Environment of the console. */
export const consoleEnv = {
  ...commonEnv,
  PORT: port(
    'Port of the page and its API. It has no login of its own: put one in front of an ingress.',
    8080,
  ),
  ...tableEnv,
  PRODUCER_METRICS_URLS: parsed<readonly string[]>(
    "Addresses of the producers' `/metrics`, with commas; of a host name with several addresses (a headless Service) each is read. Left out, events in are not shown. The consumers' addresses are in their lease rows.",
    { default: '', accepts: 'http(s) URLs with commas', parse: parseUrls },
  ),
  STREAM_SCALER: parsed<ObjectName | null>(
    'The StreamScaler whose status is shown, read with the service account of the pod (or the current kubeconfig). Left out, the page says that there is none.',
    { default: '', accepts: '`namespace/name`', parse: parseObjectName },
  ),
  MAX_VIEWERS: integer('Pages that are kept up to date at once; more get 503.', {
    default: 64,
    min: 1,
    max: 1_000,
  }),
} as const satisfies EnvShape;

function parseUrls(value: string): readonly string[] | undefined {
  const urls = value
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
  return urls.every((url) => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) ? urls : undefined;
}

const DNS_LABEL = '[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?';

/** `null` when there is none, `undefined` for what is not accepted. */
function parseObjectName(value: string): ObjectName | null | undefined {
  if (value === '') return null;
  const match = new RegExp(`^(${DNS_LABEL})/(${DNS_LABEL})$`).exec(value);
  return match ? { namespace: match[1] ?? '', name: match[2] ?? '' } : undefined;
}
