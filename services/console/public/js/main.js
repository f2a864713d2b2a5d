import { addAnomalies, resetAnomalies } from './anomalies.js';
import { timeChart } from './charts.js';
import { connect } from './connection.js';
import { showDeadLetters } from './dead-letters.js';
import { byId, setText } from './dom.js';
import { duration, number, time } from './format.js';
import { showOverview } from './overview.js';
import { showScaling } from './scaling.js';
import { showShards } from './shards.js';

/** Points of the history: 15 min. */
const POINTS = 900;
/** A longer time between two points is a gap, in ms. */
const GAP_MS = 5_000;

let history;
let lastAt;

const ms = (value) => (value === null ? '–' : `${number(value)}`);
const charts = [
  timeChart(byId('throughput'), byId('throughput-legend'), {
    title: 'Events a second',
    lines: [
      { column: 'inPerSecond', label: 'in', format: number },
      { column: 'scoredPerSecond', label: 'scored', second: true, dashed: true, format: number },
    ],
  }),
  timeChart(byId('latency'), byId('latency-legend'), {
    title: 'End-to-end latency in milliseconds',
    lines: [
      { column: 'p50Ms', label: 'p50', format: ms },
      { column: 'p99Ms', label: 'p99', second: true, dashed: true, format: ms },
    ],
  }),
  timeChart(byId('lag'), byId('lag-legend'), {
    title: 'Lag of the shard that is furthest behind, in seconds',
    lines: [{ column: 'lagMs', label: 'max', scale: 1_000, format: duration }],
  }),
  timeChart(byId('capacity'), byId('capacity-legend'), {
    title: 'Workers and shards, and what is desired',
    lines: [
      { column: 'shards', label: 'shards', second: true, stepped: true, format: number },
      {
        column: 'shardsDesired',
        label: 'desired',
        second: true,
        dashed: true,
        stepped: true,
        optional: true,
        format: number,
      },
      { column: 'workers', label: 'workers', stepped: true, format: number },
      {
        column: 'replicasDesired',
        label: 'desired',
        dashed: true,
        stepped: true,
        optional: true,
        format: number,
      },
    ],
  }),
];

function showState(state) {
  lastAt = state.at;
  setText(byId('stream'), state.stream);
  setText(byId('region'), state.region);
  document.title = `${state.verdict.title} · Weir`;
  showOverview(state);
  showShards(state.shards);
  showScaling(state.scaling);
  for (const draw of charts) draw(history);
}

function addPoint(point) {
  const gap = point.at - history.at.at(-1) > GAP_MS;
  for (const [name, column] of Object.entries(history)) {
    if (gap) column.push(name === 'at' ? point.at - 1 : null);
    column.push(point[name] ?? null);
    if (column.length > POINTS) column.splice(0, column.length - POINTS);
  }
}

connect(
  'api/events',
  {
    everything({ state, history: columns, anomalies, deadLetters }) {
      history = columns;
      showState(state);
      resetAnomalies(anomalies);
      showDeadLetters(deadLetters);
    },
    state({ state, point }) {
      addPoint(point);
      showState(state);
    },
    anomalies: addAnomalies,
    'dead-letters': showDeadLetters,
  },
  (connection) => {
    byId('connection').dataset.state = connection;
    const text = {
      live: 'live',
      connecting: 'connecting',
      lost: `no connection${lastAt ? `, as of ${time(lastAt)}` : ''}; trying again`,
    };
    setText(byId('connection-text'), text[connection]);
  },
);
