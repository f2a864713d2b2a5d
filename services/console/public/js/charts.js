import uPlot from '../vendor/uPlot.esm.js';
import { el, setText } from './dom.js';
import { compact, UNKNOWN } from './format.js';

/** Least and most time on the axis, in s. */
const MIN_SPAN = 60;
const MAX_SPAN = 900;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = '11px system-ui, sans-serif';

/** Colours of the moment: a canvas doesn't follow the scheme by itself. */
function palette() {
  const names = ['accent', 'accent-soft', 'second', 'muted', 'line', 'bad', 'text', 'panel'];
  return Object.fromEntries(names.map((name) => [name, css(`--${name}`)]));
}

export function axes(colors, format = compact) {
  const common = {
    stroke: colors.muted,
    font: FONT,
    grid: { stroke: colors.line, width: 1 },
    ticks: { show: false },
  };
  return [
    {
      ...common,
      grid: { show: false },
      size: 22,
      gap: 4,
      space: 60,
      values: [
        [3600, '{HH}:{mm}', null, null, null, null, null, null, 1],
        [60, '{HH}:{mm}', null, null, null, null, null, null, 1],
        [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1],
      ],
    },
    { ...common, size: 42, gap: 4, space: 28, values: (_plot, splits) => splits.map((v) => format(v)) },
  ];
}

/** Keeps a plot as wide as its box, and makes it anew when the colours change. */
export function keep(box, make) {
  let plot = make(palette(), box.clientWidth, box.clientHeight);
  const resize = new ResizeObserver(() => {
    if (box.clientWidth > 0) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  });
  resize.observe(box);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const recolour = () => {
    const { data } = plot;
    plot.destroy();
    plot = make(palette(), box.clientWidth, box.clientHeight);
    plot.setData(data);
  };
  scheme.addEventListener('change', recolour);
  return {
    setData: (data) => plot.setData(data),
    destroy() {
      resize.disconnect();
      scheme.removeEventListener('change', recolour);
      plot.destroy();
    },
  };
}

/**
 * A plot of some columns of the history over time.
 *
 * @param lines `{column, label, second, dashed, stepped, optional, scale, format}`; `scale` is what a value is divided by, and
 * the legend leaves out an optional line that isn't known.
 */
export function timeChart(box, legend, { title, lines }) {
  const swatches = lines.map(({ label, second, dashed }) => {
    const value = el('b');
    legend.append(
      el(
        'span',
        { class: `${second ? 'second' : ''} ${dashed ? 'dashed' : ''}` },
        el('i'),
        `${label} `,
        value,
      ),
    );
    return value;
  });
  box.setAttribute('role', 'img');
  const chart = keep(
    box,
    (colors, width, height) =>
      new uPlot(
        {
          width,
          height,
          padding: [6, 6, 0, 0],
          legend: { show: false },
          cursor: { points: { size: 6 }, drag: { x: false, y: false } },
          scales: {
            x: {
              range: (_plot, min, max) => [Math.min(max - MIN_SPAN, Math.max(min, max - MAX_SPAN)), max],
            },
            y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.15 : 1] },
          },
          axes: axes(colors),
          series: [
            {},
            ...lines.map(({ second, dashed, stepped }) => ({
              stroke: second ? colors.second : colors.accent,
              width: 1.5,
              ...(dashed ? { dash: [5, 4] } : {}),
              ...(stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
              points: { show: false },
            })),
          ],
        },
        [[], ...lines.map(() => [])],
        box,
      ),
  );
  return (history) => {
    chart.setData([
      history.at.map((ms) => ms / 1_000),
      ...lines.map(({ column, scale = 1 }) => history[column].map((v) => (v === null ? null : v / scale))),
    ]);
    const told = lines.map(({ column, label, format, optional }, i) => {
      const text = format(history[column].at(-1));
      setText(swatches[i], text);
      swatches[i].parentElement.hidden = optional && text === UNKNOWN;
      return `${label} ${text}`;
    });
    box.setAttribute('aria-label', `${title}, now: ${told.join(', ')}`);
  };
}
