import { Router } from 'express';
import type { DecisionBoard } from './decision-board.ts';

/**
 * `GET /decisions/{namespace}/{name}`: the decision as JSON, for KEDA's `metrics-api` scaler (`valueLocation:
 * replicas.desired`), dashboards and people. 404 when there is none here, 503 when it is too old to act on.
 */
export function decisionRoutes(board: DecisionBoard): Router {
  const router = Router();
  router.get('/decisions/:namespace/:name', (request, response) => {
    const { namespace, name } = request.params;
    const reading = board.read({ namespace, name });
    response.set('cache-control', 'no-store');
    if ('missing' in reading) {
      const status = reading.missing === 'stale' ? 503 : 404;
      const title =
        reading.missing === 'stale' ? 'The last decision is too old to act on' : 'There is no decision here';
      response.status(status).type('application/problem+json').send(JSON.stringify({ title, status }));
      return;
    }
    const { at, ...decision } = reading.decision;
    response.json({ namespace, name, time: new Date(at).toISOString(), ...decision });
  });
  return router;
}
