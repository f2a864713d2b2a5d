import { byId, el, pairs, setText } from './dom.js';
import { time } from './format.js';

let shown = '';

/** What the controller wants, why, and what it may still do. */
export function showScaling(scaling, workers) {
  const key = JSON.stringify([scaling, workers]);
  if (key === shown) return;
  shown = key;
  const box = byId('scaling');
  if (scaling === 'absent') {
    setText(byId('scaling-note'), 'no StreamScaler');
    box.replaceChildren(
      el(
        'p',
        { class: 'empty' },
        'Nothing scales this group, as far as this console is told: the demo runs without Kubernetes. In a cluster, STREAM_SCALER names the StreamScaler whose decisions are shown here.',
      ),
    );
    return;
  }
  if (!scaling) return setText(byId('scaling-note'), 'not read yet');
  const { mode, replicas, shards, reshardBudget, conditions, decisions, maxLagSeconds } = scaling;
  setText(
    byId('scaling-note'),
    [mode && `mode ${mode}`, maxLagSeconds !== undefined && `aims at ${maxLagSeconds} s behind at most`]
      .filter(Boolean)
      .join(' · '),
  );
  const target = (now, desired, bounds) =>
    `${now}${now === desired ? ', as desired' : ` → ${desired} desired`}${bounds?.max === undefined ? '' : ` (${bounds.min} to ${bounds.max})`}`;
  const troubles = conditions.filter(
    ({ type, status }) => status !== (type === 'ScalingLimited' ? 'False' : 'True'),
  );
  box.replaceChildren(
    pairs([
      ['Replicas', replicas ? target(replicas.current, replicas.desired, replicas) : 'not known'],
      ['Open shards', shards ? target(shards.open, shards.desired, shards) : 'not known'],
      ['Reshard calls', reshardBudget ? budget(reshardBudget) : 'not known'],
      ...troubles.map(({ type, status, reason, message }) => [type, `${status}: ${reason}. ${message}`]),
    ]),
    el('h3', {}, 'Decisions, newest first'),
    el(
      'ul',
      { class: 'decisions', tabindex: '0', 'aria-label': 'Decisions' },
      ...decisions.map(({ time: at, action, reason }) =>
        el(
          'li',
          {},
          el('span', { class: 'muted' }, time(at)),
          el('span', {}, el('strong', {}, action), reason),
        ),
      ),
    ),
  );
}

function budget({ used, left, of }) {
  const marks = Array.from({ length: of }, (_, i) => el('i', i < left ? {} : { class: 'used' }));
  return el(
    'span',
    {},
    el('span', { class: 'budget', 'aria-hidden': 'true' }, ...marks),
    `${left} of ${of} left in 24 h${used > of ? `, ${used} used` : ''}`,
  );
}
