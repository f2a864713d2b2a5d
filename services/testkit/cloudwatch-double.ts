import { createServer } from 'node:http';
import { close, listen } from '../shared/server.ts';

interface MetricStat {
  Metric: { Namespace: string; MetricName: string; Dimensions?: { Name: string; Value: string }[] };
  Period: number;
  Stat: string;
}

interface GetMetricData {
  MetricDataQueries: { Id: string; MetricStat: MetricStat }[];
  StartTime: number;
  EndTime: number;
  ScanBy?: 'TimestampAscending' | 'TimestampDescending';
}

/** An answer instead of data: an error by its name, or none at all. */
type CloudWatchFault = { status: number; type: string } | 'hang';

/** GetMetricData of CloudWatch over its JSON 1.0 protocol. */
export interface CloudWatchDouble {
  readonly endpoint: string;
  /** Calls that came, those with a fault too. */
  readonly calls: number;
  fault: CloudWatchFault | undefined;
  /** The sum of one minute. @param from its start, in ms since the epoch. */
  put(stream: string, metric: string, from: number, sum: number): void;
  stop(): Promise<void>;
}

/** Starts one on a free port of loopback. It keeps what it is given, and checks what CloudWatch checks of a query. */
export async function startCloudWatchDouble(): Promise<CloudWatchDouble> {
  const series = new Map<string, Map<number, number>>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    double.calls++;
    if (double.fault === 'hang') return;
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' });
      response.end(JSON.stringify(body));
    };
    const target = request.headers['x-amz-target'];
    if (double.fault) return answer(double.fault.status, { __type: double.fault.type, message: 'planned' });
    if (target !== 'GraniteServiceVersion20100801.GetMetricData')
      return answer(400, { __type: 'com.amazon.coral.service#UnknownOperationException' });
    const query = JSON.parse(Buffer.concat(chunks).toString()) as GetMetricData;
    const wrong = problemOfQuery(query);
    if (wrong) return answer(400, { __type: 'com.amazon.coral.service#ValidationError', message: wrong });
    answer(200, {
      Messages: [],
      MetricDataResults: query.MetricDataQueries.map((one) => result(one, query)),
    });
  });

  function result({ Id, MetricStat }: GetMetricData['MetricDataQueries'][number], query: GetMetricData) {
    const { MetricName, Dimensions } = MetricStat.Metric;
    const points = [...(series.get(`${Dimensions?.[0]?.Value} ${MetricName}`) ?? [])]
      // The end is not included.
      .filter(([from]) => from / 1_000 >= query.StartTime && from / 1_000 < query.EndTime)
      .sort(([a], [b]) => (query.ScanBy === 'TimestampAscending' ? a - b : b - a));
    return {
      Id,
      Label: MetricName,
      StatusCode: 'Complete',
      Timestamps: points.map(([from]) => from / 1_000),
      Values: points.map(([, sum]) => sum),
    };
  }

  const port = await listen(server, 0, '127.0.0.1');
  const double = {
    endpoint: `http://127.0.0.1:${port}`,
    calls: 0,
    fault: undefined as CloudWatchFault | undefined,
    put(stream: string, metric: string, from: number, sum: number) {
      const key = `${stream} ${metric}`;
      series.set(key, (series.get(key) ?? new Map<number, number>()).set(from, sum));
    },
    async stop() {
      server.closeAllConnections();
      await close(server);
    },
  };
  return double;
}

function problemOfQuery({ MetricDataQueries, StartTime, EndTime }: GetMetricData): string | undefined {
  if (!Array.isArray(MetricDataQueries) || MetricDataQueries.length === 0 || MetricDataQueries.length > 500)
    return 'MetricDataQueries must have 1 to 500 members';
  if (!(StartTime < EndTime)) return 'The parameter StartTime must be less than the parameter EndTime.';
  if (new Set(MetricDataQueries.map(({ Id }) => Id)).size < MetricDataQueries.length) return 'duplicate Id';
  for (const { Id, MetricStat } of MetricDataQueries) {
    if (!/^[a-z][a-zA-Z0-9_]*$/.test(Id)) return `Id ${Id} must begin with a lowercase letter`;
    if (MetricStat.Metric.Namespace !== 'AWS/Kinesis') return 'only the metrics of streams are here';
    if (MetricStat.Period % 60 !== 0 || MetricStat.Stat !== 'Sum') return 'only sums of minutes are here';
  }
  return undefined;
}
