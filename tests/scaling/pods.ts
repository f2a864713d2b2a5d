import { randomUUID } from 'node:crypto';
import { consumerEnv } from '../../services/consumer/config.ts';
import { type Consumer, createConsumer } from '../../services/consumer/create-consumer.ts';
import { createConsumerMetrics } from '../../services/consumer/metrics.ts';
import type { Worker } from '../../services/consumer/worker.ts';
import type { Clock } from '../../services/shared/clock.ts';
import { parseEnv } from '../../services/shared/config.ts';
import { createLogger } from '../../services/shared/log.ts';
import { createRegistry } from '../../services/shared/metrics.ts';
import { Progress } from '../../services/shared/progress.ts';
import { EMULATOR_CREDENTIALS } from '../../services/testkit/emulators.ts';

const GRACE_MS = 300_000;

interface Pod {
  name: string;
  worker: Worker;
  consumer: Consumer;
}

/** Pods of a consumer group, each the pod's own composition in this process: as many as the workload's replicas say. */
export class Pods {
  readonly #env: Record<string, string>;
  readonly #clock: Clock;
  #pods: Pod[] = [];

  /** @param clock the time that they live in. */
  constructor(env: Record<string, string>, clock: Clock) {
    this.#env = env;
    this.#clock = clock;
    // The SDK's chain looks for them there, as in a pod.
    process.env.AWS_ACCESS_KEY_ID ??= EMULATOR_CREDENTIALS.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY ??= EMULATOR_CREDENTIALS.secretAccessKey;
  }

  /** Starts pods, or ends the youngest ones as SIGTERM does. @returns how many are ready. */
  async resize(replicas: number): Promise<number> {
    while (this.#pods.length < replicas) this.#pods.push(await this.#start());
    const excess = this.#pods.splice(replicas);
    await Promise.all(excess.map((pod) => this.#stop(pod)));
    return this.#pods.filter(({ worker }) => worker.ready).length;
  }

  async #start(): Promise<Pod> {
    const name = `consumer-${randomUUID().slice(0, 5)}`;
    const consumer = await createConsumer(parseEnv(consumerEnv, this.#env), {
      progress: new Progress(this.#clock),
      clock: this.#clock,
      random: Math.random,
      log: createLogger(name, 'fatal'),
      metrics: createConsumerMetrics(createRegistry('consumer')),
      // The process has more to do than this pod, and at the clock's speed.
      eventLoop: () => ({ active: 0, idle: 1, utilization: 0 }),
    });
    const ref = { workerId: `${name}-w`, address: name };
    const worker = consumer.join(ref, async (address) => {
      const pod = this.#pods.find((other) => other.name === address);
      return pod?.worker.look() ?? false;
    });
    worker.start();
    return { name, worker, consumer };
  }

  async #stop({ worker, consumer }: Pod): Promise<void> {
    await worker.stop(GRACE_MS);
    consumer.close();
  }
}
