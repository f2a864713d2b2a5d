/** What of an OpenAPI document the page shows. */
interface OpenApi {
  info: { title: string; summary: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; securitySchemes?: Record<string, object> };
}
interface Operation {
  summary: string;
  parameters?: { name: string; in: string; description: string }[];
  requestBody?: { description?: string; content: Record<string, { schema: object }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
}

/** Its own hash allows the style; there are no scripts and nothing from elsewhere. */
export const DOCS_STYLE = `
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1rem}
h2{margin-top:2.5rem;border-bottom:1px solid;padding-bottom:.3rem}
code,pre{font:14px/1.45 ui-monospace,monospace}
pre{overflow:auto;padding:.8rem;border:1px solid #8886;border-radius:6px}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8886}
summary{cursor:pointer}`;

/** The API as one HTML page without scripts, which works without the internet. */
export function docsPage(document: object): string {
  const { info, paths, components } = document as OpenApi;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(method, path, operation)),
  );
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="${escapeHtml(name)}"><summary><code>${escapeHtml(name)}</code></summary><pre>${escapeHtml(JSON.stringify(schema, null, 2))}</pre></details>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(info.title)}</title><style>${DOCS_STYLE}</style></head><body>
<h1>${escapeHtml(info.title)} ${escapeHtml(info.version)}</h1><p>${escapeHtml(info.summary)} <a href="openapi.json">openapi.json</a></p>
<pre>curl -sS "$URL/send"${components.securitySchemes ? ' -H "authorization: Bearer $KEY"' : ''} -H 'content-type: application/json' -d '{"source":"sensor-1","amount":12.5}'</pre>
${operations.join('\n')}
<h2>Schemas</h2>
${schemas.join('\n')}
</body></html>
`;
}

function section(method: string, path: string, operation: Operation): string {
  const { summary, parameters = [], requestBody, responses } = operation;
  const rows = (cells: string[][]) =>
    cells.map((row) => `<tr>${row.map((c) => `<td>${c}</td>`).join('')}</tr>`).join('');
  const body = requestBody ? Object.entries(requestBody.content) : [];
  return `<h2><code>${method.toUpperCase()} ${escapeHtml(path)}</code></h2><p>${escapeHtml(summary)}</p>
${parameters.length > 0 ? `<h3>Parameters</h3><table>${rows(parameters.map((p) => [`<code>${escapeHtml(p.name)}</code>`, escapeHtml(p.in), prose(p.description)]))}</table>` : ''}
${body.length > 0 ? `<h3>Body</h3><table>${rows(body.map(([type, { schema }]) => [`<code>${escapeHtml(type)}</code>`, named(schema)]))}</table>` : ''}
<h3>Answers</h3><table>${rows(
    Object.entries(responses).map(([status, { description, content = {} }]) => [
      status,
      prose(description),
      Object.values(content)
        .map(({ schema }) => named(schema))
        .join(' '),
    ]),
  )}</table>`;
}

/** A schema by its name, or as JSON when it has none. */
function named(schema: object): string {
  const text = JSON.stringify(schema);
  const name = /#\/components\/schemas\/(\w+)/.exec(text)?.[1];
  if (!name) return `<code>${escapeHtml(text)}</code>`;
  return `${'items' in schema ? 'array of ' : ''}<a href="#${name}"><code>${name}</code></a>`;
}

function prose(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
