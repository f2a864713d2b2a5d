import { byId, el, setText } from './dom.js';
import { duration, number, shardNumber, time, UNKNOWN } from './format.js';

/** One figure: a name, a value with its unit, and what it is about. */
function figure(name) {
  const value = el('dd', { class: 'value' });
  const text = el('span');
  const unit = el('small');
  value.append(text, ' ', unit);
  const sub = el('dd', { class: 'sub' });
  const box = el('div', {}, el('dt', {}, name), value, sub);
  byId('figures').append(box);
  return (shown, unitText, subText, level = '') => {
    setText(text, shown);
    setText(unit, unitText);
    setText(sub, subText);
    if (sub.title !== subText) sub.title = subText;
    if (box.dataset.level !== level) box.dataset.level = level;
  };
}

const eventsIn = figure('Events in');
const scored = figure('Scored');
const latency = figure('End to end, p50');
const slowest = figure('End to end, p99');
const behind = figure('Furthest behind');
const flagged = figure('Anomalies');

/** The first thing to look at: the verdict in words, and six figures. */
export function showOverview({ at, verdict, rates, producers, consumers, shards, problems }) {
  byId('verdict').dataset.level = verdict.level;
  if (byId('verdict-title').textContent !== verdict.title) {
    setText(byId('verdict-title'), verdict.title);
    setText(byId('announce'), `${verdict.title}. ${verdict.detail}`);
  }
  setText(byId('verdict-detail'), verdict.detail);
  const pods = ({ answered, of }, word) =>
    `${answered === of ? of : `${answered} of ${of}`} ${word}${of === 1 ? '' : 's'}`;
  eventsIn(
    number(rates.inPerSecond),
    rates.inPerSecond === undefined ? '' : '/s',
    producers.configured ? pods(producers, 'producer') : 'no producer is configured',
  );
  scored(
    number(rates.scoredPerSecond),
    rates.scoredPerSecond === undefined ? '' : '/s',
    rates.scoredFrom === 'metrics' ? pods(consumers, 'consumer') : 'by the lease rows',
  );
  const measured = rates.p50Ms === undefined ? 'nothing stored lately' : 'accepted to stored';
  latency(
    rates.p50Ms === undefined ? UNKNOWN : number(rates.p50Ms),
    rates.p50Ms === undefined ? '' : 'ms',
    measured,
  );
  slowest(
    rates.p99Ms === undefined ? UNKNOWN : number(rates.p99Ms),
    rates.p99Ms === undefined ? '' : 'ms',
    measured,
  );
  const [value, unit] = duration(shards?.worst?.lagMs).split(' ');
  behind(
    value,
    unit ?? '',
    shards?.worst ? `shard ${shardNumber(shards.worst.shardId)} of ${shards.unfinished}` : 'not known',
    verdict.level === 'bad' || verdict.level === 'warn' ? verdict.level : '',
  );
  flagged(
    number(rates.anomaliesPerMinute),
    rates.anomaliesPerMinute === undefined ? '' : '/min',
    'in the last minute',
  );

  byId('problems').hidden = problems.length === 0;
  byId('problem-list').replaceChildren(
    ...problems.map(({ reading, problem, ageMs }) =>
      el(
        'li',
        {},
        `${reading}: ${problem}`,
        ageMs === undefined
          ? ''
          : ` What is shown was read ${duration(ageMs)} ago, at ${time(new Date(at - ageMs))}.`,
      ),
    ),
  );
}
