import { Presets, SingleBar } from 'cli-progress';

const LINE_INTERVAL_MS = 3_000;

/** How far the replay is. */
export interface ProgressState {
  sent: number;
  /** Results in the records table, by the consumer's count. */
  stored: number;
  deadLetters: number;
  total: number;
  /** Stored a second, since the start. */
  rate: number;
  /** How far the consumer is behind the tip of the stream. */
  lagMs: number;
}

/** Shows progress until `stop`. */
export interface ProgressView {
  update(state: ProgressState): void;
  stop(): void;
}

/** A bar on a terminal, else a line each few seconds (for logs and CI). */
export function createProgress(total: number, out: NodeJS.WriteStream): ProgressView {
  return out.isTTY ? bar(total, out) : lines(out);
}

function bar(total: number, stream: NodeJS.WriteStream): ProgressView {
  const single = new SingleBar(
    {
      stream,
      hideCursor: true,
      clearOnComplete: false,
      barsize: 24,
      format: '  {bar} {percentage}% · {sent} sent · {scored} scored and stored · {rate}/s · lag {lag}',
    },
    Presets.shades_classic,
  );
  single.start(total, 0, values({ sent: 0, stored: 0, deadLetters: 0, total, rate: 0, lagMs: 0 }));
  return {
    update: (state) => single.update(state.stored + state.deadLetters, values(state)),
    stop: () => single.stop(),
  };
}

function lines(out: NodeJS.WriteStream): ProgressView {
  let shownAt = Number.NEGATIVE_INFINITY;
  let last: ProgressState | undefined;
  const show = (state: ProgressState) => {
    const { sent, scored, rate, lag } = values(state);
    out.write(
      `  ${sent} of ${format(state.total)} sent, ${scored} scored and stored, ${rate}/s, lag ${lag}\n`,
    );
    shownAt = performance.now();
    last = undefined;
  };
  return {
    update(state) {
      last = state;
      if (performance.now() - shownAt >= LINE_INTERVAL_MS) show(state);
    },
    stop() {
      if (last) show(last);
    },
  };
}

function values({ sent, stored, rate, lagMs }: ProgressState) {
  return {
    sent: format(sent),
    scored: format(stored),
    rate: format(Math.round(rate)),
    lag: lagMs < 1_000 ? `${Math.round(lagMs)} ms` : `${(lagMs / 1_000).toFixed(1)} s`,
  };
}

/** A count with separators. */
export function format(n: number): string {
  return n.toLocaleString('en-US');
}
