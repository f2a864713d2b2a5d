import { App, Chart, Testing } from 'cdk8s';
import { describe, expect, it } from 'vitest';
import { HardenedDeployment } from './hardened-deployment.ts';

describe('HardenedDeployment', () => {
  it('renders the same whatever its construct is called', () => {
    const render = (id: string) => {
      const chart = new Chart(new App(), 'chart');
      new HardenedDeployment(chart, id, {
        app: 'producer',
        namespace: 'weir',
        image: 'a@sha256:1',
        serviceAccount: 'a',
        config: 'c',
        apiToken: false,
        drainSeconds: 15,
        shutdownTimeoutMs: 25_000,
        cpuMillis: 1,
        memoryMiB: 1,
        priority: 'p',
      });
      return Testing.synth(chart);
    };
    expect(render('Renamed')).toEqual(render('Deployment'));
    expect(render('x')[0].spec.template.spec.containers[0].lifecycle).toEqual({
      preStop: { sleep: { seconds: 15 } },
    });
    // Sleep before the signal, the service's own time, and a margin.
    expect(render('x')[0].spec.template.spec.terminationGracePeriodSeconds).toBe(15 + 25 + 5);
  });
});
