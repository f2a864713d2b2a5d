import { byId, el, setRows, setText } from './dom.js';
import { duration, number, percent, shardNumber, UNKNOWN, workerName } from './format.js';

const STATES = {
  reading: 'reading',
  draining: 'closed, read to its end',
  waiting: 'waits for its parents',
  silent: 'owner is silent',
  unowned: 'no owner',
  finished: 'finished',
};
/** Rows of the picture at most: the latest generations. */
const GENERATIONS = 8;

let drawn = '';

/** Who reads what, how far behind, and where it lies among the hash keys. */
export function showShards(view) {
  if (!view) return setText(byId('shards-note'), 'not read yet');
  const { shards, open, unfinished, omitted, workers } = view;
  const closing = unfinished - shards.filter((s) => s.open && s.state !== 'finished').length;
  setText(
    byId('shards-note'),
    `${open} open${closing > 0 ? `, ${closing} closed and not read to the end` : ''} · ${workers.length} worker${workers.length === 1 ? '' : 's'}${omitted > 0 ? ` · ${omitted} more not shown` : ''}`,
  );
  drawLineage(shards);
  setRows(
    byId('shards'),
    shards.filter(({ state }) => state !== 'finished'),
    {
      key: ({ shardId }) => shardId,
      cells: (shard) => [
        {
          text: shardNumber(shard.shardId),
          title: `${shard.shardId}${shard.parents.length > 0 ? `, of ${shard.parents.map(shardNumber).join(' and ')}` : ''}`,
        },
        { text: STATES[shard.state], class: 'tag', state: shard.state },
        { text: duration(shard.lagMs), class: 'number' },
        { text: number(shard.recordsPerSecond), class: 'number' },
        { text: percent(shard.busyShare), class: 'number wide' },
        { text: percent(shard.range.share), class: 'number wide' },
        { text: workerName(shard.owner), class: 'text', title: shard.owner ?? UNKNOWN },
      ],
    },
  );
}

function drawLineage(shards) {
  const key = JSON.stringify(shards.map(({ shardId, state }) => [shardId, state]));
  if (key === drawn) return;
  drawn = key;
  const last = Math.max(0, ...shards.map(({ generation }) => generation));
  const first = Math.max(0, last - GENERATIONS + 1);
  const rows = Array.from({ length: last - first + 1 }, () => el('div', { class: 'generation' }));
  for (const { shardId, state, generation, range, parents } of shards) {
    if (generation < first) continue;
    const bar = el(
      'span',
      {
        class: 'shard',
        'data-state': state,
        title: `${shardId}: ${STATES[state]}, ${percent(range.share)} of the hash keys${parents.length > 0 ? `, of ${parents.map(shardNumber).join(' and ')}` : ''}`,
      },
      shardNumber(shardId),
    );
    bar.style.left = `${range.from * 100}%`;
    bar.style.width = `calc(${range.share * 100}% - 2px)`;
    rows[generation - first].append(bar);
  }
  const present = Object.keys(STATES).filter((state) => shards.some((shard) => shard.state === state));
  byId('lineage').replaceChildren(...rows);
  byId('lineage').setAttribute(
    'aria-label',
    `Shards by their hash keys, ${rows.length} generation${rows.length === 1 ? '' : 's'}, the newest at the bottom. The table has the same shards.`,
  );
  byId('states').replaceChildren(
    ...present.map((state) => el('li', { class: 'tag', 'data-state': state }, STATES[state])),
  );
}
