/** Longer than a few of the server's events, which come each second. */
const SILENCE_MS = 6_000;
const MAX_PAUSE_MS = 10_000;

/**
 * The server's events, whatever happens in between. The browser reconnects by itself when a connection breaks, but not
 * after an answer of another status than 200, and it doesn't notice a connection that is dead: both are done here.
 *
 * @param handlers by event name.
 * @param onState told `live`, `connecting` or `lost`.
 */
export function connect(url, handlers, onState) {
  let source;
  let failures = 0;
  let heardAt = 0;

  const open = () => {
    source?.close();
    source = new EventSource(url);
    heardAt = Date.now();
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, ({ data }) => {
        heardAt = Date.now();
        failures = 0;
        onState('live');
        handle(JSON.parse(data));
      });
    }
    source.addEventListener('error', () => {
      onState('lost');
      if (source.readyState === EventSource.CLOSED) again();
    });
  };
  let timer;
  const again = () => {
    clearTimeout(timer);
    // Spread, so that all pages don't come back in the same instant.
    timer = setTimeout(open, Math.min(MAX_PAUSE_MS, 1_000 * 2 ** failures++) * (0.5 + Math.random() / 2));
  };
  setInterval(() => {
    if (Date.now() - heardAt <= SILENCE_MS) return;
    onState('lost');
    if (source.readyState !== EventSource.CLOSED) open();
  }, 1_000);
  onState('connecting');
  open();
}
