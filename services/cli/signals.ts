/** Aborts at the first Ctrl-C or SIGTERM; a second one ends the process as it would have. */
export function stopped(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}
