import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { DetectorRuns } from './report.ts';
import { toReport } from './report.ts';

/** Points that are drawn of a series; of longer ones the least and largest of each slice, and all alarms. */
const MAX_POINTS = 10_000;
/** Series that are drawn; a page with more is too heavy to read. */
const MAX_SERIES = 100;

interface Plot {
  title: string;
  /** Seconds since the epoch, rising. */
  times: number[];
  amounts: number[];
  /** Spans of the labelled windows, seconds. */
  windows: [number, number][];
  /** By detector: points of its alarms. */
  alarms: { detector: string; times: number[]; amounts: number[]; notes: string[] }[];
}

/**
 * The backtest as one HTML page that loads nothing from elsewhere: plots of each series with alarms and labels. All
 * text of the user's files goes through `textContent`, never into markup.
 */
export async function toHtml(all: readonly DetectorRuns[]): Promise<string> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('uplot')), '');
  const [script, style] = await Promise.all([
    readFile(join(folder, 'uPlot.iife.min.js'), 'utf8'),
    readFile(join(folder, 'uPlot.min.css'), 'utf8'),
  ]);
  const { detectors } = toReport(all);
  const summary = detectors.map(({ bySeries, ...figures }) => figures);
  const data = { summary, plots: plots(all), leftOut: Math.max(0, (all[0]?.runs.length ?? 0) - MAX_SERIES) };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>weir backtest</title>
