import { byId, el, setRows, setText } from './dom.js';
import { number, shardNumber, time } from './format.js';

/** What could not be processed, and why. */
export function showDeadLetters(letters) {
  if (!letters) return;
  const { latest, counts } = letters;
  const total = counts && Object.values(counts).reduce((sum, count) => sum + count, 0);
  setText(
    byId('dead-note'),
    counts === undefined
      ? 'the table is being walked through, a page each 5 s'
      : total > latest.length
        ? `${number(total)}, of which the latest ${latest.length} are shown`
        : total > 0
          ? `${number(total)}`
          : '',
  );
  byId('reasons').replaceChildren(
    ...Object.entries(counts ?? {})
      .sort((a, b) => b[1] - a[1])
      .map(([reason, count]) => el('li', {}, `${reason} ${number(count)}`)),
  );
  setRows(byId('dead-letters'), latest, {
    key: ({ id }) => id,
    cells: (letter) => [
      { text: time(letter.failedAt), title: letter.failedAt },
      { text: letter.reason, title: letter.errorCode },
      { text: letter.message, class: 'text', title: letter.message },
      {
        text: shardNumber(letter.shardId),
        title: `${letter.shardId}, sequence number ${letter.sequenceNumber}`,
      },
      { text: number(letter.sizeBytes), class: 'number' },
    ],
  });
  byId('dead-scroll').hidden = latest.length === 0;
  byId('dead-empty').hidden = latest.length > 0 || counts === undefined;
}
