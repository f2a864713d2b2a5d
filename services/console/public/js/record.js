import uPlot from '../vendor/uPlot.esm.js';
import { axes, keep } from './charts.js';
import { byId, el, pairs } from './dom.js';
import { number, time } from './format.js';

const dialog = byId('record');
const body = byId('record-body');
let chart;
/** Which anomaly is asked for: answers that come late are of another. */
let asked;

byId('record-close').addEventListener('click', () => dialog.close());
dialog.addEventListener('click', (event) => {
  // Outside of the box is the backdrop.
  if (event.target === dialog) dialog.close();
});
dialog.addEventListener('close', () => {
  asked = undefined;
  chart?.destroy();
  chart = undefined;
});

/** Opens an anomaly: the source around it, and the record. */
export function showRecord(anomaly) {
  asked = anomaly.id;
  chart?.destroy();
  chart = undefined;
  byId('record-title').textContent = `${anomaly.source}: ${number(anomaly.amount)}`;
  const around = el('div', {}, el('p', { class: 'empty' }, 'Reading…'));
  const record = el('div', {}, el('p', { class: 'empty' }, 'Reading…'));
  body.replaceChildren(el('h3', {}, 'The source around it'), around, el('h3', {}, 'The record'), record);
  if (!dialog.open) dialog.showModal();
  void fill(around, anomaly, { source: anomaly.source, at: anomaly.at }, 'api/source', (answer) =>
    showAround(around, anomaly, answer),
  );
  void fill(record, anomaly, { id: anomaly.id }, 'api/record', (answer) => showFields(record, answer));
}

async function fill(box, anomaly, query, path, show) {
  try {
    const response = await fetch(`${path}?${new URLSearchParams(query)}`);
    const answer = await response.json();
    if (asked !== anomaly.id) return;
    if (!response.ok) throw new Error(answer.detail);
    show(answer);
  } catch (error) {
    if (asked === anomaly.id)
      box.replaceChildren(el('p', { class: 'empty' }, `It can't be shown: ${error.message}.`));
  }
}

function showFields(box, record) {
  const { payload, kinesis_metadata: metadata = {}, ...fields } = record;
  const text = (value) =>
    typeof value === 'object'
      ? JSON.stringify(value)
      : typeof value === 'number'
        ? number(value)
        : String(value);
  const order = ['source', 'amount', 'anomaly_score', 'detection_method', 'timestamp', 'processed_at', 'id'];
  const hidden = ['anomaly_day', 'anomaly_time', 'is_anomaly', 'expires_at'];
  const names = [
    ...order.filter((name) => name in fields),
    ...Object.keys(fields).filter((name) => !order.includes(name) && !hidden.includes(name)),
  ];
  box.replaceChildren(
    pairs([
      ...names.map((name) => [name, text(fields[name])]),
      ...Object.entries(metadata).map(([name, value]) => [
        name,
        name === 'approximate_arrival_timestamp' ? new Date(value * 1_000).toISOString() : String(value),
      ]),
    ]),
    el('h3', {}, 'Payload'),
    el('pre', { tabindex: '0', 'aria-label': 'Payload' }, JSON.stringify(payload ?? {}, null, 2)),
  );
}

function showAround(box, anomaly, { from, to, anomalies, minutes }) {
  const points = anomalies.filter(({ amount }) => typeof amount === 'number');
  const plot = el('div', { class: 'plot', role: 'img' });
  const what =
    minutes.length > 0
      ? `Line and band: mean, least and greatest amount of each minute (${minutes.length} minutes of rollups).`
      : 'Normal events are not in it: the tables can be asked by source for anomalies and rollups only, and there are no rollups of this source here (STORE=anomalies keeps them).';
  plot.setAttribute('aria-label', `Amounts of ${anomaly.source} over time: ${points.length} anomalies`);
  box.replaceChildren(
    plot,
    el(
      'p',
      { class: 'note' },
      `Dots: its ${points.length} anomal${points.length === 1 ? 'y' : 'ies'} from ${time(from)} to ${time(to)}, by arrival; the filled one is this. ${what}`,
    ),
  );
  const rows = [
    ...minutes.map(({ minute, mean, min, max }) => [
      Date.parse(minute) / 1_000 + 30,
      min,
      max,
      mean,
      null,
      null,
    ]),
    ...points.map(({ id, at, amount }) => [
      Date.parse(at) / 1_000,
      null,
      null,
      null,
      id === anomaly.id ? null : amount,
      id === anomaly.id ? amount : null,
    ]),
  ].sort((a, b) => a[0] - b[0]);
  const data = [0, 1, 2, 3, 4, 5].map((column) => rows.map((row) => row[column]));
  const middle = Date.parse(anomaly.at) / 1_000;
  // At least a minute to each side: a burst of a few seconds would else have no context. Not uPlot's own extent, which
  // makes a day of a single point.
  const extent = [Math.min(middle - 60, ...data[0]), Math.max(middle + 60, ...data[0])];
  chart = keep(plot, (colors, width, height) => {
    const none = () => null;
    const dots = (fill, size) => ({
      paths: none,
      stroke: colors.second,
      points: { show: true, size, width: 1.5, stroke: colors.second, fill },
    });
    const line = (width) => ({ stroke: colors.accent, width, spanGaps: true, points: { show: false } });
    return new uPlot(
      {
        width,
        height,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { range: () => extent },
          y: {
            range: (_plot, min, max) =>
              min === null ? [0, 1] : [Math.min(0, min * 1.1), max > 0 ? max * 1.15 : 1],
          },
        },
        bands: [{ series: [2, 1], fill: colors['accent-soft'] }],
        axes: axes(colors),
        series: [{}, line(0), line(0), line(1.5), dots(colors.panel, 7), dots(colors.second, 11)],
      },
      data,
      plot,
    );
  });
}
