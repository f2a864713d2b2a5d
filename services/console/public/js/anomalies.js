import { byId, el, setRows, setText } from './dom.js';
import { number, time } from './format.js';
import { showRecord } from './record.js';

/** Anomalies kept for the filter, and rows shown. */
const KEPT = 500;
const SHOWN = 60;

let kept = [];
/** What was found for a source further back. */
let found;
/** New ones that wait while somebody points at the list: rows must not move under a click. */
let held = [];
let settled = false;

const body = byId('anomalies');
const list = byId('anomalies-scroll');
const input = byId('source');
const newestFirst = (a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : a.id < b.id ? -1 : 1);

/** All anew: at a connection. */
export function resetAnomalies(anomalies) {
  kept = [...anomalies].sort(newestFirst);
  held = [];
  settled = false;
  show();
  settled = true;
}

export function addAnomalies(anomalies) {
  if (list.matches(':hover') || list.contains(document.activeElement))
    held = [...anomalies, ...held].slice(0, KEPT);
  else take(anomalies);
  setText(byId('held'), `${held.length} new`);
  byId('held').hidden = held.length === 0;
}

function take(anomalies) {
  const ids = new Set(kept.map(({ id }) => id));
  kept = [...anomalies.filter(({ id }) => !ids.has(id)), ...kept].sort(newestFirst).slice(0, KEPT);
  held = [];
  byId('held').hidden = true;
  show();
}

function show() {
  const wanted = input.value.trim();
  // Exactly this source once it was looked up; before, every source that has the text in it.
  const matching =
    found?.source === wanted && wanted !== ''
      ? found.anomalies
      : kept.filter(({ source }) => source.toLowerCase().includes(wanted.toLowerCase()));
  setRows(body, matching.slice(0, SHOWN), {
    key: ({ id }) => id,
    cells: ({ at, source, amount, score, method }) => [
      { text: time(at), title: at },
      { text: source, class: 'text', title: source },
      { text: number(amount), class: 'number' },
      { text: number(score), class: 'number' },
      { text: method, class: 'text wide' },
    ],
    create: (_anomaly, column) =>
      column === 0 ? el('button', { type: 'button', class: 'link' }) : undefined,
    onNew(row, anomaly) {
      row.addEventListener('click', () => showRecord(anomaly));
      if (settled) row.className = 'fresh';
    },
  });
  byId('anomalies-empty').hidden = matching.length > 0;
  setText(
    byId('anomalies-empty'),
    wanted === '' ? 'No anomaly today or yesterday (UTC).' : `None of “${wanted}” among these.`,
  );
  const shownNow = Math.min(matching.length, SHOWN);
  if (found?.source !== wanted || wanted === '') {
    setText(
      byId('anomalies-note'),
      wanted === ''
        ? `The newest ${shownNow}, by arrival.`
        : `${shownNow} of the newest ${kept.length} are of it.`,
    );
  }
}

async function lookBack() {
  const source = input.value.trim();
  if (source === '') return input.focus();
  setText(byId('anomalies-note'), 'Looking…');
  const query = new URLSearchParams({ source, before: new Date(Date.now() + 60_000).toISOString() });
  try {
    const response = await fetch(`api/anomalies?${query}`);
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
    found = { source, anomalies: answer.anomalies };
    const back = answer.stoppedAt ?? answer.from;
    setText(
      byId('anomalies-note'),
      `${answer.anomalies.length} of exactly “${source}” since ${time(back)}${answer.stoppedAt ? '; further back was not looked' : ''}.`,
    );
  } catch (error) {
    found = undefined;
    setText(byId('anomalies-note'), `It could not be looked up: ${error.message}.`);
  }
  show();
}

input.addEventListener('input', () => {
  found = undefined;
  show();
});
byId('filter').addEventListener('submit', (event) => {
  event.preventDefault();
  void lookBack();
});
byId('held').addEventListener('click', () => take(held));
list.addEventListener('mouseleave', () => held.length > 0 && take(held));