<style>${style}
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #555; --grid: #ddd; --window: #f1c40f40; --0: #c0392b; --1: #2471a3; --2: #1e8449; --3: #7d3c98; --4: #b9770e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161a1d; --line: #aab; --grid: #333a40; --window: #f1c40f30; --0: #ff7b6b; --1: #62b0e8; --2: #58d68d; --3: #c39bd3; --4: #f5b041; } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink); background: var(--paper); }
.wide { overflow-x: auto; } table { border-collapse: collapse; } #summary th, #summary td { padding: .2rem 0 .2rem 1.2rem; text-align: right; white-space: nowrap; } #summary :first-child { padding-left: 0; text-align: left; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; } .note { min-height: 1.4em; margin: 0; }
</style>
</head>
<body>
<main><h1>Backtest</h1><div class="wide"><table id="summary"></table></div><p id="left-out"></p><div id="plots"></div></main>
<script type="application/json" id="data">${embed(data)}</script>
<script>${script}</script>
<script>${PAGE}</script>
</body>
</html>
`;
}

/** JSON that can stand inside a script element, whatever strings it holds. */
function embed(data: unknown): string {
  return JSON.stringify(data).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function plots(all: readonly DetectorRuns[]): Plot[] {
  const [first] = all;
  return (first?.runs ?? []).slice(0, MAX_SERIES).map(({ series }, at) => {
    const { times, amounts, windows = [] } = series;
    // A plot needs rising times; files may not have them.
    const order = times.map((_, n) => n).sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0));
    const drawn = thin(order, amounts);
    const seconds = (record: number) => (times[record] ?? 0) / 1000;
    return {
      title: series.name,
      times: drawn.map(seconds),
      amounts: drawn.map((record) => amounts[record] ?? 0),
      windows: windows.map(([start, end]): [number, number] => [seconds(start), seconds(end)]),
      alarms: all.map(({ detector, runs }) => {
        const alarms = (runs[at]?.alarms ?? []).slice(0, MAX_POINTS);
        return {
          detector,
          times: alarms.map(({ record }) => seconds(record)),
          amounts: alarms.map(({ record }) => amounts[record] ?? 0),
          notes: alarms.map(
            ({ score, explanation }) => `score ${score.toFixed(3)}${explanation ? `: ${explanation}` : ''}`,
          ),
        };
      }),
    };
  });
}

/** At most MAX_POINTS of `order`, with the extremes of each slice. */
function thin(order: number[], amounts: readonly number[]): number[] {
  if (order.length <= MAX_POINTS) return order;
  const slice = Math.ceil((order.length * 2) / MAX_POINTS);
  const kept: number[] = [];
  for (let start = 0; start < order.length; start += slice) {
    let low = start;
    let high = start;
    for (let n = start; n < Math.min(start + slice, order.length); n++) {
      const amount = amounts[order[n] ?? 0] ?? 0;
      if (amount < (amounts[order[low] ?? 0] ?? 0)) low = n;
      if (amount > (amounts[order[high] ?? 0] ?? 0)) high = n;
    }
    for (const n of low === high ? [low] : [Math.min(low, high), Math.max(low, high)])
      kept.push(order[n] ?? 0);
  }
  return kept;
}

const PAGE = `
'use strict';
const { summary, plots, leftOut } = JSON.parse(document.getElementById('data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const shapes = ['\\u25cf', '\\u25a0', '\\u25b2', '\\u25c6', '\\u2716'];
const add = (parent, tag, text) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; parent.append(e); return e; };
const table = document.getElementById('summary');
const head = add(table, 'tr');
for (const t of ['detector', 'series', 'records', 'alarms', 'per 10,000', '\\u00b5s a record', 'precision', 'recall', 'F1', 'NAB, best threshold', 'NAB, own decision']) add(head, 'th', t);
const fixed = (n, d) => n === undefined || n === null ? '-' : n.toFixed(d);
for (const [i, s] of summary.entries()) {
  const row = add(table, 'tr'), q = s.quality || {}, nab = (s.nab || [])[0] || {};
  for (const t of [shapes[i % 5] + ' ' + s.detector, s.series, s.records, s.alarms, fixed(s.alarmsPer10k, 1), fixed(s.microsecondsPerRecord, 2), fixed(q.precision, 3), fixed(q.recall, 3), fixed(q.f1, 3), fixed(nab.score, 1), fixed(nab.own, 1)]) add(row, 'td', String(t));
  row.firstChild.style.color = 'var(--' + (i % 5) + ')';
}
if (leftOut > 0) document.getElementById('left-out').textContent = leftOut + ' more series are not drawn.';
const wide = () => Math.min(1100, document.documentElement.clientWidth - 40);
const place = document.getElementById('plots');
for (const plot of plots) {
  add(place, 'h2', plot.title);
  const box = add(place, 'div');
  const note = add(place, 'p', '');
  note.className = 'note';
  const draw = (u) => {
    const c = u.ctx;
    c.save();
    c.beginPath(); c.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height); c.clip();
    c.fillStyle = css('window');
    for (const [from, to] of plot.windows) {
      const a = u.valToPos(from, 'x', true), b = u.valToPos(to, 'x', true);
      c.fillRect(a, u.bbox.top, Math.max(2, b - a), u.bbox.height);
    }
    c.font = 16 * devicePixelRatio + 'px sans-serif'; c.textAlign = 'center'; c.textBaseline = 'middle';
    plot.alarms.forEach((alarm, i) => {
      c.fillStyle = css(i % 5);
      alarm.times.forEach((t, n) => c.fillText(shapes[i % 5], u.valToPos(t, 'x', true), u.valToPos(alarm.amounts[n], 'y', true)));
    });
    c.restore();
  };
  const hover = (u) => {
    const x = u.cursor.left;
    let text = '';
    if (x >= 0) for (const alarm of plot.alarms) alarm.times.forEach((t, n) => {
      if (Math.abs(u.valToPos(t, 'x') - x) < 4) text = alarm.detector + ', ' + new Date(t * 1000).toISOString() + ', ' + alarm.notes[n];
    });
    note.textContent = text;
  };
  const axis = { stroke: () => css('ink'), grid: { stroke: () => css('grid'), width: 1 }, ticks: { stroke: () => css('grid') } };
  const chart = new uPlot({ width: wide(), height: 240, tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), 'Etc/UTC'),
    axes: [axis, axis], series: [{ label: 'Time (UTC)' }, { label: 'amount', stroke: () => css('line'), width: 1, points: { show: false } }], hooks: { draw: [draw], setCursor: [hover] } }, [plot.times, plot.amounts], box);
  dark.addEventListener('change', () => chart.redraw(false, true));
  addEventListener('resize', () => chart.setSize({ width: wide(), height: 240 }));
}
`;
