import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type RuntimeMetrics = ReturnType<typeof createRuntimeMetrics>;

/** From half a millisecond to five minutes. */
const SECONDS = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300];

/**
 * Metrics of the controller runtime, by the names that client-go and controller-runtime use, so that dashboards and alerts
 * made for those work. Labels are bounded: names of queues, controllers and resources, and our own codes.
 */
export function createRuntimeMetrics(registry: Registry) {
  const registers = [registry];
  const name = ['name'] as const;
  const controller = ['controller'] as const;
  const resource = ['resource'] as const;
  /** Called before each scrape: for gauges that grow by themselves. */
  const beforeScrape: (() => void)[] = [];
  return {
    beforeScrape,
    queueDepth: new Gauge({
      name: 'workqueue_depth',
      help: 'Keys that wait in the work queue.',
      labelNames: name,
      registers,
      collect: () => {
        for (const update of beforeScrape) update();
      },
    }),
    queueAdds: new Counter({
      name: 'workqueue_adds_total',
      help: 'Keys added to the work queue, duplicates of waiting ones left out.',
      labelNames: name,
      registers,
    }),
    queueRetries: new Counter({
      name: 'workqueue_retries_total',
      help: 'Keys added again after a failure.',
      labelNames: name,
      registers,
    }),
    queueSeconds: new Histogram({
      name: 'workqueue_queue_duration_seconds',
      help: 'Time that a key waited in the work queue.',
      labelNames: name,
      buckets: SECONDS,
      registers,
    }),
    queueWorkSeconds: new Histogram({
      name: 'workqueue_work_duration_seconds',
      help: 'Time that a key was worked on.',
      labelNames: name,
      buckets: SECONDS,
      registers,
    }),
    queueUnfinishedSeconds: new Gauge({
      name: 'workqueue_unfinished_work_seconds',
      help: 'Time spent so far on the keys that are being worked on; it grows when a worker is stuck.',
      labelNames: name,
      registers,
    }),
    queueLongestRunningSeconds: new Gauge({
      name: 'workqueue_longest_running_processor_seconds',
      help: 'Time spent so far on the key that has been worked on for longest.',
      labelNames: name,
      registers,
    }),
    reconciles: new Counter({
      name: 'controller_runtime_reconcile_total',
      help: 'Reconciles by result: success, requeue_after, error (tried again), terminal (waits for a change).',
      labelNames: ['controller', 'result'],
      registers,
    }),
    reconcileErrors: new Counter({
      name: 'controller_runtime_reconcile_errors_total',
      help: 'Reconciles that failed, by the code of the error.',
      labelNames: ['controller', 'code'],
      registers,
    }),
    reconcileSeconds: new Histogram({
      name: 'controller_runtime_reconcile_time_seconds',
      help: 'Duration of a reconcile.',
      labelNames: controller,
      buckets: SECONDS,
      registers,
    }),
    activeWorkers: new Gauge({
      name: 'controller_runtime_active_workers',
      help: 'Reconciles that are running.',
      labelNames: controller,
      registers,
    }),
    lists: new Counter({
      name: 'reflector_lists_total',
      help: 'Whole lists read from the API server.',
      labelNames: resource,
      registers,
    }),
    watchEvents: new Counter({
      name: 'reflector_watch_events_total',
      help: 'Events of watches, by type.',
      labelNames: ['resource', 'type'],
      registers,
    }),
    watchErrors: new Counter({
      name: 'reflector_errors_total',
      help: 'Lists and watches that failed and were made again, by reason.',
      labelNames: ['resource', 'reason'],
      registers,
    }),
    cachedObjects: new Gauge({
      name: 'reflector_cached_objects',
      help: 'Objects in the cache.',
      labelNames: resource,
      registers,
    }),
    handlerErrors: new Counter({
      name: 'reflector_handler_errors_total',
      help: 'Handlers of the cache that threw.',
      labelNames: resource,
      registers,
    }),
    leader: new Gauge({
      name: 'leader_election_master_status',
      help: '1 while this process is the leader.',
      labelNames: name,
      registers,
    }),
    leaderFailures: new Counter({
      name: 'leader_election_failures_total',
      help: 'Tries to take or renew the lease that failed.',
      labelNames: name,
      registers,
    }),
    events: new Counter({
      name: 'event_recorder_events_total',
      help: 'Kubernetes Events by outcome: created, counted (a repetition), limited, dropped (queue full), failed.',
      labelNames: ['outcome'],
      registers,
    }),
  };
}
