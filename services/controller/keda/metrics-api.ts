import { Router } from 'express';
import type { DecisionBoard } from './decision-board.ts';

const TITLES = {
  unknown: [404, 'There is no such StreamScaler'],
  undecided: [503, 'There is no decision yet'],
  stale: [503, 'The last decision is too old to act on'],
  hidden: [503, 'It is not known how many replicas are needed'],
} as const;

/**
 * `GET /decisions/{namespace}/{name}`: the decision as JSON, for KEDA's `metrics-api` scaler (`valueLocation:
 * replicas.desired`), dashboards and people: the StreamScaler's status without the controller's memory. 404 when there is no such
 * one, 503 when there is no decision that can be acted on.
 */
export function decisionRoutes(board: DecisionBoard): Router {
  const router = Router();
  router.get('/decisions/:namespace/:name', (request, response) => {
    const { namespace, name } = request.params;
    const reading = board.read({ namespace, name });
    response.set('cache-control', 'no-store');
    const told = 'decision' in reading ? reading.decision : undefined;
    if (told?.replicas) {
      const { memory: _, decidedAt, ...status } = told.status;
      response.json({ namespace, name, time: told.time, ...status });
      return;
    }
    const [status, title] = TITLES['missing' in reading ? reading.missing : 'hidden'];
    response.status(status).type('application/problem+json').send(JSON.stringify({ title, status }));
  });
  return router;
}
