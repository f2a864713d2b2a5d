import type { RequestHandler, Response } from 'express';
import helmet, { type HelmetOptions } from 'helmet';

/** For answers that are JSON: nothing in them is to be shown, framed or guessed at. What only pages need is on `/docs`. */
const OPTIONS: HelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
  },
  crossOriginEmbedderPolicy: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  referrerPolicy: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xFrameOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
};

/**
 * Name and value, one behind the other. With these options helmet sets the same headers on each answer, so it is asked
 * once, and not by a chain of handlers for each request.
 */
export const SECURITY_HEADERS: readonly string[] = (() => {
  const headers: string[] = [];
  const answer = {
    setHeader: (name: string, value: string) => headers.push(name, value),
    removeHeader: () => {},
  };
  const [request, response] = [{}, answer] as unknown as Parameters<RequestHandler>;
  helmet(OPTIONS)(request, response, (error) => {
    if (error) throw error;
  });
  return headers;
})();

/** For an answer that does not write all its headers at once. */
export function setSecurityHeaders(response: Pick<Response, 'setHeader'>): void {
  for (let i = 0; i < SECURITY_HEADERS.length; i += 2) {
    response.setHeader(SECURITY_HEADERS[i] as string, SECURITY_HEADERS[i + 1] as string);
  }
}
