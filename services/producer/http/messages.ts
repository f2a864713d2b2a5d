import { IncomingMessage, type RequestListener, type ServerOptions, ServerResponse } from 'node:http';
import type { Express } from 'express';

/**
 * The classes of an app's requests and answers, for the server that it is put on. Express changes the prototype of each
 * to its own, which costs V8 what it knew of the object: a twentieth of a request. These have it from the start.
 */
export function messagesOf(app: Express): Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'> {
  class AppRequest extends IncomingMessage {}
  class AppResponse<Request extends IncomingMessage> extends ServerResponse<Request> {}
  const own = app as unknown as { request: object; response: object };
  Object.setPrototypeOf(AppRequest.prototype, own.request);
  Object.setPrototypeOf(AppResponse.prototype, own.response);
  own.request = AppRequest.prototype;
  own.response = AppResponse.prototype;
  return { IncomingMessage: AppRequest, ServerResponse: AppResponse };
}

/**
 * What the server of an app calls for each request. Express answers for itself, past all handlers, where it can't parse a URL. So it
 * gets paths only: of the absolute URLs that a server must take (RFC 9112, 3.2.2), and `/` for what has none.
 */
export function listenerOf(app: Express): RequestListener {
  return (request, response) => {
    const { url = '' } = request;
    if (url[0] !== '/') request.url = pathOf(url);
    app(request, response);
  };
}

function pathOf(url: string): string {
  const parsed = URL.parse(url, 'http://producer');
  return parsed?.pathname[0] === '/' ? parsed.pathname + parsed.search : '/';
}
